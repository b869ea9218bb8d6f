"""Lines of a table → rows of the screen, each shown as it comes and laid out when it is whole."""

from __future__ import annotations

from streaming_chat.markdown.block import Block
from streaming_chat.markdown.lines import Line, LineKind
from streaming_chat.markdown.page import Page
from streaming_chat.markdown.paragraph import Paragraph
from streaming_chat.markdown.preview import LinePreview
from streaming_chat.markdown.table import Table


class TableBlock(Block):
    """A table, whose head has been taken for a paragraph."""

    kind = LineKind.TABLE

    def __init__(self, page: Page, head: Paragraph, line: Line) -> None:
        super().__init__(page)
        self._line: LinePreview | None = None
        text, first = head.head
        self._table = Table(text, line.content, page.room(page.hanging()), page.definitions)
        rows = self._table.head()
        if first is None:
            flow = page.flow
            assert flow is not None
            first = flow.prefix
            if flow.is_on_one_row:
                flow.retract()
            else:
                # The head, as it was typed, stands above: it cannot be taken back.
                rows = rows[-1:]
                page.rows.end()
                first = page.hanging()
        for number, row in enumerate(rows):
            if number:
                page.rows.end()
            page.rows.show([*(page.hanging() if number else first), *row])
        page.flow = None
        if not rows:
            page.has_row = False

    def begin_line(self, content: str) -> None:
        """A line begins with `content`."""
        self._line = LinePreview(self._page)
        self._page.start_row()
        self.feed(content)

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        assert self._line is not None
        self._line.add(text)
        self._line.show(self._page.hanging())

    def end_line(self) -> bool:
        """The present line is whole; the table goes on."""
        if self._line is not None:
            for number, row in enumerate(self._table.rows(self._line.text)):
                if number:
                    self._page.rows.end()
                self._page.rows.show([*self._page.hanging(), *row])
            self._line = None
        return False

    def after_resize(self) -> None:
        """The terminal has another width."""
        self._table.resize(self._page.room(self._page.hanging()))
