"""How far a text has been read: its source, the atoms that came of it, and what is known about places in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from streaming_chat.markdown.atoms import Atom
from streaming_chat.markdown.emphasis import Counts, Run
from streaming_chat.markdown.facts import Fact, FactKind
from streaming_chat.markdown.state import Bracket, State, shifted
from streaming_chat.markdown.style import CODE
from streaming_chat.text.widths import fitting, most_columns


class Mark(NamedTuple):
    """A place before which all is settled, but for open brackets: the text can be read again from here on."""

    place: int
    #: The number of atoms before it, and what the state was there.
    atoms: int
    counts: Counts
    before: str
    brackets: tuple[Bracket, ...] = ()


class Reading:
    """One text, as far as it is there and has been read. The readers of its markup share it.

    `changed` is called with each atom behind the last one, and with None when atoms have changed. `room` tells how many
    columns are left on the row. `style` is that of all of the text.
    """

    def __init__(self, style: int, changed: Callable[[Atom | None], None], room: Callable[[], int]) -> None:
        self.atoms: list[Atom] = []
        self.style = style
        self.changed = changed
        self._room = room
        self.source = ""
        self.done = 0  # As much of the source has been read.
        self.base = State()  # Before the first character that can still be changed.
        self.state = State()
        self.facts: dict[int, Fact] = {}
        #: The last place before which no bracket is open, and the last one behind that, where some are.
        self.marks: tuple[Mark | None, Mark | None] = (None, None)
        self.is_plain = True  # There is nothing in it but words and blanks.
        self.is_over = False
        self.is_silent = False  # It is being read again, and nobody has to know.
        self.held_at = -1  # A place at which the text is taken to end, for as long as it is read again.
        self.begins_in_url = False  # The row above ends inside an address.
        self.unclosed: list[Run] = []  # What was opened on the rows above, and in vain.

    # Atoms ------------------------------------------------------------------------------------------------------------

    def add_text(self, text: str, at: int, end: int, style: int = 0) -> None:
        """An atom of visible text."""
        state = self.state
        if state.images:
            atom = Atom(text, at, style & ~CODE)
            atom.has_spans = False
            atom.style |= self.style
        else:
            atom = Atom(text, at, style)
            atom.style |= self.style | state.counts.style if atom.has_spans else self.style
        state.before = self.source[end - 1]
        self.atoms.append(atom)
        self.done = end
        if not self.is_silent:
            self.changed(atom)

    def add_word(self, at: int, end: int, style: int = 0) -> None:
        """An atom of a word, or of a part of it: what is decided at the edge of a row is decided at the character there."""
        text = self.source[at:end]
        # A character has two columns at most.
        if not self.is_silent and 2 * len(text) > (room := self._room()):
            text = _fitted(text, room)
            end = at + len(text)
        self.add_text(text, at, end, style)

    def append(self, atom: Atom, end: int, *, all_changed: bool = False) -> None:
        """The source has been read up to `end`, and `atom` is what came of it."""
        self.atoms.append(atom)
        self.done = end
        if not self.is_silent:
            self.changed(None if all_changed else atom)

    def fitted(self, text: str) -> str:
        """As much of a word as fits on the row, and the character that does not."""
        return text if self.is_silent else _fitted(text, self._room())

    def has_room(self, columns: int) -> bool:
        """Whether fewer than the columns that are left would be taken."""
        return self.is_silent or columns < self._room()

    def restyle(self) -> None:
        """Compute again how the atoms look."""
        counts = self.base.counts.copy()
        for unclosed in self.unclosed:
            counts.add(unclosed.guess, -1)
        for atom in self.atoms:
            run = atom.run
            if run is None:
                atom.style = atom.own_style | self.style | (counts.style if atom.has_spans else 0)
                continue
            counts.add(run.closes, -1)
            atom.text = run.text
            atom.columns = len(run.text)
            atom.style = self.style | counts.style
            counts.add(run.opens)
            counts.add(run.guess)
        self.state.counts = counts

    # The source -------------------------------------------------------------------------------------------------------

    def holds(self, end: int) -> bool:
        """Whether what ends at `end` can only be read when more of the text is there."""
        return end in (len(self.source), self.held_at) and not self.is_over

    def is_in_url(self, at: int) -> bool:
        """Whether the word before `at` has begun as an address."""
        start = max(self.source.rfind(" ", 0, at), self.source.rfind("\n", 0, at)) + 1
        return "://" in self.source[start:at] or (not start and self.begins_in_url)

    def learn(self, place: int, fact: Fact) -> None:
        """Something is known about a place: what stands behind it is not settled any more."""
        self.facts[place] = fact
        self.forget_marks(place)

    # Where it can be read again from ----------------------------------------------------------------------------------

    def mark(self, at: int) -> None:
        """Remember `at`, if the text can be read again from there on."""
        state = self.state
        if not state.is_calm(at):
            return
        mark = Mark(at, len(self.atoms), state.counts.copy(), state.before, state.brackets)
        self.marks = (self.marks[0], mark) if state.brackets else (mark, None)

    def forget_marks(self, place: int = -1) -> None:
        """What stands behind `place` is not settled any more."""
        settled, bracketed = self.marks
        if settled is not None and settled.place > place:
            self.marks = (None, None)
        elif bracketed is not None and bracketed.place > place:
            self.marks = (settled, None)

    def go_back(self, limit: int) -> None:
        """Go back to the last place up to `limit` before which nothing can be different now."""
        for mark in reversed(self.marks):
            if mark is not None and mark.place <= limit:
                break
        else:
            self.state = self.base.copy()
            self.atoms = []
            self.done = 0
            return
        self.atoms = self.atoms[: mark.atoms]
        self.done = mark.place
        self.state = state = State()
        state.counts, state.before = mark.counts.copy(), mark.before
        if mark.brackets:
            state.brackets = tuple(one for one in mark.brackets if one.place not in self.facts)

    def cut(self, cut: int) -> None:
        """Drop what stands before `cut`: it cannot be changed any more. Nothing has been read of the rest."""
        self._cut_source(cut)
        self.forget_marks()

    def cut_read(self, cut: int, index: int) -> None:
        """Drop what stands before `cut`, and the first `index` atoms; all else stays as it has been read."""
        self._cut_source(cut)
        self.done -= cut
        del self.atoms[:index]
        for atom in self.atoms:
            atom.place -= cut
        if not self.is_plain:
            self.state.shift(cut)
        settled, bracketed = self.marks
        self.marks = (_moved(settled, cut, index), _moved(bracketed, cut, index))

    def _cut_source(self, cut: int) -> None:
        self.source = self.source[cut:]
        self.facts = {place - cut: fact._replace(end=fact.end - cut) for place, fact in self.facts.items() if place >= cut}

    def open_bracket(self) -> int | None:
        """The place of the first `[` that may still begin a link."""
        state = self.state
        first = next((one.place for one in state.brackets if one.is_active), None)
        if state.closed and self.done <= state.closed[1] + 1 and not self.is_over:
            place = state.closed[0].place
            return place if first is None else min(first, place)
        return first

    def bracket_is_text(self, place: int) -> None:
        """The bracket at `place` is text, whatever comes."""
        self.facts[place] = Fact(FactKind.TEXT, place + (2 if self.source[place] == "!" else 1))


def _fitted(text: str, room: int) -> str:
    """As much of a word as fits into the columns that are left, and the character that does not."""
    return text if most_columns(text) <= room else text[: fitting(text, max(0, room)) + 1]


def _moved(mark: Mark | None, cut: int, index: int) -> Mark | None:
    """A mark in a text that begins `cut` characters and `index` atoms later."""
    if mark is None or mark.place < cut:
        return None
    return Mark(mark.place - cut, mark.atoms - index, mark.counts, mark.before, tuple(shifted(mark.brackets, cut)))
