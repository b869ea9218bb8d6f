"""A short field that somebody else wrote → one of bounded length, and one line where it is shown.

The one place for it: messages, error codes, finish reasons, request ids, names of models and tools. Each of them is shown in
a line of its own, or inside one, and must not begin another. In JSON, and in what is kept, it stays as it came.
"""

from __future__ import annotations

from streaming_chat.core.limits import LONGEST_FIELD


def one_line(text: str, longest: int = LONGEST_FIELD) -> str:
    """`text` with every run of white space and line ends as one space, cut to `longest` characters, the last of them "…"."""
    looked_at = text[: 4 * longest]
    line = " ".join(looked_at.split())
    if len(line) <= longest and len(looked_at) == len(text):
        return line
    return line[: longest - 1] + "…"


def cut(text: str) -> str:
    """`text` as it came, cut to `LONGEST_FIELD` characters, the last of them "…"."""
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD - 1] + "…"


def beginning(text: str, characters: int) -> str:
    """The beginning of a text on one line, of at most so many characters, whether it has blanks between words or not."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"
