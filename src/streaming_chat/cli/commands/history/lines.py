"""Texts out of the history on one line, and how wide they are."""

from __future__ import annotations

import unicodedata

from streaming_chat.text.sanitize import sanitize


def cell(text: str, columns: int | None) -> str:
    """`text` on one line; for a terminal sanitised, and no wider than `columns`."""
    if columns is None:
        return one_line(text)
    # A prompt may be a whole file: only its beginning can be seen. A character takes a column, and some take none.
    return cut(one_line(sanitize(text.lstrip()[: 8 * columns])), columns)


def one_line(text: str) -> str:
    """`text` with a blank for all white space."""
    return " ".join(text.split())


def cut(text: str, columns: int) -> str:
    """The beginning of `text` that fits, with an ellipsis if there is more."""
    if width_of(text) <= columns:
        return text
    width, end = 1, 0  # 1 for the ellipsis
    while (width := width + width_of(text[end])) <= columns:
        end += 1
    return text[:end].rstrip() + "…"


def width_of(text: str) -> int:
    """Columns on a terminal, near enough for a table: 2 for East Asian and emoji, 0 for marks."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
