"""The beginning of a line → what it is: a heading, an item, a fence, or just text.

The rules are CommonMark's and, for tables, GFM's (https://spec.commonmark.org/0.31.2/, https://github.github.com/gfm/).
HTML is text. A line is decided at the earliest character that can; until then it is markup, or white space, that nobody
misses.

`begin` is pure: it is given the containers that are open, what stands in the innermost one, and the line so far.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.table import is_delimiter

_HEADING: Final = re.compile(r"(#{1,6})(?:[ ]+|$)")
_RULE: Final = re.compile(r"(?:\*[ ]*){3,}|(?:-[ ]*){3,}|(?:_[ ]*){3,}")
_RULE_SO_FAR: Final = re.compile(r"(?:\*[ ]*)+|(?:-[ ]*)+|(?:_[ ]*)+")
_UNDERLINE: Final = re.compile(r"(=+|-+)[ ]*")
_BULLET: Final = re.compile(r"[-+*](?=[ ]|$)")
_NUMBER: Final = re.compile(r"([0-9]{1,9})([.)])(?=[ ]|$)")
_NUMBER_SO_FAR: Final = re.compile(r"[0-9]{1,9}[.)]?")
_FENCE: Final = re.compile(r"(`{3,}|~{3,})(.*)")
_TASK: Final = re.compile(r"\[([ xX])\][ ]+(?=\S)")
_TASK_SO_FAR: Final = re.compile(r"\[(?:[ xX](?:\][ ]*)?)?")
_DELIMITER_SO_FAR: Final = re.compile(r"[ |:-]+")
_NOTE: Final = re.compile(r"\[\^[^\]\s]{1,16}\]:")
_NOTE_SO_FAR: Final = re.compile(r"\[(?:\^[^\]\s]{0,16}\]?)?")
_MATH: Final = re.compile(r"(\$\$|\\\[)[ ]*")
_MATH_SO_FAR: Final = re.compile(r"(?:\$\$?|\\\[?)[ ]*")
_CODE_INDENT: Final = 4
#: Deeper containers are text: nobody nests so deeply, and each line is matched with all of them.
_DEEPEST: Final = 32


@dataclass
class Quote:
    """A block quote."""


@dataclass
class ListKind:
    """A list: `-`, `+`, `*`, `.` or `)`, and the number of its last item."""

    marker: str
    number: int


@dataclass
class Item:
    """A list item. `width` is how far its content is indented in the source, `kind` the list and the number it claims."""

    width: int
    kind: ListKind
    #: Whether nothing has come in it yet.
    is_empty: bool = False
    #: The box of a task.
    box: str = ""
    #: What is drawn before its first row, and how wide that is.
    lead: str = ""
    is_drawn: bool = False


Container = Quote | Item


@dataclass
class Line:
    """What a line is. `content` is its text so far, behind all markup."""

    #: paragraph, continuation, heading, rule, underline, fence, in fence, end of fence, code, math, in math, delimiter,
    #: table, definition, blank, nothing; undecided for one that begins a row in any case, and of which something is seen
    kind: str
    content: str = ""
    #: How many of the open containers go on.
    matched: int = 0
    #: The containers that begin on this line.
    opened: list[Container] = field(default_factory=list)
    level: int = 0
    #: Of a fence: its characters and its indentation; of a formula: what ends it.
    fence: str = ""
    indent: int = 0


@dataclass(frozen=True)
class Leaf:
    """What stands in the innermost container when the line begins."""

    kind: str = ""
    fence: str = ""
    indent: int = 0
    #: The only line of a paragraph, which may be the head of a table; None for a longer one.
    head: str | None = None
    #: Whether a definition that comes now may change what is shown.
    wants_definitions: bool = False
    definitions: Definitions = field(default_factory=Definitions)


class Reader:
    """Reads the beginning of one line. As long as it is not whole, it ends in a character that is no blank."""

    def __init__(self, containers: list[Container], leaf: Leaf, line: str, *, is_whole: bool) -> None:
        self._containers = containers
        self._leaf = leaf
        self._line = line
        self._is_whole = is_whole
        self._at = 0

    def read(self) -> Line | None:
        """What the line is; None when more of it is needed."""
        matched = self._match()
        if matched is None:
            return None
        leaf = self._leaf
        goes_on = matched == len(self._containers)
        if goes_on and leaf.kind == "fence":
            return self._in_fence(matched)
        if goes_on and leaf.kind == "math" and self._line[self._at :].strip(" "):
            return Line("in math", self._line[self._at + min(self._indent(), leaf.indent) :], matched)
        return self._new(matched, goes_on)

    # Containers -------------------------------------------------------------------------------------------------------

    def _match(self) -> int | None:
        """How many containers go on in this line; None when that cannot be said yet."""
        for number, container in enumerate(self._containers):
            indent = self._indent()
            if self._at + indent == len(self._line):
                if isinstance(container, Quote):
                    return number
                if container.is_empty:
                    return number  # An item begins with one blank line at most.
                continue
            if isinstance(container, Quote):
                if indent >= _CODE_INDENT or self._line[self._at + indent] != ">":
                    return number
                self._at += indent + 1
                if self._at == len(self._line) and not self._is_whole:
                    return None
                self._skip_blank()
            elif indent >= container.width:
                self._at += container.width
            else:
                return number
        return len(self._containers)

    def _indent(self) -> int:
        rest = self._line[self._at :]
        return len(rest) - len(rest.lstrip(" "))

    def _skip_blank(self) -> None:
        if self._line[self._at : self._at + 1] == " ":
            self._at += 1

    # Leaves -----------------------------------------------------------------------------------------------------------

    def _in_fence(self, matched: int) -> Line | None:
        rest = self._line[self._at :]
        fence = self._leaf.fence
        text = rest.lstrip(" ")
        indent = len(rest) - len(text)
        run = len(text) - len(text.lstrip(fence[0]))
        if indent < _CODE_INDENT and (run >= len(fence) or not text.lstrip(fence[0])) and not text[run:].strip(" "):
            if not self._is_whole:
                return None
            if run >= len(fence):
                return Line("end of fence", matched=matched)
        return Line("in fence", rest[min(indent, self._leaf.indent) :], matched)

    def _new(self, matched: int, goes_on: bool) -> Line | None:
        opened: list[Container] = []
        in_paragraph = self._leaf.kind == "paragraph"
        while True:
            indent = self._indent()
            rest = self._line[self._at + indent :]
            if not rest:
                kind = "blank" if not opened else "nothing"
                return Line(kind, matched=matched, opened=opened)
            may_continue = in_paragraph and not opened
            if indent >= _CODE_INDENT and not may_continue:
                return Line("code", self._line[self._at + _CODE_INDENT :], matched, opened)
            is_deep = len(self._containers) + len(opened) > _DEEPEST and (rest[0] in ">*-+" or rest[0].isdigit())
            if indent < _CODE_INDENT and not is_deep:
                found = self._start(rest, indent, matched, opened, goes_on and may_continue)
                is_fence = rest[0] in "`~" and bool(rest.strip(rest[0]))
                # A fence is more likely than a code span of a text that goes on: it gets a row in either case.
                if found is None and (
                    (rest[0].isdigit() and not may_continue) or (is_fence and (goes_on or not may_continue))
                ):
                    return Line("undecided", rest, matched, opened)
                if found is None or isinstance(found, Line):
                    return found
                if found:
                    continue
            if may_continue and goes_on and (rest[0] == "|" or rest.startswith(("```", "~~~"))):
                # A table's head has to stand on a row of its own, and what may have been a fence does.
                return Line("paragraph", rest, matched)
            if may_continue and rest[0] == "[" and indent < _CODE_INDENT:
                if _NOTE_SO_FAR.fullmatch(rest) and not self._is_whole:
                    return None
                if _NOTE.match(rest):
                    return Line("paragraph", rest, matched)  # Each footnote begins on a row of its own.
            if may_continue:
                return Line("continuation", rest, len(self._containers), opened)
            if self._leaf.kind == "table" and goes_on and not opened:
                return Line("table", rest, matched)
            return self._paragraph(rest, matched, opened)

    def _paragraph(self, rest: str, matched: int, opened: list[Container]) -> Line | None:
        if (
            rest[0] == "["
            and not opened
            and self._leaf.wants_definitions
            and not self._is_whole
            and self._leaf.definitions.may_come(rest)
        ):
            return None
        if self._is_whole and self._leaf.definitions.read(rest):
            return Line("definition", rest, matched, opened)
        if opened and isinstance(opened[-1], Item):
            task = _TASK.match(rest)
            if task:
                opened[-1].box = "☑ " if task[1] in "xX" else "☐ "
                rest = rest[task.end() :]
            elif _TASK_SO_FAR.fullmatch(rest) and not self._is_whole:
                return None
        return Line("paragraph", rest, matched, opened)

    def _start(self, rest: str, indent: int, matched: int, opened: list[Container], is_next: bool) -> Line | bool | None:
        """The block that begins with `rest`; True when a container began, False when nothing does, None for undecided."""
        char = rest[0]
        whole = self._is_whole
        if char == ">":
            if rest == ">" and not whole:
                return None
            opened.append(Quote())
            self._at += indent + 1
            self._skip_blank()
            return True
        if char == "#":
            found = _HEADING.match(rest)
            if found and (found.end() < len(rest) or whole):
                return Line("heading", rest[found.end() :], matched, opened, level=len(found[1]))
            return None if not whole and (found or not rest.strip("#")) and len(rest.rstrip(" ")) <= 6 else False
        if char in "`~":
            return self._fence(rest, indent, matched, opened)
        if char in "$\\":
            if not whole:
                return None if _MATH_SO_FAR.fullmatch(rest) else False
            if _MATH.fullmatch(rest):
                end = "$$" if char == "$" else "\\]"
                return Line("math", rest.rstrip(" "), matched, opened, fence=end, indent=indent)
        if char in "=-" and is_next and _UNDERLINE.fullmatch(rest):
            if not whole:
                return None
            if self._leaf.head is None or not is_delimiter(rest, self._leaf.head):
                return Line("underline", matched=matched, level=1 if char == "=" else 2)
        if char in "|:-" and is_next and self._leaf.head is not None and _DELIMITER_SO_FAR.fullmatch(rest):
            if not whole:
                return None
            if is_delimiter(rest, self._leaf.head):
                return Line("delimiter", rest, matched)
        if char in "*-_" and _RULE_SO_FAR.fullmatch(rest):
            if not whole:
                return None
            if _RULE.fullmatch(rest):
                return Line("rule", matched=matched, opened=opened)
        if char in "*-+" or char.isdigit():
            return self._item(rest, indent, is_next, opened)
        return False

    def _fence(self, rest: str, indent: int, matched: int, opened: list[Container]) -> Line | bool | None:
        found = _FENCE.fullmatch(rest)
        if not found:
            return None if not self._is_whole and not rest.strip(rest[0]) else False
        if rest[0] == "`" and "`" in found[2]:
            return False
        if not self._is_whole:
            return None
        return Line("fence", found[2].strip(), matched, opened, fence=found[1], indent=indent)

    def _item(self, rest: str, indent: int, is_next: bool, opened: list[Container]) -> bool | None:
        bullet, number = _BULLET.match(rest), _NUMBER.match(rest)
        found = bullet or number
        if not found:
            if is_next and rest.strip("0").rstrip(".)") not in ("", "1"):
                return False
            return None if not self._is_whole and _NUMBER_SO_FAR.fullmatch(rest) else False
        behind = rest[found.end() :]
        blanks = len(behind) - len(behind.lstrip(" "))
        if blanks == len(behind):
            if not self._is_whole:
                return None
            if is_next:
                return False  # An empty item cannot break into a paragraph.
        if number and is_next and int(number[1]) != 1:
            return False
        is_empty = blanks == len(behind)
        padding = 1 if is_empty or blanks > _CODE_INDENT else blanks
        kind = ListKind(number[2], int(number[1])) if number else ListKind(found[0], 0)
        opened.append(Item(indent + found.end() + padding, kind, is_empty=is_empty))
        self._at += indent + found.end() + (len(behind) if is_empty else padding)
        return True
