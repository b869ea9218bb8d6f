"""What somebody who misspelt a word may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """The candidate that the user may have meant."""
    return next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)), None)
