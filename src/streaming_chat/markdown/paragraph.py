"""Blocks of text: paragraphs and headings."""

from __future__ import annotations

from typing import Final

from streaming_chat.markdown.block import Block
from streaming_chat.markdown.definition import DefinitionLines
from streaming_chat.markdown.flow import Flow
from streaming_chat.markdown.lines import Leaf, Line, LineKind
from streaming_chat.markdown.page import Page
from streaming_chat.markdown.preview import LinePreview
from streaming_chat.markdown.rows import Piece
from streaming_chat.markdown.style import STRONG, UNDERLINE

#: A text that begins with a bar, as `|x|` does, is no head of a table when it is longer than this, or than two rows.
_LONGEST_HEAD: Final = 160


def heading_style(level: int) -> int:
    """How a heading looks."""
    return STRONG | UNDERLINE if level == 1 else STRONG


class Paragraph(Block):
    """A paragraph. Its first line may be the head of a table, or a definition that is shown as it comes."""

    kind = LineKind.PARAGRAPH

    def __init__(self, page: Page, line: Line, definition_lines: DefinitionLines) -> None:
        super().__init__(page)
        self._definition_lines = definition_lines
        #: The first line, for as long as it is the only one.
        self._line = LinePreview(page)
        self._is_one_line = True
        self._is_in_first_line = True
        #: What stands before a line that may be the head of a table, and is shown as such; None for others.
        self._first: list[Piece] | None = None
        #: The text on the page; None for as long as the line is shown as such a head.
        self._flow: Flow | None = None
        page.start_row()
        if line.content.startswith("|"):
            self._first = page.prefix()
        else:
            self._flow = page.start_flow()
        self.feed(line.content)

    @property
    def leaf(self) -> Leaf:
        """What the next line has to know of the block."""
        return Leaf(self.kind, head=self._line.text if self._is_one_line else None, definitions=self._page.definitions)

    @property
    def head(self) -> tuple[str, list[Piece] | None]:
        """The text of the first line, and what stands before it, if it has been shown as the head of a table."""
        return self._line.text, self._first

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        if self._is_one_line:
            self._line.add(text)
        if self._flow is not None:
            self._flow.feed(text)
        elif self._first is not None and self._line.size > max(_LONGEST_HEAD, 2 * self._page.rows.width):
            self.settle()
        elif self._first is not None:
            self._line.show(self._first)

    def go_on(self, line: Line) -> None:
        """Another line begins."""
        self._is_one_line = False
        assert self._flow is not None
        self._flow.feed("\n")
        self.feed(line.content)

    def end_line(self) -> bool:
        """The present line is whole; whether it was no text but a definition."""
        is_first, self._is_in_first_line = self._is_in_first_line, False
        if not is_first or self._first is not None or not self._is_one_line:
            return False
        text = self._line.text
        return text.startswith("[") and self._definition_lines.end(text)

    def end(self) -> None:
        """Another block begins, or the text is over."""
        if self._flow is not None:
            self._flow.end()

    def before_resize(self, columns: int) -> None:
        """The terminal is about to have so many columns. A narrower one wraps the row: where it begins is not known."""
        if columns < self._page.rows.width:
            self.settle()
            if self._page.has_row and self._flow is not None:
                self._flow.break_row()

    def settle(self) -> None:
        """The line that might have been the head of a table is a text."""
        if self._first is None:
            return
        first = iter([self._first])
        self._first = None
        self._flow = self._page.start_flow(prefix=lambda: next(first, None) or self._page.prefix())
        self._flow.feed(self._line.text)
        if self._is_in_first_line:
            self._is_one_line = False

    def underline(self, level: int) -> None:
        """The line below it makes a heading of it."""
        assert self._flow is not None
        self._flow.inline.restyle(heading_style(level))
        self._flow.end()


class Heading(Block):
    """A heading: one line, without the `#`s at its end."""

    kind = LineKind.HEADING

    def __init__(self, page: Page, line: Line) -> None:
        super().__init__(page)
        page.start_row()
        self._flow = page.start_flow(heading_style(line.level))
        #: What may close it, and the character before that.
        self._held: list[str] = []
        self._before = " "
        self.feed(line.content)

    def feed(self, text: str) -> None:
        """Show more of the present line."""
        # More of the same changes nothing, and is not to be looked at once for every feed.
        if self._held and not (text.strip(" \t") and (text.strip("#") or not self._held[-1].endswith("#"))):
            self._held.append(text)
            return
        text = "".join([*self._held, text])
        cut = _closing(text, self._before)
        self._held = [text[cut:]] if cut < len(text) else []
        if cut:
            self._before = text[cut - 1]
            self._flow.feed(text[:cut])

    def end_line(self) -> bool:
        """The line is whole, and so is the heading."""
        self._flow.end()
        return True

    def before_resize(self, columns: int) -> None:
        """The terminal is about to have so many columns. A narrower one wraps the row: where it begins is not known."""
        if columns < self._page.rows.width:
            self._flow.break_row()


def _closing(text: str, before: str) -> int:
    """Where what closes a heading, or may do so, begins in `text`, which stands behind `before`."""
    body = text.rstrip(" \t")
    bare = body.rstrip("#")
    if len(bare) < len(body) and (bare[-1:] or before) in (" ", "\t"):
        return len(bare)
    if not body and before in " \t":
        return 0
    # Of white space the first character is not held: it is not known to be at the end.
    return min(len(body) + 1, len(text))
