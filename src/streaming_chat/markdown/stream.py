"""Lines → blocks on the screen: what begins, goes on and ends, and what stands before each row."""

from __future__ import annotations

import re
from typing import Final

from streaming_chat.markdown.blocks import Container, Item, Leaf, Line, ListKind, Quote, Reader
from streaming_chat.markdown.code import CodeLine, Highlighter
from streaming_chat.markdown.flow import Flow
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.rows import Piece, RowWriter
from streaming_chat.markdown.style import FAINT, STRONG, UNDERLINE, Palette
from streaming_chat.markdown.table import Table
from streaming_chat.text.widths import fitting, most_columns

#: What is read at once: the text is kept until it stands on a row.
_MOST_AT_ONCE: Final = 4096
_BULLETS: Final = ("• ", "◦ ", "▪ ")
_BAR: Final = "│ "
#: The `#`s that close a heading, and what may become them.
_CLOSING: Final = re.compile(r"(?<=[ \t])#*[ \t]*$")
#: The markers of items: those of quotes stay where they are.
_MARKER: Final = re.compile(r"[^> ]")
#: A beginning of a line that is longer is not looked at for every character, so that time stays linear.
_LONG_HEAD: Final = 64
#: A text that begins with a bar, as `|x|` does, is no head of a table when it is longer than this, or than two rows.
_LONGEST_HEAD: Final = 160


class MarkdownStream:
    """One text in Markdown. Whatever `feed` and `finish` return is to be written as it is.

    `width` is that of the terminal in columns; it may be changed, and counts from the next row on. `theme` is one of
    `style.THEMES`. The text has been sanitised: this knows Markdown, and nothing of terminals' sequences in it.
    """

    def __init__(self, width: int, color: bool = True, *, theme: str = "dark", hyperlinks: bool = False) -> None:
        self._rows = RowWriter(Palette(theme, color=color, hyperlinks=hyperlinks), color=color, width=max(1, width))
        self._containers: list[Container] = []
        self._lists: dict[int, ListKind] = {}
        self._definitions = Definitions()
        #: The beginning of a line that is not decided yet, with its tabs expanded and without.
        self._head = ""
        self._raw_head = ""
        self._next_look = 0  # How long it is when it is looked at again.
        #: What the rest of the line goes to; None at the beginning of a line.
        self._line: Line | None = None
        self._after_cr = False
        # The block in the innermost container.
        self._kind = ""
        self._flow: Flow | None = None
        self._parts: list[str] = []  # Of a paragraph's only line, or a table's.
        self._size = 0
        self._is_one_line = False
        self._is_row_full = False  # As much of such a line is shown as the row takes.
        self._tail = ""  # The end of a formula's line.
        self._has_sources = False  # The line before this one is a definition that is shown.
        self._first: list[Piece] = []  # What stands before a line that may be the head of a table.
        self._held, self._before = "", " "  # Of a heading: what may close it, and the character before that.
        self._table: Table | None = None
        self._code: Highlighter | None = None
        self._code_line: CodeLine | None = None
        self._fence, self._fence_indent = "", 0
        self._blank_code_lines = 0
        # The screen.
        self._has_row = False  # Something stands on the row of the cursor.
        self._is_row_begun = False  # Nothing stands on it that would stay, and it is the next one.
        self._lead = (0, "")  # What stands before the text on such a row, and of how many containers.
        self._is_blank_wanted = False
        self._blank_depth = 0  # As many containers go on across the blank row.
        self._has_output = False
        self._follows_nothing = True  # The row of the cursor is the first one, or there is a blank one above.

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
        if columns < self._rows.width:
            self._settle_head()
        if (
            columns < self._rows.width
            and self._flow is not None
            and self._has_row
            and self._kind in ("paragraph", "heading")
        ):
            # A terminal that becomes narrower wraps the row: where it begins is not known any more.
            self._flow.break_row()
        self._rows.width = columns
        if self._table is not None:
            self._table.resize(self._room(self._hanging()))

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
        self._settle_head()
        self._close_containers(0)
        self._show_unused()
        if self._has_row:
            self._rows.end()
            self._has_row = False
        return self._rows.take()

    def _show_unused(self) -> None:
        """Nothing is lost: a definition that no link has used is text after all."""
        self._is_blank_wanted = True
        for line in self._definitions.unused():
            self._show_definition(line)

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
            self._raw_head += char
            self._head += " " * (4 - len(self._head) % 4) if char == "\t" else char
            if char in " \t" or (len(self._head) < self._next_look and char in self._head[-_LONG_HEAD:-1]):
                continue
            if self._begin(is_whole=False):
                return at
            if len(self._head) > _LONG_HEAD:
                self._next_look = len(self._head) * 5 // 4
        return at

    def _begin(self, *, is_whole: bool) -> bool:
        """Decide what the line is, if that can be done."""
        line = Reader(self._containers, self._leaf, self._head, is_whole=is_whole).read()
        if line is None:
            return False
        if line.kind != "delimiter":
            self._settle_head()
        self._has_sources = self._has_sources and line.content.startswith("[")
        if line.kind == "undecided":
            self._begin_undecided(line)
            return False
        raw = self._raw_head
        self._head = self._raw_head = ""
        self._next_look = 0
        if line.kind == "in fence" and not self._containers and not self._fence_indent:
            line.content = raw
        self._line = line
        getattr(self, f"_begin_{line.kind.replace(' ', '_')}")(line)
        return True

    def _begin_undecided(self, line: Line) -> None:
        """Digits are seen at once, whether they will be the number of an item or of a text; so are words behind a fence."""
        if not self._is_row_begun:
            is_row_of_table = self._kind == "table" and line.matched == len(self._containers) and not line.opened
            if not is_row_of_table:
                self._open(line)
            self._start_row()
            self._lead = len(self._containers), "".join(piece.text for piece in self._prefix())
            self._is_row_begun = True
            # The containers that began are open now, and go on on this line.
            markers = len(self._head) - len(line.content)
            self._head = _MARKER.sub(" ", self._head[:markers]) + line.content
        lead = self._margin(self._lead[1])
        seen, style = line.content, 0
        if seen[0] in "`~":
            seen, style = seen.strip(f"{seen[0]} "), FAINT
        self._rows.show([*lead, Piece(seen[: fitting(seen, self._room(lead) - 1)], style)])

    @property
    def _leaf(self) -> Leaf:
        kind = self._kind
        is_head = kind == "paragraph" and self._is_one_line
        wants = self._flow is not None and not self._kind and self._flow.inline.has_brackets
        return Leaf(kind, self._fence, self._fence_indent, self._text if is_head else None, wants, self._definitions)

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
        self._start_line()
        self._is_one_line = True
        self._start_row()
        if line.content.startswith("|"):
            self._first = self._prefix()
        else:
            self._flow = Flow(self._rows, self._prefix, self._definitions)
        self._content(line.content)

    def _settle_head(self) -> None:
        """The line that might have been the head of a table is a paragraph."""
        if self._kind == "paragraph" and self._flow is None:
            first = iter([self._first])
            self._flow = Flow(self._rows, lambda: next(first, None) or self._prefix(), self._definitions)
            self._flow.feed(self._text)
            if self._line is not None and self._line.kind == "paragraph":
                self._is_one_line = False

    def _start_line(self) -> None:
        """The text of a line that may have to be understood as a whole begins."""
        self._parts.clear()
        self._size = 0
        self._is_row_full = False

    @property
    def _text(self) -> str:
        """The text of that line."""
        self._parts[:] = ["".join(self._parts)]
        return self._parts[0]

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
        self._rows.show([*prefix, Piece("─" * min(self._room(prefix), 40), FAINT)])

    def _begin_fence(self, line: Line) -> None:
        self._open(line)
        self._kind = "fence"
        self._fence, self._fence_indent = line.fence, line.indent
        language = line.content.split()[0] if line.content else ""
        self._code = Highlighter(language)
        if language:
            self._start_row()
            prefix = self._prefix()
            self._rows.show([*prefix, Piece(language[: fitting(language, self._room(prefix))], FAINT)])
        else:
            self._draw_leads()

    def _begin_in_fence(self, line: Line) -> None:
        self._begin_code_line(line.content)

    def _begin_end_of_fence(self, _line: Line) -> None:
        self._kind = ""

    def _begin_math(self, line: Line) -> None:
        self._open(line)
        self._kind = "math"
        self._fence, self._fence_indent = line.fence, line.indent
        self._code = Highlighter("")
        self._draw_leads()
        self._begin_code_line(line.content)

    def _begin_in_math(self, line: Line) -> None:
        self._tail = ""
        self._begin_code_line("")
        self._content(line.content)

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
        flow, head = self._flow, self._text
        self._table = Table(head, line.content, self._room(self._hanging()), self._definitions)
        self._kind = "table"
        rows = self._table.head()
        if flow is None:
            first = self._first
        elif flow.is_on_one_row:
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
        self._start_line()
        self._start_row()
        self._content(line.content)

    def _begin_definition(self, line: Line) -> None:
        self._open(line)
        found = self._definitions.read(line.content)
        assert found is not None
        if self._define(line.content, *found):
            self._show_definition(line.content)

    # The rest of a line -----------------------------------------------------------------------------------------------

    def _content(self, text: str) -> None:
        line, flow = self._line, self._flow
        assert line is not None
        if line.kind in ("paragraph", "continuation"):
            if self._is_one_line:
                self._parts.append(text)
                self._size += len(text)
            if flow is not None:
                flow.feed(text)
            elif self._size > max(_LONGEST_HEAD, 2 * self._rows.width):
                self._settle_head()
            else:
                self._preview(self._first)
        elif line.kind == "heading":
            assert flow is not None
            text = self._held + text
            found = _CLOSING.search(self._before + text)
            cut = max(0, found.start() - len(self._before)) if found else len(text)
            self._held = text[cut:]
            if cut:
                self._before = text[cut - 1]
                flow.feed(text[:cut])
        elif line.kind in ("in fence", "code", "in math"):
            assert self._code_line is not None
            self._code_line.feed(text)
            if line.kind == "in math":
                self._tail = (self._tail + text)[-_LONG_HEAD:]
        else:
            assert line.kind == "table"
            self._parts.append(text)
            self._preview(self._hanging())

    def _end_line(self) -> None:
        line, self._line = self._line, None
        assert line is not None
        flow = self._flow
        if line.kind == "heading":
            assert flow is not None
            flow.end()
            self._kind = ""
        elif line.kind in ("in fence", "code", "math", "in math"):
            self._end_code_line()
            if line.kind == "in math" and self._tail.rstrip().endswith(self._fence):
                self._kind = ""
        elif line.kind == "table":
            self._end_table_line()
        elif line.kind in ("rule", "fence", "delimiter"):
            pass
        elif line.kind == "paragraph" and flow is not None and self._is_one_line:
            text = self._text
            found = self._definitions.read(text) if text.startswith("[") else None
            if found:
                self._end_definition(flow, *found)

    def _preview(self, prefix: list[Piece]) -> None:
        """Show as much of a table's line as fits on the row, as it comes."""
        if not self._is_row_full:
            text = self._text.expandtabs(1)
            taken = fitting(text, max(0, self._room(prefix) - 1))
            self._is_row_full = taken < len(text)
            self._rows.show([*prefix, Piece(text[:taken], 0)])

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

    def _define(self, line: str, label: str, address: str) -> bool:
        """Remember what a line defines. Whether it is to be shown: text that cannot be changed any more refers to it."""
        if not self._definitions.define(line, label, address):
            return False
        if self._flow is not None and self._has_row:
            self._flow.inline.look_again()
            self._flow.show()
        if not (self._has_sources or self._definitions.is_missed(label)):
            return False
        self._definitions.shown(label)
        return True

    def _end_definition(self, flow: Flow, label: str, address: str) -> None:
        """A line, which was shown as it came, turns out to be no text."""
        self._flow, self._kind = None, ""
        if not flow.is_on_one_row:
            flow.end()
            self._define(self._text, label, address)
            self._definitions.shown(label)
            return
        flow.retract()
        self._has_row = False
        self._has_output = not self._follows_nothing
        if self._define(self._text, label, address):
            self._show_definition(self._text)

    def _show_definition(self, line: str) -> None:
        """Show a definition as it was typed."""
        self._has_sources = True
        self._start_row()
        prefix = self._prefix()
        while line:
            taken = max(1, fitting(line, self._room(prefix)))
            self._rows.show([*prefix, Piece(line[:taken], FAINT)])
            line = line[taken:]
            if line:
                self._rows.end()
                prefix = self._hanging()

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
            if not line.opened and line.kind != "undecided":
                self._lists.pop(len(self._containers), None)

    def _number(self, item: Item, depth: int) -> None:
        """Give an item its number in the list, and what is drawn before it."""
        last = self._lists.get(depth)
        kind = item.kind
        if last is not None and last.marker == kind.marker:
            kind.number = last.number + 1
        self._lists[depth] = kind
        level = sum(isinstance(one, Item) and one.lead in _BULLETS for one in self._containers)
        if kind.marker in ".)":
            item.lead = f"{kind.number}{kind.marker} {item.box}"
        else:
            item.lead = item.box or _BULLETS[min(level, len(_BULLETS) - 1)]

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
        if self._is_row_begun:
            self._is_row_begun = False
            return
        self._lead = (0, "")
        if self._has_row:
            self._rows.end()
        self._follows_nothing = not self._has_output
        if self._is_blank_wanted and self._has_output:
            self._follows_nothing = True
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
        (count, text), self._lead = self._lead, (0, "")
        for container in self._containers[count:]:
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

    def _room(self, prefix: list[Piece]) -> int:
        """The columns behind `prefix`."""
        return max(1, self._rows.width - sum(most_columns(piece.text) for piece in prefix))

    def _margin(self, text: str) -> list[Piece]:
        """What stands before a row: of deep nesting only as much as leaves half of the row to the text."""
        text = text[max(0, len(text) - self._rows.width // 2) :]
        return [Piece(text, FAINT)] if text else []


def _heading_style(level: int) -> int:
    return STRONG | UNDERLINE if level == 1 else STRONG
