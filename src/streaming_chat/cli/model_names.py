"""The model names that completion offers: those that `models` listed last, kept in a file of the state folder.

A shell reads the file, one name a line. Names come from servers, so a name is kept only if no shell could take a character
of it for anything but itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from streaming_chat.config.folders import replace_private

FILE_NAME: Final = "model-names"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
#: Names that are kept; those of the endpoint that was listed last come first.
_MOST: Final = 2000


def keep_names(state_folder: Path, names: Iterable[str]) -> None:
    """Keep `names` before those that are kept. That it cannot be written is no failure."""
    path = state_folder / FILE_NAME
    with suppress(OSError):
        kept = dict.fromkeys(name for name in [*names, *_read(path)] if _PLAIN.fullmatch(name))
        replace_private(path, "".join(f"{name}\n" for name in list(kept)[:_MOST]))


def _read(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []
