"""Lines → blocks on the screen: what begins, goes on and ends, and what stands before each row."""

from __future__ import annotations

import re
from typing import Final

from streaming_chat.core.markdown.blocks import Container, Item, Leaf, Line, ListKind, Quote, Reader
from streaming_chat.core.markdown.code import CodeLine, Highlighter
from streaming_chat.core.markdown.flow import Flow
from streaming_chat.core.markdown.links import definition
from streaming_chat.core.markdown.rows import Piece, RowWriter
from streaming_chat.core.markdown.style import FAINT, STRONG, UNDERLINE, Palette
from streaming_chat.core.markdown.table import Table
from streaming_chat.core.markdown.widths import fitting, most_columns

#: What is read at once: the text is kept until it stands on a row.
_MOST_AT_ONCE: Final = 4096
_BULLETS: Final = ("• ", "◦ ", "▪ ")
_BAR: Final = "│ "
#: The `#`s that close a heading, and what may become them.
_CLOSING: Final = re.compile(r"(?<=\s)#*\s*$")
#: As long as one character repeats, nothing is decided any more.
_LONG_RUN: Final = 12


class MarkdownStream:
    """One text in Markdown. Whatever `feed` and `finish` return is to be written as it is.

    `width` is that of the terminal in columns; it may be changed, and counts from the next row on. `theme` is one of
    `style.THEMES`. The text has been sanitised: this knows Markdown, and nothing of terminals' sequences in it.
    """

    def __init__(self, width: int, color: bool = True, *, theme: str = "dark", hyperlinks: bool = False) -> None:
        self._rows = RowWriter(Palette(theme, color=color, hyperlinks=hyperlinks), color=color, width=max(1, width))
        self._containers: list[Container] = []
        self._lists: dict[int, ListKind] = {}
        self._definitions: dict[str, str] = {}
        #: The beginning of a line that is not decided yet, with its tabs expanded and without.
        self._head = ""
        self._raw_head = ""
        #: What the rest of the line goes to; None at the beginning of a line.
        self._line: Line | None = None
        self._after_cr = False
        # The block in the innermost container.
        self._kind = ""
        self._flow: Flow | None = None
        self._text = ""  # Of a paragraph's only line, or a table's.
        self._is_one_line = False
        self._held, self._before = "", " "  # Of a heading: what may close it, and the character before that.
        self._table: Table | None = None
        self._code: Highlighter | None = None
        self._code_line: CodeLine | None = None
        self._fence, self._fence_indent = "", 0
        self._blank_code_lines = 0
        # The screen.
        self._has_row = False  # Something stands on the row of the cursor.
        self._is_blank_wanted = False
        self._blank_depth = 0  # As many containers go on across the blank row.
        self._has_output = False

    @property
    def width(self) -> int:
        """The width of the terminal, in columns."""
        return self._rows.width

    @width.setter
    def width(self, columns: int) -> None:
        columns = max(1, columns)
        if columns == self._rows.width:
            return
        if self._code_line is not None:
            self._code_line.lose_place()
        elif (
            columns < self._rows.width
            and self._flow is not None
            and self._has_row
            and self._kind in ("paragraph", "heading")
        ):
            # A terminal that becomes narrower wraps the row: where it begins is not known any more.
            self._flow.break_row()
        self._rows.width = columns

    @property
    def row(self) -> str:
        """The text on the row of the cursor."""
        return self._rows.text

    def feed(self, text: str) -> str:
        """More of the text; what to write for it."""
        if text:
            if self._after_cr:
                text = text.removeprefix("\n")
            self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        for place in range(0, len(text), _MOST_AT_ONCE):
            self._feed(text[place : place + _MOST_AT_ONCE])
        return self._rows.take()

    def finish(self) -> str:
        """The text is over; what is left to write."""
        if self._line is None and self._head:
            self._begin(is_whole=True)
        if self._line is not None:
            self._end_line()
        self._close_containers(0)
        if self._has_row:
            self._rows.end()
            self._has_row = False
        return self._rows.take()

    def _feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._line is None:
                at = self._feed_head(text, at)
                continue
            end = text.find("\n", at)
            piece = text[at:] if end < 0 else text[at:end]
            if piece:
                self._content(piece)
            if end < 0:
                return
            self._end_line()
            at = end + 1

    # The beginning of a line ------------------------------------------------------------------------------------------

    def _feed_head(self, text: str, at: int) -> int:
        """Take characters until it is decided what the line is; where the rest begins."""
        while at < len(text):
            char = text[at]
            at += 1
            if char == "\n":
                self._begin(is_whole=True)
                self._end_line()
                return at
            is_run = len(self._head) >= _LONG_RUN and char == self._head[-1]
            self._raw_head += char
            self._head = (self._head + char).expandtabs(4)
            if char not in " \t" and not is_run and self._begin(is_whole=False):
                return at
        return at

    def _begin(self, *, is_whole: bool) -> bool:
        """Decide what the line is, if that can be done."""
        line = Reader(self._containers, self._leaf, self._head, is_whole=is_whole).read()
        if line is None:
            return False
        raw = self._raw_head
        self._head = self._raw_head = ""
        if line.kind == "in fence" and not self._containers and not self._fence_indent:
            line.content = raw
        self._line = line
        getattr(self, f"_begin_{line.kind.replace(' ', '_')}")(line)
        return True

    @property
    def _leaf(self) -> Leaf:
        kind = self._kind
        is_head = kind == "paragraph" and self._is_one_line
        wants = self._flow is not None and not self._kind and self._flow.inline.has_brackets
        return Leaf(kind, self._fence, self._fence_indent, self._text if is_head else None, wants)

    def _begin_blank(self, line: Line) -> None:
        if self._kind == "code":
            self._blank_code_lines += 1
            self._line = Line("nothing")
            return
        self._close_containers(line.matched)
        self._is_blank_wanted = True
        self._blank_depth = line.matched

    def _begin_nothing(self, line: Line) -> None:
        self._open(line)

    def _begin_paragraph(self, line: Line) -> None:
        self._open(line)
        self._kind = "paragraph"
        self._text, self._is_one_line = "", True
        self._start_row()
        self._flow = Flow(self._rows, self._prefix, self._definitions)
        self._content(line.content)

    def _begin_continuation(self, line: Line) -> None:
        assert self._flow is not None
        self._is_one_line = False
        self._flow.feed("\n")
        self._content(line.content)

    def _begin_heading(self, line: Line) -> None:
        self._open(line)
        self._kind = "heading"
        self._start_row()
        self._held, self._before = "", " "
        self._flow = Flow(self._rows, self._prefix, self._definitions, style=_heading_style(line.level))
        self._content(line.content)

    def _begin_underline(self, line: Line) -> None:
        assert self._flow is not None
        self._flow.inline.restyle(_heading_style(line.level))
        self._flow.end()
        self._kind = ""

    def _begin_rule(self, line: Line) -> None:
        self._open(line)
        self._start_row()
        prefix = self._prefix()
        room = self._rows.width - sum(most_columns(piece.text) for piece in prefix)
        self._rows.show([*prefix, Piece("─" * max(1, min(room, 40)), FAINT)])

    def _begin_fence(self, line: Line) -> None:
        self._open(line)
        self._kind = "fence"
        self._fence, self._fence_indent = line.fence, line.indent
        language = line.content.split()[0] if line.content else ""
        self._code = Highlighter(language)
        if language:
            self._start_row()
            prefix = self._prefix()
            room = self._rows.width - sum(most_columns(piece.text) for piece in prefix)
            self._rows.show([*prefix, Piece(language[: fitting(language, max(1, room))], FAINT)])
        else:
            self._draw_leads()

    def _begin_in_fence(self, line: Line) -> None:
        self._begin_code_line(line.content)

    def _begin_end_of_fence(self, _line: Line) -> None:
        self._kind = ""

    def _begin_code(self, line: Line) -> None:
        if self._kind == "code" and not line.opened and line.matched == len(self._containers):
            for _ in range(self._blank_code_lines):
                self._begin_code_line("")
                self._end_code_line()
        else:
            self._open(line)
            self._kind = "code"
            self._code = Highlighter("")
            self._draw_leads()
        self._blank_code_lines = 0
        self._begin_code_line(line.content)

    def _begin_delimiter(self, line: Line) -> None:
        assert self._flow is not None
        flow, head = self._flow, self._text
        prefix = sum(most_columns(piece.text) for piece in self._hanging())
        self._table = Table(head, line.content, max(1, self._rows.width - prefix), self._definitions)
        self._kind = "table"
        rows = self._table.head()
        if flow.is_on_one_row:
            flow.retract()
            first = flow.prefix
        else:
            # The head, as it was typed, stands above: it cannot be taken back.
            rows = rows[-1:]
            self._rows.end()
            first = self._hanging()
        for number, row in enumerate(rows):
            if number:
                self._rows.end()
            self._rows.show([*(self._hanging() if number else first), *row])
        self._flow = None
        if not rows:
            self._has_row = False

    def _begin_table(self, line: Line) -> None:
        self._text = ""
        self._start_row()
        self._content(line.content)

    def _begin_definition(self, line: Line) -> None:
        self._open(line)
        found = definition(line.content)
        assert found is not None
        self._define(*found)

    # The rest of a line -----------------------------------------------------------------------------------------------

    def _content(self, text: str) -> None:
        line, flow = self._line, self._flow
        assert line is not None
        if line.kind in ("paragraph", "continuation"):
            assert flow is not None
            if self._is_one_line:
                self._text += text
            flow.feed(text)
        elif line.kind == "heading":
            assert flow is not None
            text = self._held + text
            found = _CLOSING.search(self._before + text)
            cut = max(0, found.start() - len(self._before)) if found else len(text)
            self._held = text[cut:]
            if cut:
                self._before = text[cut - 1]
                flow.feed(text[:cut])
        elif line.kind in ("in fence", "code"):
            assert self._code_line is not None
            self._code_line.feed(text)
        elif line.kind == "table":
            self._text += text
            self._preview()

    def _end_line(self) -> None:
        line, self._line = self._line, None
        assert line is not None
        flow = self._flow
        if line.kind == "heading":
            assert flow is not None
            flow.end()
            self._kind = ""
        elif line.kind in ("in fence", "code"):
            self._end_code_line()
        elif line.kind == "table":
            self._end_table_line()
        elif line.kind in ("rule", "fence", "delimiter"):
            pass
        elif line.kind == "paragraph":
            assert flow is not None
            found = definition(self._text) if self._text.startswith("[") else None
            if found and flow.is_on_one_row:
                # It was shown as it came, and turns out to be no text.
                flow.retract()
                self._flow, self._kind = None, ""
                self._has_row = False
                self._define(*found)

    def _preview(self) -> None:
        """Show as much of a table's line as fits on the row, as it comes."""
        prefix = self._hanging()
        room = self._rows.width - sum(most_columns(piece.text) for piece in prefix) - 1
        self._rows.show([*prefix, Piece(self._text[: fitting(self._text, max(0, room))], 0)])

    def _end_table_line(self) -> None:
        assert self._table is not None
        for number, row in enumerate(self._table.rows(self._text)):
            if number:
                self._rows.end()
            self._rows.show([*self._hanging(), *row])

    def _begin_code_line(self, content: str) -> None:
        assert self._code is not None
        self._start_row()
        self._code_line = CodeLine(self._rows, self._code)
        if content:
            self._code_line.feed(content)

    def _end_code_line(self) -> None:
        assert self._code_line is not None
        self._code_line.end()
        self._code_line = None

    def _define(self, label: str, address: str) -> None:
        if label in self._definitions:
            return
        self._definitions[label] = address
        if self._flow is not None and self._has_row:
            self._flow.inline.look_again()
            self._flow.show()

    # Containers and rows ----------------------------------------------------------------------------------------------

    def _open(self, line: Line) -> None:
        """End what does not go on, and begin the containers of this line."""
        self._close_containers(line.matched)
        for container in line.opened:
            depth = len(self._containers)
            if isinstance(container, Item):
                self._number(container, depth)
            else:
                self._lists.pop(depth, None)
            self._containers.append(container)
        if line.kind != "nothing":
            for container in self._containers:
                if isinstance(container, Item):
                    container.is_empty = False
            if not line.opened:
                self._lists.pop(len(self._containers), None)

    def _number(self, item: Item, depth: int) -> None:
        """Give an item its number in the list, and what is drawn before it."""
        last = self._lists.get(depth)
        kind = item.kind
        if last is not None and last.marker == kind.marker:
            kind.number = last.number + 1
        self._lists[depth] = kind
        level = sum(isinstance(one, Item) and one.lead in _BULLETS for one in self._containers)
        if item.box:
            item.lead = item.box
        elif kind.marker in ".)":
            item.lead = f"{kind.number}{kind.marker} "
        else:
            item.lead = _BULLETS[min(level, len(_BULLETS) - 1)]

    def _close_containers(self, count: int) -> None:
        """End the innermost block, and all containers but the first `count`."""
        self._end_leaf()
        for container in reversed(self._containers[count:]):
            if isinstance(container, Item) and not container.is_drawn:
                self._draw_leads()
        del self._containers[count:]
        self._blank_depth = min(self._blank_depth, count)
        for depth in [depth for depth in self._lists if depth > count]:
            del self._lists[depth]

    def _end_leaf(self) -> None:
        if self._kind == "paragraph" and self._flow is not None:
            self._flow.end()
        if self._kind == "code" and self._blank_code_lines:
            self._is_blank_wanted = True
            self._blank_code_lines = 0
        self._kind = ""
        self._table = self._code = None

    def _start_row(self) -> None:
        """Go to a row on which nothing stands, behind a blank one if there was a blank line."""
        if self._has_row:
            self._rows.end()
        if self._is_blank_wanted and self._has_output:
            bars = "".join(piece.text for piece in self._hanging(self._blank_depth)).rstrip()
            self._rows.show([Piece(bars, FAINT)] if bars else [])
            self._rows.end()
        self._is_blank_wanted = False
        self._has_row = self._has_output = True
        self._flow = None

    def _draw_leads(self) -> None:
        """Show a marker that has nothing behind it."""
        if any(isinstance(one, Item) and not one.is_drawn for one in self._containers):
            self._start_row()
            self._rows.show(self._prefix())

    def _prefix(self) -> list[Piece]:
        """What stands before the next row; what is drawn once is."""
        text = ""
        for container in self._containers:
            if isinstance(container, Quote):
                text += _BAR
            elif container.is_drawn:
                text += " " * most_columns(container.lead)
            else:
                text += container.lead
                container.is_drawn = True
        return self._margin(text)

    def _hanging(self, depth: int | None = None) -> list[Piece]:
        """What stands before a row that is not the first one in the containers, or in the first `depth` of them."""
        containers = self._containers[:depth]
        return self._margin("".join(_BAR if isinstance(one, Quote) else " " * most_columns(one.lead) for one in containers))

    def _margin(self, text: str) -> list[Piece]:
        """What stands before a row: of deep nesting only as much as leaves half of the row to the text."""
        text = text[max(0, len(text) - self._rows.width // 2) :]
        return [Piece(text, FAINT)] if text else []


def _heading_style(level: int) -> int:
    return STRONG | UNDERLINE if level == 1 else STRONG
