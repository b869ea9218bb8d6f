"""The beginning of a line, until it is decided what the line is."""

from __future__ import annotations

import re
from typing import Final

#: A longer beginning is not looked at for every character, so that time stays linear.
_LONG: Final = 64
_TAB: Final = 4
#: A character of the marker of an item.
_MARKER: Final = re.compile(r"[^> ]")


class LineHead:
    """Collects the characters of a line: as they came, and with tabs expanded."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A line begins."""
        self._parts: list[str] = []
        self._raw_parts: list[str] = []
        self._length = 0
        #: The last characters.
        self._recent = ""
        #: How long it is when it is looked at again.
        self._next_look = 0

    @property
    def text(self) -> str:
        """The characters with tabs expanded."""
        if len(self._parts) != 1:
            self._parts[:] = ["".join(self._parts)]
        return self._parts[0]

    @property
    def raw(self) -> str:
        """The characters as they came."""
        return "".join(self._raw_parts)

    def add(self, char: str) -> bool:
        """One more character; whether it may decide what the line is."""
        self._raw_parts.append(char)
        added = " " * (_TAB - self._length % _TAB) if char == "\t" else char
        self._parts.append(added)
        self._length += len(added)
        is_new = self._length >= self._next_look or char not in self._recent
        self._recent = self._recent[1 - _LONG :] + added
        return is_new and char not in " \t"

    def was_looked_at(self) -> None:
        """It has been looked at, and nothing was decided."""
        if self._length > _LONG:
            self._next_look = self._length * 5 // 4

    def blank_markers(self, content: str) -> None:
        """What stands before `content` is blank now, but for the markers of quotes, which stay where they are."""
        text = self.text
        text = _MARKER.sub(" ", text[: len(text) - len(content)]) + content
        self._parts[:] = [text]
        self._recent = text[-_LONG:]

    def __bool__(self) -> bool:
        return self._length > 0
