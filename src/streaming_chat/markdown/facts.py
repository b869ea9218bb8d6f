"""What is known about places of a text, from what came later in it."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class FactKind(Enum):
    """What stands at a place."""

    #: Text, whatever it looks like.
    TEXT = auto()
    #: Something that is shown as another text: an entity, an autolink.
    SHOWN = auto()
    #: The beginning of a formula: nothing is markup up to its end.
    VERBATIM = auto()
    #: The `[` of a link.
    LINK = auto()
    #: The `]` before an address, which is shown; of an image, which is not; of a link whose text is its address.
    ADDRESS = auto()
    HIDDEN_ADDRESS = auto()
    SILENT = auto()
    #: The `]` of a link whose address is defined elsewhere.
    REFERENCE = auto()
    #: A `]` with something behind it that turned out to be no address.
    NO_LINK = auto()


class Fact(NamedTuple):
    """What is known about a place of the text. `end` is where reading goes on, `text` what is shown."""

    kind: FactKind
    end: int
    text: str = ""


class Again(Exception):  # not an error: a fact has been found
    """The text is to be read again."""
