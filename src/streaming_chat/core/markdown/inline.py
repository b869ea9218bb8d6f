"""The text of a paragraph, a heading or a cell → atoms: pieces of visible text with their styles.

Strategy: the text is read once, from left to right. Each piece of markup is decided at the first character that can decide
it, by a guess where only the end could know: a run of `*` that can open does so, a code span that has begun is one, `](`
ends the text of a link. What a later character shows to have been otherwise is noted as a fact about a place in the text,
and the text is read again with it, from the last place that can still be changed. That is the beginning of the row on the
screen, so what is read again is short.

Rule: what comes of a text depends on its characters alone, not on how they are cut into feeds. What cannot be decided yet is
held back; that is only ever markup (a run of delimiters, a backslash) or white space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streaming_chat.core.markdown.emphasis import Counts, Delimiters, Run
from streaming_chat.core.markdown.links import LABEL, Tail, character_of, is_safe, normalized
from streaming_chat.core.markdown.style import CODE, FAINT
from streaming_chat.core.markdown.widths import WIDE, fitting, has_marks, most_columns

_PLAIN: Final = re.compile(rf"[^\s\\`*_~\[\]!<&{WIDE}]+|[{WIDE}]")
#: While an entity may end at the next character.
_CAREFUL: Final = re.compile(rf"[^\s\\`*_~\[\]!<&;{WIDE}]+|[;{WIDE}]")
_BLANKS: Final = re.compile(r"\s+")
_RUN: Final = re.compile(r"\*+|_+|~+")
_TICKS: Final = re.compile(r"`+")
_IN_ANGLE: Final = re.compile(rf"[^\s<>{WIDE}]+|[{WIDE}]")
_IN_ADDRESS: Final = re.compile(r"[^\s()\\<>]+")
_IN_CODE: Final = re.compile(rf"[^`\s{WIDE}]+|[{WIDE}]")
_HARD_BREAK: Final = re.compile(r" {2,}\n")
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_AUTOLINK: Final = re.compile(
    r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*"
    r"|[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)>"
)
#: Longer runs are text: nobody means anything by them, and a run must fit on a row.
_LONGEST_RUN: Final = 15
#: Longer entities there are not.
_LONGEST_ENTITY: Final = 34
#: Nobody nests brackets so deeply.
_MOST_BRACKETS: Final = 50

#: Columns of a row without an end.
_NO_EDGE: Final = 1 << 30

#: The text of an atom that is a hard line break.
BREAK: Final = "\n"


class Atom:
    """A piece of the text: (a part of) a word, a blank, or a run of delimiters. `text` is what is seen, `style` how."""

    __slots__ = ("address", "columns", "has_marks", "has_spans", "own_style", "place", "run", "style", "text")

    def __init__(self, text: str, place: int, own_style: int, run: Run | None = None) -> None:
        self.text = text
        is_ascii = text.isascii()
        self.columns = (0 if text == BREAK else len(text)) if is_ascii else most_columns(text)
        self.has_marks = not is_ascii and has_marks(text)
        #: Where it stands in the source.
        self.place = place
        self.own_style = own_style
        self.style = own_style
        self.run = run
        #: Whether the spans that are open give it their style.
        self.has_spans = not own_style & FAINT
        #: Where the link leads that it is a part of.
        self.address = ""


class _Fact(NamedTuple):
    """What is known about a place of the text. `end` is where reading goes on, `text` what is shown."""

    kind: str
    end: int
    text: str = ""


class _Bracket:
    """A `[` that may begin a link, or a `![`."""

    __slots__ = ("is_active", "is_image", "place")

    def __init__(self, place: int, *, is_image: bool) -> None:
        self.place = place
        self.is_image = is_image
        self.is_active = True


class _State:
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
        "tail",
    )

    def __init__(self) -> None:
        self.before = "\n"
        self.counts = Counts()
        self.delimiters = Delimiters()
        self.brackets: list[_Bracket] = []
        #: The last `[` that found its `]`, and the place of that.
        self.closed: tuple[_Bracket, int] | None = None
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

    def copy(self) -> _State:
        twin = _State()
        for name in ("ampersand", "angle", "before", "closed", "code", "code_place", "images", "tail"):
            setattr(twin, name, getattr(self, name))
        twin.counts, twin.delimiters = self.counts.copy(), self.delimiters.copy()
        twin.brackets, twin.links = list(self.brackets), list(self.links)
        if self.tail is not None:
            twin.tail = (self.tail[0].copy(), *self.tail[1:])
        return twin

    def freeze(self) -> None:
        """What was read stands on a row that cannot be changed any more: guesses are as good as knowledge."""
        for run in self.delimiters.runs:
            run.is_frozen = True
        self.brackets = []
        self.closed = None
        self.code_place = self.ampersand = self.angle = -1
        self.links = [-1 for _ in self.links]
        if self.tail is not None:
            self.tail = (self.tail[0], -1, -1, self.tail[3])


class _Again(Exception):  # not an error: a fact has been found
    """The text is to be read again."""


class Inline:
    """One text. After `feed` or `end`, `atoms` is what is seen of it from the place on that `freeze` was told of last.

    `changed` is called behind each atom (False), and when atoms have changed (True); it may freeze. `room` tells how many
    columns are left on the row. `definitions` has the addresses of labels. `style` is that of all of the text.
    """

    def __init__(
        self,
        definitions: Mapping[str, str],
        *,
        style: int = 0,
        changed: Callable[[bool], None] = lambda _all: None,
        room: Callable[[], int] = lambda: _NO_EDGE,
    ) -> None:
        self.atoms: list[Atom] = []
        self.style = style
        self._definitions = definitions
        self._changed = changed
        self._room = room
        self._source = ""
        self._done = 0  # As much of the source has been read.
        self._base = _State()
        self._state = _State()
        self._facts: dict[int, _Fact] = {}
        self._is_plain = True  # There is nothing in it but words and blanks.
        self._is_over = False
        self._is_silent = False  # It is being read again, and nobody has to know.

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
        state = self._state
        while state.code_place >= 0 or state.angle >= 0:
            # Nothing has closed it: it is text, and what is behind it is read as such.
            place = state.angle if state.angle >= 0 else state.code_place
            self._facts[place] = _Fact("text", place + (1 if state.angle >= 0 else state.code))
            self._read_again(len(self._source))
            state = self._state
        if state.tail is not None and state.tail[1] >= 0:
            self._no_link(state.tail[1], state.tail[2])
            self._read_again(len(self._source))
            # What was an address is text now, and may be anything.
            self.end()
            return
        self._state.delimiters.give_up()
        self._restyle()
        self._changed(True)

    def look_again(self) -> None:
        """A definition has come: read again what can still be changed."""
        self._facts = {place: fact for place, fact in self._facts.items() if fact.kind in ("text", "shown")}
        self._read_again(len(self._source))
        self.end()

    def restyle(self, style: int) -> None:
        """Give all that can still be changed another style."""
        self.style = style
        self._restyle()
        self._changed(True)

    def make_text(self, atoms: list[Atom]) -> bool:
        """What is only guessed to be markup in these atoms, and rarely is, is text. Whether there was any."""
        found = False
        for atom in atoms:
            if atom.run and atom.run.waits and atom.run.is_inside_word:
                self._facts[atom.place] = _Fact("text", atom.place + atom.run.length)
                found = True
        code = self._state.code_place
        if self._state.code == 1 and atoms and 0 <= code <= atoms[-1].place and self._source[code + 1 : code + 2].isspace():
            self._facts[code] = _Fact("text", code + 1)
            found = True
        if found:
            self._read_again(self._done)
        return found

    def make_bracket_text(self, place: int) -> None:
        """The `[` at this place is text, whatever comes."""
        self._facts[place] = _Fact("text", place + (2 if self._source[place] == "!" else 1))
        self._read_again(self._done)

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
        if self._is_plain:
            self._base.before = self._source[cut - 1] if cut else self._base.before
        else:
            self._read_again(cut)
            self._base = self._state.copy()
            self._base.freeze()
        self._source = self._source[cut:]
        self._facts = {place - cut: fact._replace(end=fact.end - cut) for place, fact in self._facts.items() if place >= cut}
        if self._is_plain:
            self._state.before = self._source[done - cut - 1] if done > cut else self._base.before
            self._done = done - cut
            del self.atoms[:index]
            for atom in self.atoms:
                atom.place -= cut
            return size
        # As it may have been read on the row above, so it is here.
        self._is_plain = not (self._base.delimiters.runs or self._base.code or self._base.tail or self._base.counts.style)
        self._read_again(done - cut)
        return size

    # Reading ----------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._state = self._base.copy()
        self.atoms = []
        self._done = 0

    def _read_again(self, limit: int) -> None:
        """Read from the beginning as far as before, and tell nobody."""
        silent, self._is_silent = self._is_silent, True
        while True:
            self._start()
            try:
                self._read(limit)
                break
            except _Again:
                continue
        self._is_silent = silent
        self._restyle()

    def _read_all(self) -> None:
        while True:
            try:
                self._read(None)
                return
            except _Again:
                self._read_again(self._done)
                self._changed(True)

    def _read(self, limit: int | None) -> None:
        """Read as far as `limit`, which stands between two atoms; None is the end."""
        # Nothing that is known before an atom is appended holds behind it: a freeze may have come between.
        while self._done < (len(self._source) if limit is None else limit):
            at, state = self._done, self._state
            if state.tail is not None:
                self._read_tail(at, state.tail)
                continue
            if state.closed is not None and state.closed[1] == at - 1:
                self._behind_bracket(at, *state.closed)
            char = self._source[at]
            fact = self._facts.get(at)
            if fact is not None:
                self._is_plain = False
                self._take_fact(at, fact)
            elif char.isspace():
                if not self._read_blanks(at):
                    return
            elif state.code:
                if not self._read_code(at, limit):
                    return
            elif state.angle >= 0:
                self._read_angle(char, at, limit)
            else:
                pattern = _PLAIN if state.ampersand < 0 else _CAREFUL
                found = pattern.match(self._source, at, len(self._source) if limit is None else limit)
                if found:
                    if char == ";" and state.ampersand >= 0:
                        self._end_entity(at)
                    self._word(at, found.end())
                elif not self._read_special(char, at):
                    return
        closed = self._state.closed
        if self._is_over and closed is not None and closed[1] == self._done - 1:
            self._behind_bracket(self._done, *closed)

    def _text(self, text: str, at: int, end: int, style: int = 0) -> None:
        """An atom of visible text."""
        state = self._state
        if state.images:
            style &= ~CODE
        atom = Atom(text, at, style)
        atom.has_spans = atom.has_spans and not state.images
        atom.style = style | self.style | (state.counts.style if atom.has_spans else 0)
        state.before = self._source[end - 1]
        self._append(atom, end)

    def _word(self, at: int, end: int, style: int = 0) -> None:
        """An atom of a word, or of a part of it: what is decided at the edge of a row is decided at the character there."""
        text = self._fitted(self._source[at:end])
        self._text(text, at, at + len(text), style)

    def _fitted(self, text: str) -> str:
        """As much of a word as fits on the row, and the character that does not."""
        if self._is_silent:
            return text
        room = self._room()
        # A character has two columns at most.
        if 2 * len(text) <= room or most_columns(text) <= room:
            return text
        return text[: fitting(text, max(0, room)) + 1]

    def _append(self, atom: Atom, end: int, *, all_changed: bool = False) -> None:
        self.atoms.append(atom)
        self._done = end
        if not self._is_silent:
            self._changed(all_changed)

    def _holds(self, end: int) -> bool:
        """Whether what ends at `end` can only be read when more of the text is there."""
        return end == len(self._source) and not self._is_over

    def _read_blanks(self, at: int) -> bool:
        found = _BLANKS.match(self._source, at)
        assert found is not None
        if found.end() == len(self._source):
            # Nobody sees them, and at the end of a text they are nothing.
            return False
        state = self._state
        if state.angle >= 0:
            self._no_autolink()
        state.ampersand = -1
        if state.code:
            self._text(" ", at, at + 1, CODE)
        elif _HARD_BREAK.search(found[0]):
            self._text(BREAK, at, found.end())
        else:
            self._text(" ", at, found.end())
        return True

    def _read_code(self, at: int, limit: int | None) -> bool:
        state = self._state
        found = _TICKS.match(self._source, at)
        if found is None:
            word = _IN_CODE.match(self._source, at, len(self._source) if limit is None else limit)
            assert word is not None
            self._word(at, word.end(), CODE)
            return True
        if self._holds(found.end()):
            return False
        if len(found[0]) != state.code:
            self._text(found[0], at, found.end(), CODE)
            return True
        is_trimmed = self._trim_code()
        state.code, state.code_place = 0, -1
        state.before = "`"
        self._append(Atom("", at, 0), found.end(), all_changed=is_trimmed)
        return True

    def _trim_code(self) -> bool:
        """One blank at each side of a code span is not shown, if there is more in it than blanks."""
        start = self._state.code_place
        inside = [atom for atom in self.atoms if atom.place > start] if start >= 0 else []
        texts = [atom.text for atom in inside]
        is_trimmed = len(texts) > 2 and texts[0] == texts[-1] == " " and any(text != " " for text in texts)
        if is_trimmed:
            for atom in (inside[0], inside[-1]):
                atom.text, atom.columns = "", 0
        return is_trimmed

    def _read_special(self, char: str, at: int) -> bool:
        self._is_plain = False
        state, source = self._state, self._source
        if char in "*_~":
            return self._read_run(at)
        if char == "\\":
            if self._holds(at + 1):
                return False
            following = source[at + 1 : at + 2]
            if following == "\n":
                self._text(BREAK, at, at + 2)
            elif following in _PUNCTUATION:
                self._text(following, at, at + 2)
            else:
                self._text(char, at, at + 1)
        elif char == "`":
            found = _TICKS.match(source, at)
            assert found is not None
            if self._holds(found.end()):
                return False
            state.code, state.code_place = len(found[0]), at
            self._append(Atom("", at, 0), found.end())
        else:
            if char == "[":
                is_image = bool(self.atoms) and self.atoms[-1].text == "!" and source[at - 1] == "!" and at > 0
                is_image = is_image and self.atoms[-1].place == at - 1
                state.brackets = [*state.brackets, _Bracket(at - is_image, is_image=is_image)][-_MOST_BRACKETS:]
            elif char == "]":
                self._close_bracket(at)
            elif char == "&":
                state.ampersand = at
            elif char == "<":
                state.angle = at
            self._text(char, at, at + 1)
        return True

    def _read_run(self, at: int) -> bool:
        found = _RUN.match(self._source, at)
        assert found is not None
        end = found.end()
        if self._holds(end):
            return False
        state = self._state
        length, char = end - at, found[0][0]
        if length > _LONGEST_RUN or (char == "~" and length == 1):
            self._text(found[0], at, end)
            return True
        if char == "~" and length % 2:
            self._text("~", at, at + 1)
            return True
        run = Run(char, length, state.before, self._source[end : end + 1] or "\n")
        all_changed = state.delimiters.add(run)
        state.counts.add(run.closes, -1)
        atom = Atom(run.text, at, 0, run)
        atom.style = self.style | state.counts.style
        state.counts.add(run.guess)
        state.before = char
        if all_changed:
            self.atoms.append(atom)
            self._restyle()
            self.atoms.pop()
        self._append(atom, end, all_changed=all_changed)
        return True

    # Links and the like -----------------------------------------------------------------------------------------------

    def _close_bracket(self, at: int) -> None:
        """A `]` at `at`: the text of a link may end here, or its label."""
        state, source = self._state, self._source
        if not state.brackets:
            return
        bracket = state.brackets.pop()
        if not bracket.is_active:
            return
        before = state.closed
        if before is not None and before[1] == bracket.place - 1 and not bracket.is_image:
            label = source[bracket.place + 1 : at]
            self._refer(before[0], before[1], at + 1, label or self._label(*before))
            if not label:
                state.closed = None
                return
        state.closed = (bracket, at)

    def _behind_bracket(self, at: int, bracket: _Bracket, place: int) -> None:
        """What stands at `at`, behind the `]` at `place`, tells what the bracket is."""
        char = self._source[at : at + 1]
        known = self._facts.get(place)
        if char == "(" and known is None:
            self._facts[bracket.place] = _Fact("link", bracket.place + 1 + bracket.is_image)
            self._facts[place] = _Fact("hidden address" if bracket.is_image else "address", at + 1)
            raise _Again
        if char != "[":
            self._state.closed = None
            self._refer(bracket, place, place + 1, self._label(bracket, place))

    def _label(self, bracket: _Bracket, place: int) -> str:
        return self._source[bracket.place + 1 + bracket.is_image : place]

    def _refer(self, bracket: _Bracket, place: int, end: int, label: str) -> None:
        """Make a link of a bracket that ends at `place` if there is a definition of `label`."""
        address = self._definitions.get(normalized(label)) if self._definitions and label.strip() else None
        if address is None or not is_safe(address) or not LABEL.fullmatch(f"[{label}]"):
            return
        self._facts[bracket.place] = _Fact("link", bracket.place + 1 + bracket.is_image)
        self._facts[place] = _Fact("reference", end, "" if bracket.is_image else address)
        raise _Again

    def _no_link(self, bracket_place: int, place: int) -> None:
        """What stands behind the `]` at `place` is no address."""
        del self._facts[bracket_place]
        self._facts[place] = _Fact("no link", place + 1)

    def _take_fact(self, at: int, fact: _Fact) -> None:
        state = self._state
        if fact.kind == "text":
            self._text(self._source[at : fact.end], at, fact.end)
        elif fact.kind == "shown":
            self._text(fact.text, at, fact.end)
        elif fact.kind == "link":
            state.delimiters.enter()
            state.links.append(at)
            state.images += self._source[at] == "!"
            self._append(Atom("", at, 0), fact.end)
        elif fact.kind == "no link":
            if state.brackets:
                state.closed = (state.brackets.pop(), at)
            self._text("]", at, fact.end)
        else:
            self._end_link(at, fact)

    def _end_link(self, at: int, fact: _Fact) -> None:
        state = self._state
        if state.delimiters.leave():
            self._restyle()
        begin = state.links.pop() if state.links else -1
        is_image = fact.kind == "hidden address" or (fact.kind == "reference" and not fact.text)
        state.images -= is_image and state.images > 0
        state.brackets = [one for one in state.brackets if one.place < begin]
        if not is_image:
            # A link cannot stand inside another one.
            for bracket in state.brackets:
                bracket.is_active = bracket.is_active and bracket.is_image
        if fact.kind in ("address", "hidden address"):
            state.tail = (Tail(), begin, at, fact.kind == "address")
        if fact.kind == "reference":
            self._link(begin, fact.text)
        shown = "(" if fact.kind == "address" else f"({fact.text})" if fact.text else ""
        if shown:
            self._text(" ", at, at, FAINT)
        self._text(shown, at, fact.end, FAINT)

    def _link(self, begin: int, address: str) -> None:
        """The text from `begin` on leads to an address."""
        for atom in self.atoms:
            if atom.place >= begin and atom.text:
                atom.address = address

    def _read_tail(self, at: int, tail_: tuple[Tail, int, int, bool]) -> None:
        tail, begin, place, is_shown = tail_
        plain = _IN_ADDRESS.match(self._source, at) if is_shown and tail.is_plain else None
        if plain:
            text = self._fitted(plain[0])
            tail.take(text)
            self._text(text, at, at + len(text), FAINT)
            return
        char = self._source[at]
        length = len(tail.address)
        tail.feed(char)
        state = self._state
        if tail.state == "no" or (tail.state == "done" and not is_safe(tail.address)):
            if place >= 0 and begin >= 0:
                self._no_link(begin, place)
                raise _Again
            state.tail = None
        elif tail.state == "done":
            state.tail = None
            if is_shown and begin >= 0 and place >= 0:
                text = "".join(atom.text for atom in self.atoms if begin <= atom.place < place)
                if not tail.address or text == tail.address:
                    self._facts[place] = _Fact("silent", at + 1)
                    raise _Again
            self._link(begin, tail.address)
            self._text(")" if is_shown else "", at, at + 1, FAINT)
        else:
            self._text(char if is_shown and len(tail.address) > length else "", at, at + 1, FAINT)

    def _end_entity(self, at: int) -> None:
        """A `;` at `at`: an entity may be whole."""
        begin, self._state.ampersand = self._state.ampersand, -1
        text = character_of(self._source[begin : at + 1]) if at - begin < _LONGEST_ENTITY else None
        if text is not None:
            self._facts[begin] = _Fact("shown", at + 1, text)
            raise _Again

    def _read_angle(self, char: str, at: int, limit: int | None) -> None:
        """Behind a `<` nothing is markup until it is known to be no autolink."""
        state, source = self._state, self._source
        if char == ">":
            found = _AUTOLINK.fullmatch(source, state.angle, at + 1)
            if found is None or not is_safe(found[1]):
                self._no_autolink()
            else:
                self._facts[state.angle] = _Fact("shown", at + 1, found[1])
            raise _Again
        if char == "<" or (at == state.angle + 1 and not char.isalnum()):
            self._no_autolink()
        found = _IN_ANGLE.match(source, at, len(source) if limit is None else limit)
        assert found is not None
        self._word(at, found.end())

    def _no_autolink(self) -> None:
        angle, self._state.angle = self._state.angle, -1
        if angle in self._facts or angle < 0:
            return
        self._facts[angle] = _Fact("text", angle + 1)
        raise _Again

    def _restyle(self) -> None:
        """Work out anew how the atoms look."""
        counts = self._base.counts.copy()
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
        self._state.counts = counts
