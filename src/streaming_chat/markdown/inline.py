"""The text of a paragraph, a heading or a cell, as it comes: atoms that may change, until they stand on a row that is done.

Strategy: the text is read once, from left to right (inline_reader.py). When a guess turns out wrong it is read again with
what is known now, from the last place that can still be changed. That is the beginning of the row on the screen, or later,
so what is read again is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from streaming_chat.markdown.atoms import Atom
from streaming_chat.markdown.inline_reader import RUN, Again, Fact, InlineReader
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.state import State
from streaming_chat.text.widths import is_wide

#: Behind a `*`: a variable. A lone `a` is a word.
_VARIABLE: Final = re.compile(r"(?:(?:kw)?args|[b-z])\b")
#: Columns of a row without an end.
_NO_EDGE: Final = 1 << 30


class Inline(InlineReader):
    """One text. After `feed` or `end`, `atoms` is what is seen of it from the place on that `freeze` was told of last.

    `changed` may freeze. The parameters are those of `InlineReader`.
    """

    def __init__(
        self,
        definitions: Definitions,
        *,
        style: int = 0,
        changed: Callable[[bool], None] = lambda _all: None,
        room: Callable[[], int] = lambda: _NO_EDGE,
    ) -> None:
        super().__init__(definitions, style=style, changed=changed, room=room)

    @property
    def has_brackets(self) -> bool:
        """Whether a definition that is yet to come may make a link of what is shown."""
        return "[" in self._source

    @property
    def open_bracket(self) -> int | None:
        """The place of the first `[` that may still begin a link."""
        state = self._state
        places = [one.place for one in state.brackets if one.is_active]
        if state.closed and self._done <= state.closed[1] + 1 and not self._is_over:
            places.append(state.closed[0].place)
        return min(places, default=None)

    def feed(self, text: str) -> None:
        """Read more of the text. A line end in it is a blank."""
        self._source += text
        self._read_all()

    def end(self) -> None:
        """The text is over: what has not found its end is text."""
        self._is_over = True
        self._read_all()
        if self._state.code and self._state.code_place < 0:
            # A code span that began on the rows above, and was none.
            self._base.code = 0
            self._is_plain = False
            self._read_again(len(self._source))
        state = self._state
        while state.code_place >= 0 or state.angle >= 0:
            # Nothing has closed it: it is text, and what is behind it is read as such.
            place = state.angle if state.angle >= 0 else state.code_place
            self._facts[place] = Fact("text", place + (1 if state.angle >= 0 else state.code))
            self._read_again(len(self._source))
            state = self._state
        if state.tail is not None and state.tail[1] >= 0:
            self._no_link(state.tail[1], state.tail[2])
            self._read_again(len(self._source))
            # What was an address is text now, and may be anything.
            self.end()
            return
        self._unclosed = [run.copy() for run in self._state.delimiters.runs if run.is_frozen]
        for atom in self.atoms:
            run = atom.run
            if run and run.waits and not run.is_frozen and run.left == run.length:
                # Should it be read again, because its characters make the row too long, it is text then too.
                self._facts[atom.place] = Fact("text", atom.place + run.length)
        self._state.delimiters.give_up()
        self._restyle()
        self._changed(True)

    def look_again(self) -> None:
        """A definition has come: read again what can still be changed."""
        self._facts = {place: fact for place, fact in self._facts.items() if fact.kind in ("text", "shown")}
        self._settled = None
        self._read_again(len(self._source))
        self.end()

    def restyle(self, style: int) -> None:
        """Give all that can still be changed another style."""
        self.style = style
        self._restyle()
        self._changed(True)

    def make_text(self, atoms: list[Atom]) -> bool:
        """What is only guessed to be markup in these atoms, and rarely is, is text. Whether there was any."""
        guessed = [(atom.run, atom.place) for atom in atoms if atom.run and atom.run.waits and not atom.run.is_frozen]
        kinds = [(run.char, run.length) for run, _ in guessed]
        places = [
            place
            for run, place in guessed
            # Of two, the second was most likely meant to close the first.
            if run.is_inside_word or kinds.count((run.char, run.length)) > 1 or self._is_code_like(place, run.length)
        ]
        code = self._state.code_place
        if self._state.code == 1 and atoms and 0 <= code <= atoms[-1].place:
            before, after = self._source[code - 1 : code], self._source[code + 1 : min(code + 2, self._done)]
            if after.isspace() or (before.isalnum() and not is_wide(before)):
                places.append(code)
        for place in places:
            found = RUN.match(self._source, place)
            self._facts[place] = Fact("text", found.end() if found else place + 1)
        if places:
            self._read_as_it_came()
        return bool(places)

    def _is_code_like(self, place: int, length: int) -> bool:
        """Whether the `*` at `place` look like those of `f(*args, **kwargs)`, `*p` and `src/**/*.py`."""
        before, after = self._source[max(0, place - 2) : place], self._source[place + length : self._done]
        word = after.split(maxsplit=1)[0] if after else ""
        is_call = before[-1:] == "(" and before[:1].isidentifier()
        is_call = is_call or bool(_VARIABLE.match(after))
        return is_call or before[-1:] in ("/", ",") or after[:1] in ("/", ".") or word.count(")") > word.count("(")

    def opens(self, atom: Atom) -> bool:
        """Whether an atom of which nothing is seen is the beginning of something."""
        state = self._state
        return bool(atom.run and atom.run.waits) or (state.code > 0 and atom.place == state.code_place)

    def make_bracket_text(self, place: int) -> None:
        """The `[` at this place is text, whatever comes."""
        self._facts[place] = Fact("text", place + (2 if self._source[place] == "!" else 1))
        self._read_as_it_came()

    def freeze(self, index: int, size: int = 0) -> int:
        """The first `index` atoms, and `size` characters of the next, stand on a row that cannot be changed any more.

        What is returned is how many characters of the first atom are to be passed over: 0, unless it cannot be cut.
        """
        cut = self.atoms[index].place if index < len(self.atoms) else self._done
        if size:
            atom = self.atoms[index]
            if self._source.startswith(atom.text, atom.place):
                cut, size = cut + size, 0
            if self._is_plain:
                self.atoms[index] = Atom(atom.text[cut - atom.place :], cut, atom.own_style)
                self.atoms[index].style = atom.style
        done = self._done
        self._begins_in_url = self._is_in_url(cut)
        if self._is_plain:
            self._base.before = self._source[cut - 1] if cut else self._base.before
        else:
            self._read_again(cut)
            self._base = self._state.copy()
            self._base.freeze(cut)
        self._source = self._source[cut:]
        self._settled = None
        self._facts = {place - cut: fact._replace(end=fact.end - cut) for place, fact in self._facts.items() if place >= cut}
        if self._is_plain:
            self._state.before = self._source[done - cut - 1] if done > cut else self._base.before
            self._done = done - cut
            del self.atoms[:index]
            for atom in self.atoms:
                atom.place -= cut
            return size
        # As it may have been read on the row above, so it is here.
        base = self._base
        self._is_plain = not (base.delimiters.runs or base.code or base.tail or base.counts.style or base.verbatim)
        self._read_again(done - cut)
        return size

    def _start(self, limit: int) -> None:
        """Go back to where something may be different now."""
        if self._settled is None or self._settled[1] > limit:
            self._state = self._base.copy()
            self.atoms = []
            self._done = 0
            return
        count, self._done, counts, before = self._settled
        self.atoms = self.atoms[:count]
        self._state = State()
        self._state.counts, self._state.before = counts.copy(), before

    def _read_again(self, limit: int) -> None:
        """Read anew as far as `limit`, and tell nobody."""
        silent, self._is_silent = self._is_silent, True
        while True:
            self._start(limit)
            try:
                self._read(limit)
                break
            except Again:
                continue
        self._is_silent = silent
        self._restyle()

    def _read_as_it_came(self) -> None:
        """Read anew as far as before, as if no more of the text were there: it may not be, as yet."""
        self._held_at = self._done
        self._read_again(self._done)
        self._held_at = -1

    def _read_all(self) -> None:
        while True:
            try:
                self._read(None)
                return
            except Again:
                self._read_as_it_came()
                self._changed(True)
