"""How many columns text takes.

Terminals disagree about sequences: a family of emoji joined by ZWJ has two columns on one and six on another. Where a row is
filled the larger number is taken, so that no row overflows and is wrapped by the terminal behind this program's back. Where
columns are aligned, in tables, the number of the standard is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from unicodedata import category

from wcwidth import iter_graphemes, wcswidth, wcwidth

#: Characters with two columns, between which a row may be broken, as a set of a pattern: East Asian scripts and emoji.
WIDE: Final = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60"
    "\uffe0-\uffe6\U0001f300-\U0001faff\U00020000-\U0003fffd"
)
#: U+FE0F makes an emoji of a text character, and with it, on some terminals, two columns of one.
_SELECTOR: Final = "\ufe0f"
_WIDE: Final = re.compile(f"[{WIDE}]")
#: No character before this one is.
_FIRST_WIDE: Final = "\u1100"
#: What no row begins with, and what none ends with.
_NOT_FIRST: Final = frozenset("、。，．！？：；…）」』】〉》”’%!?,.:;)]}ー々\u200d\ufe0f\u20e3")
_NOT_LAST: Final = frozenset("（「『【〈《“‘([{\u200d")
_FLAG_LETTERS: Final = ("\U0001f1e6", "\U0001f1ff")


@lru_cache(maxsize=4096)
def char_columns(char: str) -> int:
    """The most columns that one more character takes: 0, 1 or 2."""
    # Vowel signs of Indic scripts, for which wcwidth has none, take one on many terminals.
    return 1 if char == _SELECTOR or category(char) == "Mc" else max(0, wcwidth(char))


def most_columns(text: str) -> int:
    """The most columns that `text` takes on any terminal."""
    return len(text) if text.isascii() else sum(map(char_columns, text))


@lru_cache(maxsize=4096)
def is_extension(char: str) -> bool:
    """Whether a character belongs to the one before it: a mark, a joiner, a selector, a skin tone."""
    return not char_columns(char) or char == _SELECTOR or category(char) == "Mc" or "\U0001f3fb" <= char <= "\U0001f3ff"


def is_mark(char: str) -> bool:
    """Whether terminals may draw a character with the one before it: an extension, or half a flag."""
    return is_extension(char) or "\U0001f1e6" <= char <= "\U0001f1ff"


def has_marks(text: str) -> bool:
    """Whether `text` has such characters. How wide it is, and where they go behind a full row, terminals disagree about."""
    return not text.isascii() and any(map(is_mark, text))


def aligned_columns(text: str) -> int:
    """The columns that `text` takes where sequences are drawn as one."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def clusters(text: str) -> Iterator[str]:
    """`text` in pieces, each of which is drawn as one character."""
    return iter_graphemes(text)


def fitting(text: str, columns: int) -> int:
    """How many characters of `text` surely fit into `columns`."""
    if text.isascii():
        return min(len(text), columns)
    for place, char in enumerate(text):
        columns -= char_columns(char)
        if columns < 0:
            return place
    return len(text)


def is_wide(char: str) -> bool:
    """Whether a character stands for a word, so that a row may end beside it: those of Chinese and Japanese do."""
    return bool(_WIDE.match(char))


def may_part(last: str, first: str) -> bool:
    """Whether a row may end with one character and the next begin with the other, without a blank between."""
    if (last < _FIRST_WIDE and first < _FIRST_WIDE) or not (is_wide(last) or is_wide(first)):
        return False
    if first in _NOT_FIRST or last in _NOT_LAST:
        return False
    if is_extension(first):
        return False
    return not (_FLAG_LETTERS[0] <= first <= _FLAG_LETTERS[1] and _FLAG_LETTERS[0] <= last <= _FLAG_LETTERS[1])
