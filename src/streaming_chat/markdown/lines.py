"""What a line of Markdown can be, and what can stand around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from streaming_chat.markdown.links import Definitions


class LineKind(Enum):
    """What a line is; some are also what stands in the innermost container when a line begins."""

    # Each is one object. The hash of `Enum` is computed of the name, by a call, whenever a line is dispatched.
    __hash__ = object.__hash__

    BLANK = auto()
    #: Nothing behind the markers of containers that begin.
    NOTHING = auto()
    PARAGRAPH = auto()
    CONTINUATION = auto()
    #: The line below a paragraph that makes a heading of it.
    UNDERLINE = auto()
    HEADING = auto()
    RULE = auto()
    FENCE = auto()
    IN_FENCE = auto()
    END_OF_FENCE = auto()
    CODE = auto()
    MATH = auto()
    IN_MATH = auto()
    #: The line below the head of a table, and those behind it.
    DELIMITER = auto()
    TABLE = auto()
    DEFINITION = auto()
    #: A line that begins a row in any case, and of which something is seen.
    UNDECIDED = auto()


@dataclass
class Quote:
    """A block quote."""


@dataclass
class ListKind:
    """A list: `-`, `+`, `*`, `.` or `)`, and the number of its last item."""

    marker: str
    number: int


@dataclass(slots=True)
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


@dataclass(slots=True)
class Line:
    """What a line is. `content` is its text so far, behind all markup."""

    kind: LineKind
    content: str = ""
    #: How many of the open containers go on.
    matched: int = 0
    #: The containers that begin on this line.
    opened: list[Container] = field(default_factory=list)
    level: int = 0
    #: Of a fence: its characters and its indentation; of a formula: what ends it.
    fence: str = ""
    indent: int = 0


@dataclass(slots=True)
class Leaf:
    """What stands in the innermost container when the line begins."""

    #: Paragraph, heading, fence, math, code or table; None for nothing.
    kind: LineKind | None = None
    fence: str = ""
    indent: int = 0
    #: The only line of a paragraph, which may be the head of a table; None for a longer one.
    head: str | None = None
    #: Whether a definition that comes now may change what is shown.
    wants_definitions: bool = False
    definitions: Definitions = field(default_factory=Definitions)
