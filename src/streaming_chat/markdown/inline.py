"""The text of a paragraph, a heading or a cell, as it comes: atoms that may change, until they stand on a row that is done.

Strategy: the text is read once, from left to right (inline_reader.py). When a guess turns out wrong it is read again with
what is known now, from the last place that can still be changed. That is the beginning of the row on the screen, or later,
so what is read again is short. What stands behind the end of a row is read again only if what stands before it had a part
in how it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streaming_chat.markdown.atoms import Atom
from streaming_chat.markdown.characters import BLANK, MARKUP, RUN
from streaming_chat.markdown.facts import Again, Fact, FactKind
from streaming_chat.markdown.inline_reader import InlineReader
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.reading import Reading
from streaming_chat.text.widths import is_wide

#: Behind a `*`: a variable. A lone `a` is a word.
_VARIABLE: Final = re.compile(r"(?:(?:kw)?args|[b-z])\b")
#: Columns of a row without an end.
_NO_EDGE: Final = 1 << 30


class Inline:
    """One text. After `feed` or `end`, `atoms` is what is seen of it from the place on that `freeze` was told of last.

    `changed` is called with each atom behind the last one, and with None when atoms have changed; it may freeze. `room` is
    asked for the columns that are left on the row. `definitions` has the addresses of labels. `style` is that of all of it.
    """

    def __init__(
        self,
        definitions: Definitions,
        *,
        style: int = 0,
        changed: Callable[[Atom | None], None] = lambda _appended: None,
        room: Callable[[], int] = lambda: _NO_EDGE,
    ) -> None:
        self._reading = Reading(style, changed, room)
        self._reader = InlineReader(self._reading, definitions)
        #: What cannot be read before something else comes, and of which there is only more.
        self._held: list[str] = []

    @property
    def atoms(self) -> list[Atom]:
        """What is seen, piece by piece."""
        return self._reading.atoms

    @property
    def has_brackets(self) -> bool:
        """Whether a definition that is yet to come may make a link of what is shown."""
        return "[" in self._reading.source

    @property
    def open_bracket(self) -> int | None:
        """The place of the first `[` that may still begin a link."""
        return self._reading.open_bracket()

    def feed(self, text: str) -> None:
        """Read more of the text. A line end in it is a blank."""
        reading = self._reading
        if reading.done < len(reading.source):
            # It was held back. More of the same changes nothing, and is not to be looked at once for every feed.
            first = reading.source[reading.done]
            if not text.strip(BLANK if first in BLANK else first if first in "*_~`" else ""):
                self._held.append(text)
                return
            self._take_held()
        reading.source += text
        self._read_all()

    def _take_held(self) -> None:
        if self._held:
            self._reading.source += "".join(self._held)
            self._held.clear()

    def end(self) -> None:
        """The text is over: what has not found its end is text."""
        reading = self._reading
        self._take_held()
        reading.is_over = True
        self._read_all()
        self._end_spans()
        tail = reading.state.tail
        if tail is not None and tail.begin >= 0:
            self._reader.links.tail_is_none(tail)
            self._read_again(len(reading.source))
            # What was an address is text now, and may be anything.
            self.end()
            return
        reading.unclosed = [run for run in reading.state.delimiters.runs if run.is_frozen]
        for atom in reading.atoms:
            run = atom.run
            if run and run.waits and not run.is_frozen and run.left == run.length:
                # Should it be read again, because its characters make the row too long, it is text then too.
                reading.facts[atom.place] = Fact(FactKind.TEXT, atom.place + run.length)
        reading.state.delimiters.give_up()
        reading.restyle()
        reading.changed(None)

    def _end_spans(self) -> None:
        """A code span and an autolink without an end are text, and what is behind them is read as such."""
        reading = self._reading
        if reading.state.code and reading.state.code_place < 0:
            # A code span that began on the rows above, and was none.
            reading.base.code = 0
            reading.is_plain = False
            reading.forget_marks()
            self._read_again(len(reading.source))
        while (state := reading.state).code_place >= 0 or state.angle >= 0:
            place, size = (state.angle, 1) if state.angle >= 0 else (state.code_place, state.code)
            reading.learn(place, Fact(FactKind.TEXT, place + size))
            self._read_again(len(reading.source))

    def look_again(self) -> None:
        """A definition has come: read again what can still be changed."""
        reading = self._reading
        self._take_held()
        kept = (FactKind.TEXT, FactKind.SHOWN)
        reading.facts = {place: fact for place, fact in reading.facts.items() if fact.kind in kept}
        reading.forget_marks()
        self._read_again(len(reading.source))
        self.end()

    def restyle(self, style: int) -> None:
        """Give all that can still be changed another style."""
        self._reading.style = style
        self._reading.restyle()
        self._reading.changed(None)

    # Guesses ----------------------------------------------------------------------------------------------------------

    def make_text(self, atoms: list[Atom]) -> bool:
        """What is only guessed to be markup in these atoms, and rarely is, is text. Whether there was any."""
        reading = self._reading
        guessed = [(atom.run, atom.place) for atom in atoms if atom.run and atom.run.waits and not atom.run.is_frozen]
        kinds = [(run.char, run.length) for run, _ in guessed]
        places = [
            place
            for run, place in guessed
            # Of two, the second was most likely meant to close the first.
            if run.is_inside_word or kinds.count((run.char, run.length)) > 1 or self._is_code_like(place, run.length)
        ]
        if atoms and self._is_lone_tick(atoms[-1].place):
            places.append(reading.state.code_place)
        for place in places:
            found = RUN.match(reading.source, place)
            reading.learn(place, Fact(FactKind.TEXT, found.end() if found else place + 1))
        if places:
            self._read_as_it_came()
        return bool(places)

    def _is_lone_tick(self, last: int) -> bool:
        """Whether a code span that began up to the place `last` looks like a single backtick in a text."""
        reading, code = self._reading, self._reading.state.code_place
        if reading.state.code != 1 or not 0 <= code <= last:
            return False
        before, after = reading.source[code - 1 : code], reading.source[code + 1 : min(code + 2, reading.done)]
        return after.isspace() or (before.isalnum() and not is_wide(before))

    def _is_code_like(self, place: int, length: int) -> bool:
        """Whether the `*` at `place` look like those of `f(*args, **kwargs)`, `*p` and `src/**/*.py`."""
        source = self._reading.source
        before, after = source[max(0, place - 2) : place], source[place + length : self._reading.done]
        word = after.split(maxsplit=1)[0] if after else ""
        is_call = before[-1:] == "(" and before[:1].isidentifier()
        is_call = is_call or bool(_VARIABLE.match(after))
        return is_call or before[-1:] in ("/", ",") or after[:1] in ("/", ".") or word.count(")") > word.count("(")

    def opens(self, atom: Atom) -> bool:
        """Whether an atom of which nothing is seen is the beginning of something."""
        state = self._reading.state
        return bool(atom.run and atom.run.waits) or (state.code > 0 and atom.place == state.code_place)

    def make_brackets_text(self, before: int | None) -> bool:
        """The `[` that may still begin a link are text, whatever comes: all of them, or those before a place.

        Whether what is seen may be different now.
        """
        reading, state = self._reading, self._reading.state
        if state.closed is not None:
            # It may be another one that this `]` closes.
            place = reading.open_bracket()
            assert place is not None
            reading.bracket_is_text(place)
            self._read_as_it_came()
            return True
        kept = []
        for bracket in state.brackets:
            if bracket.is_active and (before is None or bracket.place < before):
                reading.bracket_is_text(bracket.place)
            else:
                kept.append(bracket)
        state.brackets = tuple(kept)
        return False

    # Rows that are done -----------------------------------------------------------------------------------------------

    def freeze(self, index: int, size: int = 0) -> int:
        """The first `index` atoms, and `size` characters of the next, stand on a row that cannot be changed any more.

        What is returned is how many characters of the first atom are to be passed over: 0, unless it cannot be cut.
        """
        reading = self._reading
        atoms = reading.atoms
        cut = atoms[index].place if index < len(atoms) else reading.done
        if size:
            atom = atoms[index]
            if reading.source.startswith(atom.text, atom.place):
                cut, size = cut + size, 0
        reading.begins_in_url = reading.is_in_url(cut)
        if reading.is_plain:
            reading.base.before = reading.source[cut - 1] if cut else reading.base.before
            self._drop(cut, index)
            reading.state.before = reading.source[reading.done - 1] if reading.done else reading.base.before
            return size
        done, state, marks = reading.done, reading.state, reading.marks
        self._read_again(cut)
        before = reading.state
        # A `]` on what comes may have been read as that of a bracket which is none any more.
        may_pair = bool(before.brackets) and reading.source.find("]", cut, done) >= 0
        is_fixed = reading.done == cut and not may_pair and before.is_fixed()
        before.freeze(cut)
        reading.base = before
        # As it may have been read on the row above, so it is here.
        is_plain = not (before.delimiters.runs or before.code or before.tail or before.counts.style or before.verbatim)
        if is_fixed:
            reading.done, reading.state, reading.atoms, reading.marks = done, state, atoms, marks
            self._drop(cut, index)
            reading.is_plain = is_plain and not MARKUP.search(reading.source, 0, reading.done)
            if reading.unclosed:
                reading.restyle()
        else:
            reading.cut(cut)
            reading.is_plain = is_plain
            self._read_again(done - cut)
        return size

    def _drop(self, cut: int, index: int) -> None:
        """Drop what stands before `cut`, and the first `index` atoms; what is left of the next one is an atom."""
        reading = self._reading
        if index < len(reading.atoms):
            atom = reading.atoms[index]
            if cut > atom.place:
                rest = Atom(atom.text[cut - atom.place :], cut, atom.own_style)
                rest.style, rest.address, rest.has_spans = atom.style, atom.address, atom.has_spans
                reading.atoms[index] = rest
        reading.cut_read(cut, index)

    # Reading again ----------------------------------------------------------------------------------------------------

    def _read_again(self, limit: int) -> None:
        """Read again as far as `limit`, and tell nobody."""
        reading = self._reading
        silent, reading.is_silent = reading.is_silent, True
        while True:
            reading.go_back(limit)
            try:
                self._reader.read(limit)
                break
            except Again:
                continue
        reading.is_silent = silent
        reading.restyle()

    def _read_as_it_came(self) -> None:
        """Read again as far as before, as if no more of the text were there: it may not be, as yet."""
        reading = self._reading
        reading.held_at = reading.done
        self._read_again(reading.done)
        reading.held_at = -1

    def _read_all(self) -> None:
        reading = self._reading
        while True:
            try:
                self._reader.read(None)
                return
            except Again:
                self._read_as_it_came()
                reading.changed(None)
