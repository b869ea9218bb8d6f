"""What every block has to say and to do while its lines come."""

from __future__ import annotations

from streaming_chat.markdown.lines import Leaf, LineKind
from streaming_chat.markdown.page import Page


class Block:
    """The block in the innermost container. A subclass shows one kind of it on the page."""

    kind: LineKind

    def __init__(self, page: Page) -> None:
        self._page = page

    @property
    def leaf(self) -> Leaf:
        """What the next line has to know of the block."""
        return Leaf(self.kind, definitions=self._page.definitions)

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        raise NotImplementedError

    def end_line(self) -> bool:
        """The present line is whole; whether the block ends with it."""
        return False

    def end(self) -> None:
        """Another block begins, or the text is over."""

    def before_resize(self, columns: int) -> None:
        """The terminal is about to have so many columns."""

    def after_resize(self) -> None:
        """The terminal has another width."""
