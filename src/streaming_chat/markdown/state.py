"""What has been read of a text, as far as it matters for what comes."""

from __future__ import annotations

from typing import Final, NamedTuple

from streaming_chat.markdown.emphasis import Counts, Delimiters
from streaming_chat.markdown.links import Tail

#: More open brackets are not remembered: the outermost are text.
_MOST_BRACKETS: Final = 50


class Bracket(NamedTuple):
    """A `[` that may begin a link, or a `![`."""

    place: int
    is_image: bool
    is_active: bool = True


class OpenTail(NamedTuple):
    """An address that is being read."""

    tail: Tail
    #: The places of the `[` and the `]` of its link, -1 where they cannot be changed any more.
    begin: int
    place: int
    is_shown: bool


class State:
    """What the text so far means for what comes."""

    __slots__ = (
        "ampersand",
        "angle",
        "before",
        "brackets",
        "closed",
        "code",
        "code_place",
        "counts",
        "delimiters",
        "images",
        "links",
        "math",
        "tail",
        "verbatim",
    )

    def __init__(self) -> None:
        self.before = "\n"
        self.counts = Counts()
        self.delimiters = Delimiters()
        #: Those that have not found their `]`.
        self.brackets: tuple[Bracket, ...] = ()
        #: The last `[` that found its `]`, and the place of that.
        self.closed: tuple[Bracket, int] | None = None
        #: Where the links begin whose texts are being read.
        self.links: list[int] = []
        #: How many of them are images: what describes one has no styles.
        self.images = 0
        self.tail: OpenTail | None = None
        #: The backticks of the code span that is open, 0 for none, and their place; -1 where it cannot be changed any more.
        self.code = 0
        self.code_place = -1
        #: Where the last `&` and `<` stand, while what they begin may still become something.
        self.ampersand = self.angle = -1
        #: For what ends a formula, where the formula may have begun.
        self.math: dict[str, int] = {}
        #: As far as here, nothing is markup.
        self.verbatim = 0

    def open_bracket(self, place: int, *, is_image: bool) -> None:
        """A bracket stands at `place`."""
        self.brackets = (*self.brackets, Bracket(place, is_image))[-_MOST_BRACKETS:]

    def pop_bracket(self) -> Bracket:
        """The innermost open bracket, which is open no more."""
        bracket = self.brackets[-1]
        self.brackets = self.brackets[:-1]
        return bracket

    def is_calm(self, at: int) -> bool:
        """Whether nothing that comes can change what has been read, up to `at`, but for brackets that are open."""
        return not (
            self.delimiters.runs
            or self.closed
            or self.links
            or self.tail
            or self.code
            or self.math
            or self.verbatim > at
            or self.ampersand >= 0
            or self.angle >= 0
        )

    def copy(self) -> State:
        """The same, on its own. All runs are frozen."""
        twin = State.__new__(State)
        twin.before, twin.counts, twin.delimiters = self.before, self.counts.copy(), self.delimiters.copy()
        twin.brackets, twin.closed = self.brackets, self.closed
        twin.links, twin.images = list(self.links), self.images
        twin.tail = self.tail and self.tail._replace(tail=self.tail.tail.copy())
        twin.code, twin.code_place = self.code, self.code_place
        twin.ampersand, twin.angle = self.ampersand, self.angle
        twin.math, twin.verbatim = dict(self.math), self.verbatim
        return twin

    def is_fixed(self) -> bool:
        """Whether `freeze` would change nothing that what comes was read with, so that it need not be read again.

        Brackets are not counted: what comes has been read as if none of them were a link.
        """
        return (
            self.closed is None
            and not self.math
            and max(self.code_place, self.ampersand, self.angle, *self.links, -1) < 0
            and (self.tail is None or max(self.tail.begin, self.tail.place) < 0)
            and all(run.is_frozen for run in self.delimiters.runs)
        )

    def freeze(self, cut: int) -> None:
        """What was read, up to `cut`, stands on a row that cannot be changed any more: guesses are as good as knowledge."""
        for run in self.delimiters.runs:
            run.is_frozen = True
        self.brackets = ()
        self.closed = None
        self.code_place = self.ampersand = self.angle = -1
        self.math = {}
        self.verbatim = max(0, self.verbatim - cut)
        self.links = [-1 for _ in self.links]
        if self.tail is not None:
            self.tail = self.tail._replace(begin=-1, place=-1)

    def shift(self, cut: int) -> None:
        """The text begins `cut` characters later."""
        self.brackets = tuple(shifted(self.brackets, cut))
        if self.closed is not None:
            bracket, place = self.closed
            kept = shifted((bracket,), cut)
            self.closed = (kept[0], place - cut) if kept else None
        self.links = [_moved(place, cut) for place in self.links]
        if self.tail is not None:
            self.tail = self.tail._replace(begin=_moved(self.tail.begin, cut), place=_moved(self.tail.place, cut))
        self.code_place, self.ampersand, self.angle = (
            _moved(place, cut) for place in (self.code_place, self.ampersand, self.angle)
        )
        self.math = {end: place - cut for end, place in self.math.items()}
        self.verbatim = max(0, self.verbatim - cut)


def shifted(brackets: tuple[Bracket, ...], cut: int) -> list[Bracket]:
    """Those of some brackets that stand behind `cut`, by their places in the text that begins there."""
    kept = [bracket._replace(place=bracket.place - cut) for bracket in brackets if bracket.place >= cut]
    for bracket in brackets:
        if bracket.is_image and bracket.place == cut - 1:
            # Its `!` stands on the row above.
            kept.insert(0, Bracket(0, is_image=False, is_active=bracket.is_active))
    return kept


def _moved(place: int, cut: int) -> int:
    """A place in the text that begins at `cut`; -1 stays what it is."""
    return place if place < 0 else place - cut
