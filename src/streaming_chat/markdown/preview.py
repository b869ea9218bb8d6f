"""A line that has to be known as a whole, shown as far as it fits on a row while it comes."""

from __future__ import annotations

from streaming_chat.markdown.page import Page
from streaming_chat.markdown.rows import Piece
from streaming_chat.text.widths import fitting


class LinePreview:
    """Collects one line, and shows the beginning of it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._parts: list[str] = []
        self.size = 0
        self._is_full = False  # As much is shown as the row takes.

    @property
    def text(self) -> str:
        """The line so far."""
        self._parts[:] = ["".join(self._parts)]
        return self._parts[0]

    def add(self, text: str) -> None:
        """More of the line has come."""
        self._parts.append(text)
        self.size += len(text)

    def show(self, prefix: list[Piece]) -> None:
        """Show as much of it as fits on the row behind `prefix`."""
        if not self._is_full:
            text = self.text.expandtabs(1)
            taken = fitting(text, max(0, self._page.room(prefix) - 1))
            self._is_full = taken < len(text)
            self._page.rows.show([*prefix, Piece(text[:taken], 0)])
