"""What has been read of a text, as far as it matters for what comes."""

from __future__ import annotations

from streaming_chat.markdown.emphasis import Counts, Delimiters
from streaming_chat.markdown.links import Tail


class Bracket:
    """A `[` that may begin a link, or a `![`."""

    __slots__ = ("is_active", "is_image", "place")

    def __init__(self, place: int, *, is_image: bool) -> None:
        self.place = place
        self.is_image = is_image
        self.is_active = True


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
        self.brackets: list[Bracket] = []
        #: The last `[` that found its `]`, and the place of that.
        self.closed: tuple[Bracket, int] | None = None
        #: Where the links begin whose texts are being read.
        self.links: list[int] = []
        #: How many of them are images: what describes one has no styles.
        self.images = 0
        #: The address that is being read, the places of its `[` and `]`, and whether it is shown.
        self.tail: tuple[Tail, int, int, bool] | None = None
        #: The backticks of the code span that is open, 0 for none, and their place; -1 where it cannot be changed any more.
        self.code = 0
        self.code_place = -1
        #: Where the last `&` and `<` stand, while what they begin may still become something.
        self.ampersand = self.angle = -1
        #: For what ends a formula, where the formula may have begun.
        self.math: dict[str, int] = {}
        #: As far as here, nothing is markup.
        self.verbatim = 0

    def is_settled(self, at: int) -> bool:
        """Whether nothing that comes can change what has been read, up to `at`."""
        return not (
            self.delimiters.runs
            or self.brackets
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
        """The same, on its own."""
        twin = State()
        for name in ("ampersand", "angle", "before", "closed", "code", "code_place", "images", "tail", "verbatim"):
            setattr(twin, name, getattr(self, name))
        twin.counts, twin.delimiters = self.counts.copy(), self.delimiters.copy()
        twin.brackets, twin.links, twin.math = list(self.brackets), list(self.links), dict(self.math)
        if self.tail is not None:
            twin.tail = (self.tail[0].copy(), *self.tail[1:])
        return twin

    def freeze(self, cut: int) -> None:
        """What was read, up to `cut`, stands on a row that cannot be changed any more: guesses are as good as knowledge."""
        for run in self.delimiters.runs:
            run.is_frozen = True
        self.brackets = []
        self.closed = None
        self.code_place = self.ampersand = self.angle = -1
        self.math = {}
        self.verbatim = max(0, self.verbatim - cut)
        self.links = [-1 for _ in self.links]
        if self.tail is not None:
            self.tail = (self.tail[0], -1, -1, self.tail[3])
