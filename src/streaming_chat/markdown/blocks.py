"""The beginning of a line → what it is: a heading, an item, a fence, or just text.

The rules are CommonMark's and, for tables, GFM's (https://spec.commonmark.org/0.31.2/, https://github.github.com/gfm/).
HTML is text. A line is decided at the earliest character that can; until then it is markup, or white space, that nobody
misses.

`begin` is pure: it is given the containers that are open, what stands in the innermost one, and the line so far.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import ClassVar, Final, NamedTuple

from streaming_chat.markdown.lines import Container, Item, Leaf, Line, LineKind, ListKind, Quote
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
#: The first characters of the markers of containers.
_OF_CONTAINERS: Final = frozenset(">*-+0123456789")
_DEEPEST_HEADING: Final = 6


class _Verdict(Enum):
    """What a rule says of the beginning of a line, where it does not say what the line is."""

    #: It does not apply.
    NO = auto()
    #: More of the line is needed.
    MORE = auto()
    #: A container begins; what is behind its marker is to be looked at.
    CONTAINER = auto()


#: Not looked up in the class for every rule.
_NO: Final = _Verdict.NO
_MORE: Final = _Verdict.MORE
_CONTAINER: Final = _Verdict.CONTAINER


class _Start(NamedTuple):
    """A place of a line where a block may begin."""

    #: The line from there on, without its indentation.
    rest: str
    indent: int
    #: How many of the open containers go on, and those that begin on this line.
    matched: int
    opened: list[Container]
    #: Whether a paragraph would go on here, and whether it would in its own containers.
    may_continue: bool
    is_next: bool


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
        if goes_on and leaf.kind is LineKind.FENCE:
            return self._in_fence(matched)
        if goes_on and leaf.kind is LineKind.MATH and self._line[self._at :].strip(" "):
            return Line(LineKind.IN_MATH, self._line[self._at + min(self._indent(), leaf.indent) :], matched)
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
                return Line(LineKind.END_OF_FENCE, matched=matched)
        return Line(LineKind.IN_FENCE, rest[min(indent, self._leaf.indent) :], matched)

    def _new(self, matched: int, goes_on: bool) -> Line | None:
        opened: list[Container] = []
        verdict: Line | _Verdict = _CONTAINER
        while verdict is _CONTAINER:
            indented = self._line[self._at :]
            rest = indented.lstrip(" ")
            indent = len(indented) - len(rest)
            if not rest:
                return Line(LineKind.NOTHING if opened else LineKind.BLANK, matched=matched, opened=opened)
            may_continue = self._leaf.kind is LineKind.PARAGRAPH and not opened
            if indent >= _CODE_INDENT and not may_continue:
                return Line(LineKind.CODE, indented[_CODE_INDENT:], matched, opened)
            start = _Start(rest, indent, matched, opened, may_continue, goes_on and may_continue)
            verdict = self._begin(start)
        if isinstance(verdict, Line):
            return verdict
        if verdict is _MORE:
            return self._undecided(start, goes_on)
        return self._continuation(start) if may_continue else self._text(start, goes_on)

    def _begin(self, start: _Start) -> Line | _Verdict:
        """Ask the rules for the first character, one after the other."""
        char = start.rest[0]
        rules = (self._RULES_BELOW_TEXT if start.is_next else self._RULES).get(char)
        if rules is None or start.indent >= _CODE_INDENT:
            return _NO
        if len(self._containers) + len(start.opened) > _DEEPEST and char in _OF_CONTAINERS:
            return _NO
        for rule in rules:
            verdict = rule(self, start)
            if verdict is not _NO:
                return verdict
        return _NO

    def _undecided(self, start: _Start, goes_on: bool) -> Line | None:
        rest = start.rest
        is_fence = rest[0] in "`~" and bool(rest.strip(rest[0]))
        # A fence is more likely than a code span of a text that goes on: it gets a row in either case.
        if (rest[0].isdigit() and not start.may_continue) or (is_fence and (goes_on or not start.may_continue)):
            return Line(LineKind.UNDECIDED, rest, start.matched, start.opened)
        return None

    # Text -------------------------------------------------------------------------------------------------------------

    def _continuation(self, start: _Start) -> Line | None:
        """A line of text below a paragraph."""
        rest = start.rest
        if start.is_next and (rest[0] == "|" or rest.startswith(("```", "~~~"))):
            # A table's head has to stand on a row of its own, and what may have been a fence does.
            return Line(LineKind.PARAGRAPH, rest, start.matched)
        if rest[0] == "[" and start.indent < _CODE_INDENT:
            if _NOTE_SO_FAR.fullmatch(rest) and not self._is_whole:
                return None
            if _NOTE.match(rest):
                return Line(LineKind.PARAGRAPH, rest, start.matched)  # Each footnote begins on a row of its own.
        return Line(LineKind.CONTINUATION, rest, len(self._containers), start.opened)

    def _text(self, start: _Start, goes_on: bool) -> Line | None:
        rest, opened = start.rest, start.opened
        if self._leaf.kind is LineKind.TABLE and goes_on and not opened:
            return Line(LineKind.TABLE, rest, start.matched)
        if self._is_whole and self._leaf.definitions.read(rest):
            return Line(LineKind.DEFINITION, rest, start.matched, opened)
        if not self._is_whole and self._may_be_definition(start):
            return None
        if opened and isinstance(opened[-1], Item):
            task = _TASK.match(rest)
            if task:
                opened[-1].box = "☑ " if task[1] in "xX" else "☐ "
                rest = rest[task.end() :]
            elif _TASK_SO_FAR.fullmatch(rest) and not self._is_whole:
                return None
        return Line(LineKind.PARAGRAPH, rest, start.matched, opened)

    def _may_be_definition(self, start: _Start) -> bool:
        """Whether more of the line may make it a definition that changes what is shown."""
        if start.rest[0] != "[" or start.opened or not self._leaf.wants_definitions:
            return False
        return self._leaf.definitions.may_come(start.rest)

    # Rules ------------------------------------------------------------------------------------------------------------

    def _quote(self, start: _Start) -> Line | _Verdict:
        if start.rest == ">" and not self._is_whole:
            return _MORE
        start.opened.append(Quote())
        self._at += start.indent + 1
        self._skip_blank()
        return _CONTAINER

    def _heading(self, start: _Start) -> Line | _Verdict:
        rest = start.rest
        found = _HEADING.match(rest)
        if found and (found.end() < len(rest) or self._is_whole):
            return Line(LineKind.HEADING, rest[found.end() :], start.matched, start.opened, level=len(found[1]))
        is_open = not self._is_whole and (found or not rest.strip("#")) and len(rest.rstrip(" ")) <= _DEEPEST_HEADING
        return _MORE if is_open else _NO

    def _fence(self, start: _Start) -> Line | _Verdict:
        rest = start.rest
        found = _FENCE.fullmatch(rest)
        if not found:
            return _MORE if not self._is_whole and not rest.strip(rest[0]) else _NO
        if rest[0] == "`" and "`" in found[2]:
            return _NO
        if not self._is_whole:
            return _MORE
        return Line(LineKind.FENCE, found[2].strip(), start.matched, start.opened, fence=found[1], indent=start.indent)

    def _math(self, start: _Start) -> Line | _Verdict:
        if not self._is_whole:
            return _MORE if _MATH_SO_FAR.fullmatch(start.rest) else _NO
        if not _MATH.fullmatch(start.rest):
            return _NO
        end = "$$" if start.rest[0] == "$" else "\\]"
        return Line(LineKind.MATH, start.rest.rstrip(" "), start.matched, start.opened, fence=end, indent=start.indent)

    def _underline(self, start: _Start) -> Line | _Verdict:
        if not _UNDERLINE.fullmatch(start.rest):
            return _NO
        if not self._is_whole:
            return _MORE
        if self._leaf.head is not None and is_delimiter(start.rest, self._leaf.head):
            return _NO
        return Line(LineKind.UNDERLINE, matched=start.matched, level=1 if start.rest[0] == "=" else 2)

    def _delimiter(self, start: _Start) -> Line | _Verdict:
        head = self._leaf.head
        if head is None or not _DELIMITER_SO_FAR.fullmatch(start.rest):
            return _NO
        if not self._is_whole:
            return _MORE
        return Line(LineKind.DELIMITER, start.rest, start.matched) if is_delimiter(start.rest, head) else _NO

    def _rule(self, start: _Start) -> Line | _Verdict:
        if not self._is_whole:
            return _MORE if _RULE_SO_FAR.fullmatch(start.rest) else _NO
        return Line(LineKind.RULE, matched=start.matched, opened=start.opened) if _RULE.fullmatch(start.rest) else _NO

    def _item(self, start: _Start) -> Line | _Verdict:
        rest = start.rest
        bullet = _BULLET.match(rest)
        number = None if bullet else _NUMBER.match(rest)
        found = bullet or number
        if not found:
            return self._item_so_far(start)
        behind = rest[found.end() :]
        blanks = len(behind) - len(behind.lstrip(" "))
        is_empty = blanks == len(behind)
        if is_empty and not self._is_whole:
            return _MORE
        if start.is_next and (is_empty or (number and int(number[1]) != 1)):
            return _NO  # Neither an empty item nor one that begins at another number can break into a paragraph.
        padding = 1 if is_empty or blanks > _CODE_INDENT else blanks
        kind = ListKind(number[2], int(number[1])) if number else ListKind(found[0], 0)
        start.opened.append(Item(start.indent + found.end() + padding, kind, is_empty=is_empty))
        self._at += start.indent + found.end() + (len(behind) if is_empty else padding)
        return _CONTAINER

    def _item_so_far(self, start: _Start) -> _Verdict:
        if start.is_next and start.rest.strip("0").rstrip(".)") not in ("", "1"):
            return _NO
        return _MORE if not self._is_whole and _NUMBER_SO_FAR.fullmatch(start.rest) else _NO

    #: First character of what may be a block → the rules for it, in the order in which they are asked.
    _RULES: ClassVar[dict[str, tuple[Callable[[Reader, _Start], Line | _Verdict], ...]]] = {
        ">": (_quote,),
        "#": (_heading,),
        "`": (_fence,),
        "~": (_fence,),
        "$": (_math,),
        "\\": (_math,),
        "-": (_rule, _item),
        "*": (_rule, _item),
        "_": (_rule,),
        "+": (_item,),
        **dict.fromkeys("0123456789", (_item,)),
    }
    #: The same where a paragraph would go on.
    _RULES_BELOW_TEXT: ClassVar[dict[str, tuple[Callable[[Reader, _Start], Line | _Verdict], ...]]] = {
        **_RULES,
        "=": (_underline,),
        "|": (_delimiter,),
        ":": (_delimiter,),
        "-": (_underline, _delimiter, _rule, _item),
    }
