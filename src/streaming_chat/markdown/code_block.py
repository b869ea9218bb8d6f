"""Blocks whose lines are shown as they are: fenced and indented code, and formulas on lines of their own."""

from __future__ import annotations

from typing import Final

from streaming_chat.markdown.block import Block
from streaming_chat.markdown.code import CodeLine, Highlighter
from streaming_chat.markdown.lines import Leaf, Line, LineKind
from streaming_chat.markdown.page import Page
from streaming_chat.markdown.rows import Piece
from streaming_chat.markdown.style import FAINT
from streaming_chat.text.widths import fitting

#: As much of a line's end is kept as may end a formula.
_LONGEST_END: Final = 64


class CodeBlock(Block):
    """Code, line by line, with nothing before it."""

    kind = LineKind.CODE

    def __init__(self, page: Page, language: str = "") -> None:
        super().__init__(page)
        self._highlighter = Highlighter(language)
        self._line: CodeLine | None = None

    def begin_line(self, content: str) -> None:
        """A line begins with `content`."""
        self._page.start_row()
        self._line = CodeLine(self._page.rows, self._highlighter)
        if content:
            self._line.feed(content)

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        assert self._line is not None
        self._line.feed(text)

    def end_line(self) -> bool:
        """The present line is whole; the block goes on."""
        if self._line is not None:
            self._line.end()
            self._line = None
        return False

    def before_resize(self, _columns: int) -> None:
        """The terminal is about to have so many columns."""
        if self._line is not None:
            self._line.lose_place()


class IndentedCode(CodeBlock):
    """Code that is indented. Blank lines are of it where more code follows."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self._blank_lines = 0
        page.draw_leads()

    def add_blank(self) -> None:
        """A blank line has come."""
        self._blank_lines += 1

    def begin_line(self, content: str) -> None:
        """A line begins with `content`."""
        for _ in range(self._blank_lines):
            super().begin_line("")
            self.end_line()
        self._blank_lines = 0
        super().begin_line(content)

    def end(self) -> None:
        """Another block begins, or the text is over."""
        if self._blank_lines:
            self._page.want_blank()


class Fence(CodeBlock):
    """Code between fences, below the name of its language."""

    kind = LineKind.FENCE

    def __init__(self, page: Page, line: Line) -> None:
        language = line.content.split()[0] if line.content else ""
        super().__init__(page, language)
        self._fence, self._indent = line.fence, line.indent
        if language:
            page.start_row()
            prefix = page.prefix()
            page.rows.show([*prefix, Piece(language[: fitting(language, page.room(prefix))], FAINT)])
        else:
            page.draw_leads()

    @property
    def leaf(self) -> Leaf:
        """What the next line has to know of the block."""
        return Leaf(self.kind, self._fence, self._indent, definitions=self._page.definitions)

    @property
    def is_indented(self) -> bool:
        """Whether its lines may be indented by as much as the fence."""
        return bool(self._indent)


class Formula(CodeBlock):
    """A formula between `$$` or `\\\\[` and `\\\\]`."""

    kind = LineKind.MATH

    def __init__(self, page: Page, line: Line) -> None:
        super().__init__(page)
        self._end, self._indent = line.fence, line.indent
        #: The end of the present line; None on the first, which cannot end the formula.
        self._tail: str | None = None
        page.draw_leads()
        super().begin_line(line.content)

    @property
    def leaf(self) -> Leaf:
        """What the next line has to know of the block."""
        return Leaf(self.kind, self._end, self._indent, definitions=self._page.definitions)

    def begin_line(self, content: str) -> None:
        """A line begins with `content`."""
        self._tail = ""
        super().begin_line("")
        self.feed(content)

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        super().feed(text)
        if self._tail is not None:
            self._tail = (self._tail + text)[-_LONGEST_END:]

    def end_line(self) -> bool:
        """The present line is whole; whether it ends the formula."""
        super().end_line()
        return self._tail is not None and self._tail.rstrip().endswith(self._end)
