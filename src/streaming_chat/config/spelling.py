"""What somebody who misspelt a word may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

#: Characters from which on the beginning of a word tells which one is meant.
_TELLING: Final = 3


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate that the user may have meant, or None.

    It is the shortest one that begins with the word, or else the most similar one. Dashes before a flag say nothing.
    """
    names = {candidate.lstrip("-"): candidate for candidate in reversed(candidates)}
    name = word.lstrip("-")
    begun = [one for one in names if len(name) >= _TELLING and one.startswith(name)]
    found = min(begun, key=len) if begun else next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.6)), None)
    return None if found is None else names[found]
