"""Runs of `*`, `_` and `~` → what is strong, emphasised and struck through.

The rules are CommonMark's (https://spec.commonmark.org/0.31.2/#emphasis-and-strong-emphasis, with the delimiter stack of
its appendix) and GFM's for `~~`. A closing run is matched when it comes, as there: what is to the right of it never
changes that. What the specification knows at the end only, this guesses: a run that can open does so, until the end of the
paragraph says otherwise. Its characters are not shown meanwhile, and `Run.guess` is the style that it lends.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from streaming_chat.markdown.style import EMPHASIS, STRIKE, STRONG
from streaming_chat.text.widths import is_wide

#: A run further down in the stack than this many is not looked at again: nobody nests so deeply, and time stays linear.
_DEEPEST: Final = 100


@lru_cache(maxsize=1024)
def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


class Counts:
    """How many spans of each style are open at a place: spans may stand inside each other. `style` is what they make."""

    __slots__ = ("_numbers", "style")

    def __init__(self) -> None:
        self._numbers = dict.fromkeys((STRONG, EMPHASIS, STRIKE), 0)
        self.style = 0

    def copy(self) -> Counts:
        """The same numbers, on their own."""
        twin = Counts()
        twin._numbers, twin.style = dict(self._numbers), self.style
        return twin

    def add(self, spans: dict[int, int], sign: int = 1) -> None:
        """Begin (or, with -1, end) so many spans of each style."""
        if spans:
            for style, number in spans.items():
                self._numbers[style] += sign * number
            self.style = sum(style for style, number in self._numbers.items() if number > 0)


class Run:
    """A run of one delimiter. `before` and `after` are the characters beside it, "\\n" at the edges of a paragraph."""

    __slots__ = (
        "can_close",
        "can_open",
        "char",
        "closes",
        "is_frozen",
        "is_inside_word",
        "left",
        "length",
        "opens",
        "waits",
    )

    def __init__(self, char: str, length: int, before: str, after: str) -> None:
        self.char = char
        self.length = length
        #: How many of its characters have no partner.
        self.left = length
        #: The spans that end and begin here.
        self.closes: dict[int, int] = {}
        self.opens: dict[int, int] = {}
        #: Whether what is left may still find a partner.
        self.waits = False
        #: Whether it stands on a row that cannot be changed any more.
        self.is_frozen = False
        blank_before, blank_after = before.isspace(), after.isspace()
        punctuation_before, punctuation_after = _is_punctuation(before), _is_punctuation(after)
        left_flanking = not blank_after and (not punctuation_after or blank_before or punctuation_before)
        right_flanking = not blank_before and (not punctuation_before or blank_after or punctuation_after)
        #: Inside a word it rarely is markup; between characters of which each is a word, it is.
        is_between_words = is_wide(before) or is_wide(after)
        self.is_inside_word = (
            left_flanking and right_flanking and not (punctuation_before or punctuation_after or is_between_words)
        )
        if char == "_":
            self.can_open = left_flanking and (not right_flanking or punctuation_before)
            self.can_close = right_flanking and (not left_flanking or punctuation_after)
        else:
            self.can_open, self.can_close = left_flanking, right_flanking

    def copy(self) -> Run:
        """The same run, on its own."""
        twin = Run.__new__(Run)
        for name in Run.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.closes, twin.opens = dict(self.closes), dict(self.opens)
        return twin

    @property
    def guess(self) -> dict[int, int]:
        """The spans that what is left will have opened, if it finds its partners."""
        if not self.waits:
            return {}
        return {STRIKE: self.left // 2} if self.char == "~" else {STRONG: self.left // 2, EMPHASIS: self.left % 2}

    @property
    def text(self) -> str:
        """The characters that are no markup."""
        return "" if self.waits else self.char * self.left


class Delimiters:
    """The runs that may still be closed.

    A frozen run is never changed: copies of the stack share it, and one that loses characters is replaced by its copy.
    """

    __slots__ = ("_bottoms", "_floors", "runs")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        # For each link whose text is being read: runs below this place are outside, and cannot be closed from inside.
        self._floors: list[int] = []
        # For a kind of closing run: below this place in the stack nothing matches it (the specification's openers_bottom).
        self._bottoms: dict[tuple[str, int, bool], int] = {}

    def copy(self) -> Delimiters:
        """The same stack; all of its runs are frozen."""
        twin = Delimiters()
        twin.runs = self.runs[-_DEEPEST:]
        dropped = len(self.runs) - len(twin.runs)
        twin._floors = [max(0, floor - dropped) for floor in self._floors]
        twin._bottoms = {kind: max(0, place - dropped) for kind, place in self._bottoms.items()}
        return twin

    def enter(self) -> None:
        """The text of a link begins."""
        self._floors.append(len(self.runs))

    def leave(self) -> bool:
        """It ends: what it opened and did not close is text. Whether text looks different now."""
        return self.give_up(self._floors.pop()) if self._floors else False

    def add(self, run: Run) -> bool:
        """Match `run` with those before it and keep what may open. Whether text before it looks different now."""
        changed = False
        if run.can_close:
            changed = self._close(run)
        if run.can_open and run.left:
            run.waits = True
            self.runs.append(run)
        return changed

    def give_up(self, floor: int = 0) -> bool:
        """The runs from `floor` on open nothing. Whether text looks different now."""
        dropped = self.runs[floor:]
        self._cut(floor)
        changed = False
        for run in dropped:
            if not run.is_frozen:
                run.waits = False
                changed = changed or run.left > 0
        return changed

    def _cut(self, floor: int) -> None:
        del self.runs[floor:]
        self._bottoms = {kind: min(place, floor) for kind, place in self._bottoms.items()}

    def _close(self, run: Run) -> bool:
        changed = False
        while run.left:
            place = self._partner(run)
            if place < 0:
                break
            opener = self._own(place)
            for between in self.runs[place + 1 :]:
                if between.is_frozen:
                    # It was shown as markup and will stay so; its span ends here at the latest.
                    _add(run.closes, between.guess)
            changed = self.give_up(place + 1) or changed
            size = 2 if run.char == "~" or min(opener.left, run.left) >= 2 else 1
            style = STRIKE if run.char == "~" else STRONG if size == 2 else EMPHASIS
            changed = changed or (size == 1 and opener.left % 2 == 0)
            opener.left -= size
            run.left -= size
            _add(opener.opens, {style: 1})
            _add(run.closes, {style: 1})
            if not opener.left:
                self._cut(place)
                opener.waits = False
        return changed

    def _own(self, place: int) -> Run:
        """The run at `place`, to be changed."""
        run = self.runs[place]
        if run.is_frozen:
            run = self.runs[place] = run.copy()
        return run

    def _partner(self, run: Run) -> int:
        """The place of the run that `run` closes; -1 when there is none."""
        kind = (run.char, run.length % 3, run.can_open)
        bottom = max(self._floors[-1] if self._floors else 0, self._bottoms.get(kind, 0))
        for place in range(len(self.runs) - 1, bottom - 1, -1):
            opener = self.runs[place]
            if opener.char != run.char:
                continue
            # The rule of three.
            both = (opener.can_close or run.can_open) and run.char != "~"
            if both and (opener.length + run.length) % 3 == 0 and (opener.length % 3 or run.length % 3):
                continue
            return place
        self._bottoms[kind] = len(self.runs)
        return -1


def _add(spans: dict[int, int], more: dict[int, int]) -> None:
    for style, number in more.items():
        spans[style] = spans.get(style, 0) + number
