"""How many columns text takes.

Terminals disagree about sequences: a family of emoji joined by ZWJ has two columns on one and six on another. Where a row is
filled the larger number is taken, so that no row overflows and is wrapped by the terminal behind this program's back. Where
columns are aligned, in tables, the number of the standard is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from wcwidth import wcswidth, wcwidth

#: Characters with two columns, between which a row may be broken, as a set of a pattern: East Asian scripts and emoji.
WIDE: Final = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60"
    "\uffe0-\uffe6\U0001f300-\U0001faff\U00020000-\U0003fffd"
)
#: U+FE0F makes an emoji of a text character, and with it, on some terminals, two columns of one.
_SELECTOR: Final = "\ufe0f"


@lru_cache(maxsize=4096)
def char_columns(char: str) -> int:
    """The most columns that one more character takes: 0, 1 or 2."""
    return 1 if char == _SELECTOR else max(0, wcwidth(char))


def most_columns(text: str) -> int:
    """The most columns that `text` takes on any terminal."""
    return len(text) if text.isascii() else sum(map(char_columns, text))


@lru_cache(maxsize=4096)
def is_extension(char: str) -> bool:
    """Whether a character belongs to the one before it: a mark, a joiner, a selector, a skin tone."""
    return not char_columns(char) or char == _SELECTOR or "\U0001f3fb" <= char <= "\U0001f3ff"


def is_mark(char: str) -> bool:
    """Whether terminals may draw a character with the one before it: an extension, or half a flag."""
    return is_extension(char) or "\U0001f1e6" <= char <= "\U0001f1ff"


def has_marks(text: str) -> bool:
    """Whether `text` has such characters. How wide it is, and where they go behind a full row, terminals disagree about."""
    return not text.isascii() and any(map(is_mark, text))


def aligned_columns(text: str) -> int:
    """The columns that `text` takes where sequences are drawn as one."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def fitting(text: str, columns: int) -> int:
    """How many characters of `text` surely fit into `columns`."""
    if text.isascii():
        return min(len(text), columns)
    for place, char in enumerate(text):
        columns -= char_columns(char)
        if columns < 0:
            return place
    return len(text)
