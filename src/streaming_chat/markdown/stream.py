"""Lines → blocks on the page: what begins, goes on and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from streaming_chat.markdown.block import Block
from streaming_chat.markdown.blocks import Reader
from streaming_chat.markdown.code_block import CodeBlock, Fence, Formula, IndentedCode
from streaming_chat.markdown.definition import DefinitionLines
from streaming_chat.markdown.head import LineHead
from streaming_chat.markdown.lines import Leaf, Line, LineKind
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.page import Page
from streaming_chat.markdown.paragraph import Heading, Paragraph
from streaming_chat.markdown.rows import Piece, RowWriter
from streaming_chat.markdown.style import FAINT, Palette
from streaming_chat.markdown.table_block import TableBlock

#: What is read at once: the text is kept until it stands on a row.
_MOST_AT_ONCE: Final = 4096
#: Columns of a rule, at most.
_LONGEST_RULE: Final = 40


class MarkdownStream:
    """One text in Markdown. Whatever `feed` and `finish` return is to be written as it is.

    `width` is that of the terminal in columns; it may be changed, and counts from the next row on. `theme` is one of
    `style.THEMES`. The text has been sanitised: this knows Markdown, and nothing of terminals' sequences in it.
    """

    def __init__(self, width: int, color: bool = True, *, theme: str = "dark", hyperlinks: bool = False) -> None:
        self._rows = RowWriter(Palette(theme, color=color, hyperlinks=hyperlinks), color=color, width=max(1, width))
        self._definitions = Definitions()
        self._page = Page(self._rows, self._definitions)
        self._definition_lines = DefinitionLines(self._page, self._definitions)
        #: The beginning of a line that is not decided yet.
        self._head = LineHead()
        #: It is decided, and the rest of the line goes to the block.
        self._is_in_line = False
        #: What stands in the innermost container.
        self._block: Block | None = None
        self._after_cr = False

    @property
    def width(self) -> int:
        """The width of the terminal, in columns."""
        return self._rows.width

    @width.setter
    def width(self, columns: int) -> None:
        columns = max(1, columns)
        if columns == self._rows.width:
            return
        if self._block is not None:
            self._block.before_resize(columns)
        self._rows.width = columns
        if self._block is not None:
            self._block.after_resize()

    @property
    def row(self) -> str:
        """The text on the row of the cursor."""
        return self._rows.text

    def feed(self, text: str) -> str:
        """More of the text; what to write for it."""
        if self._after_cr or "\r" in text:
            text = self._without_returns(text)
        if len(text) <= _MOST_AT_ONCE:
            self._feed(text)
        else:
            for place in range(0, len(text), _MOST_AT_ONCE):
                self._feed(text[place : place + _MOST_AT_ONCE])
        return self._rows.take()

    def _without_returns(self, text: str) -> str:
        """`text`, with every line end as a line feed."""
        if text:
            if self._after_cr:
                text = text.removeprefix("\n")
            self._after_cr = text.endswith("\r")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def finish(self) -> str:
        """The text is over; what is left to write."""
        if self._head:
            self._decide(is_whole=True)
        if self._is_in_line:
            self._end_line()
        self._settle()
        self._close(0)
        self._definition_lines.show_unused()
        self._page.end()
        return self._rows.take()

    def _feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if not self._is_in_line:
                at = self._feed_head(text, at)
                continue
            end = text.find("\n", at)
            if end < 0:
                if self._block is not None:
                    self._block.feed(text[at:] if at else text)
                return
            if end > at and self._block is not None:
                self._block.feed(text[at:end])
            self._end_line()
            at = end + 1

    # Lines ------------------------------------------------------------------------------------------------------------

    def _feed_head(self, text: str, at: int) -> int:
        """Take characters until it is decided what the line is; where the rest begins."""
        head = self._head
        while at < len(text):
            char = text[at]
            at += 1
            if char == "\n":
                self._decide(is_whole=True)
                self._end_line()
                return at
            if head.add(char):
                if self._decide(is_whole=False):
                    return at
                head.was_looked_at()
        return at

    def _decide(self, *, is_whole: bool) -> bool:
        """Decide what the line is, if that can be done."""
        line = Reader(self._page.containers.open, self._leaf, self._head.text, is_whole=is_whole).read()
        if line is None:
            return False
        kind = line.kind
        if self._block is not None and kind is not LineKind.DELIMITER:
            self._settle()
        if not line.content.startswith("["):
            self._definition_lines.follows_shown = False
        if kind is LineKind.UNDECIDED:
            self._show_undecided(line)
            return False
        if kind is LineKind.IN_FENCE and self._is_as_it_came:
            line.content = self._head.raw
        self._head.clear()
        self._is_in_line = True
        self._BEGINS[kind](self, line)
        return True

    @property
    def _leaf(self) -> Leaf:
        if self._block is not None:
            return self._block.leaf
        flow = self._page.flow
        wants = flow is not None and flow.inline.has_brackets
        return Leaf(wants_definitions=wants, definitions=self._definitions)

    @property
    def _is_as_it_came(self) -> bool:
        """Whether lines of the fence have their tabs: nothing is to be taken from their beginnings."""
        return isinstance(self._block, Fence) and not self._block.is_indented and not self._page.containers.open

    def _show_undecided(self, line: Line) -> None:
        """Digits are seen at once, whether they will be the number of an item or of a text; so are words behind a fence."""
        page = self._page
        if not page.is_row_begun:
            is_in_containers = line.matched == len(page.containers.open) and not line.opened
            if not (isinstance(self._block, TableBlock) and is_in_containers):
                self._open(line)
            page.begin_row()
            # The containers that began are open now, and go on on this line.
            self._head.blank_markers(line.content)
        seen, style = line.content, 0
        if seen[0] in "`~":
            seen, style = seen.strip(f"{seen[0]} "), FAINT
        page.preview(seen, style)

    def _end_line(self) -> None:
        self._is_in_line = False
        if self._block is not None and self._block.end_line():
            self._block = None

    def _settle(self) -> None:
        if isinstance(self._block, Paragraph):
            self._block.settle()

    def _open(self, line: Line) -> None:
        """End what does not go on, and begin the containers of this line."""
        self._close(line.matched)
        self._page.containers.begin(line)

    def _close(self, count: int) -> None:
        """End the innermost block, and all containers but the first `count`."""
        block, self._block = self._block, None
        if block is not None:
            block.end()
        self._page.close_containers(count)

    # What a line begins -----------------------------------------------------------------------------------------------

    def _blank(self, line: Line) -> None:
        if isinstance(self._block, IndentedCode):
            self._block.add_blank()
            return
        self._close(line.matched)
        self._page.want_blank(line.matched)

    def _paragraph(self, line: Line) -> None:
        self._open(line)
        self._block = Paragraph(self._page, line, self._definition_lines)

    def _continuation(self, line: Line) -> None:
        assert isinstance(self._block, Paragraph)
        self._block.go_on(line)

    def _underline(self, line: Line) -> None:
        assert isinstance(self._block, Paragraph)
        self._block.underline(line.level)
        self._block = None

    def _heading(self, line: Line) -> None:
        self._open(line)
        self._block = Heading(self._page, line)

    def _rule(self, line: Line) -> None:
        self._open(line)
        self._page.start_row()
        prefix = self._page.prefix()
        self._rows.show([*prefix, Piece("─" * min(self._page.room(prefix), _LONGEST_RULE), FAINT)])

    def _fence(self, line: Line) -> None:
        self._open(line)
        self._block = Fence(self._page, line)

    def _end_of_fence(self, _line: Line) -> None:
        self._block = None

    def _math(self, line: Line) -> None:
        self._open(line)
        self._block = Formula(self._page, line)

    def _code(self, line: Line) -> None:
        goes_on = isinstance(self._block, IndentedCode) and line.matched == len(self._page.containers.open)
        if not goes_on or line.opened:
            self._open(line)
            self._block = IndentedCode(self._page)
        self._next_line(line)

    def _delimiter(self, line: Line) -> None:
        assert isinstance(self._block, Paragraph)
        self._block = TableBlock(self._page, self._block, line)

    def _next_line(self, line: Line) -> None:
        assert isinstance(self._block, CodeBlock | TableBlock)
        self._block.begin_line(line.content)

    def _definition(self, line: Line) -> None:
        self._open(line)
        self._definition_lines.take(line.content)

    _BEGINS: ClassVar[dict[LineKind, Callable[[MarkdownStream, Line], None]]] = {
        LineKind.BLANK: _blank,
        LineKind.NOTHING: _open,
        LineKind.PARAGRAPH: _paragraph,
        LineKind.CONTINUATION: _continuation,
        LineKind.UNDERLINE: _underline,
        LineKind.HEADING: _heading,
        LineKind.RULE: _rule,
        LineKind.FENCE: _fence,
        LineKind.IN_FENCE: _next_line,
        LineKind.END_OF_FENCE: _end_of_fence,
        LineKind.CODE: _code,
        LineKind.MATH: _math,
        LineKind.IN_MATH: _next_line,
        LineKind.DELIMITER: _delimiter,
        LineKind.TABLE: _next_line,
        LineKind.DEFINITION: _definition,
    }
