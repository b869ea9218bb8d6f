"""The text of a paragraph, a heading or a cell, from left to right → atoms: pieces of visible text with their styles.

Strategy: each piece of markup is decided at the first character that can decide it, by a guess where only the end could
know: a run of `*` that can open does so, a code span that has begun is one, `](` ends the text of a link. What a later
character shows to have been otherwise is noted as a fact about a place in the text, and `Again` is raised: the text is to be
read once more with it (inline.py).

Rule: what comes of a text depends on its characters alone, not on how they are cut into feeds. What cannot be decided yet is
held back; that is only ever markup (a run of delimiters, a backslash) or white space.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from streaming_chat.markdown.atoms import BREAK, Atom
from streaming_chat.markdown.emphasis import Counts, Run
from streaming_chat.markdown.links import LABEL, Definitions, Tail, character_of, is_safe
from streaming_chat.markdown.state import Bracket, State
from streaming_chat.markdown.style import CODE, FAINT
from streaming_chat.text.widths import WIDE, fitting, most_columns

#: White space, where a row may end, as a set of a pattern: CommonMark's, that is ASCII's. A no-break space is of its word.
_BLANK: Final = " \t\n\v\f\r"
_PLAIN: Final = re.compile(rf"[^{_BLANK}\\`*_~\[\]!<&${WIDE}]+|[{WIDE}]")
#: While an entity may end at the next character.
_CAREFUL: Final = re.compile(rf"[^{_BLANK}\\`*_~\[\]!<&$;{WIDE}]+|[;{WIDE}]")
_BLANKS: Final = re.compile(f"[{_BLANK}]+")
RUN: Final = re.compile(r"\*+|_+|~+")
_TICKS: Final = re.compile(r"`+")
_IN_ANGLE: Final = re.compile(rf"[^{_BLANK}<>{WIDE}]+|[{WIDE}]")
_IN_ADDRESS: Final = re.compile(rf"[^{_BLANK}()\\<>{WIDE}]+|[{WIDE}]")
_IN_CODE: Final = re.compile(rf"[^`{_BLANK}{WIDE}]+|[{WIDE}]")
_VERBATIM: Final = re.compile(rf"[^{_BLANK}{WIDE}]+|[{WIDE}]")
#: What may be markup.
_SPECIAL: Final = re.compile(r"[\\`*_~\[\]!&$]")
#: In an address that stands in the text, delimiters before these are of it.
_GOES_ON_IN_URL: Final = re.compile(r"[A-Za-z0-9_/=&%+#@-]")
#: In what stands between two `$`: words, and no command of TeX.
_PROSE: Final = re.compile(r"[^\\]*[A-Za-z]{4}[^\\]*")
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


class Fact(NamedTuple):
    """What is known about a place of the text. `end` is where reading goes on, `text` what is shown."""

    kind: str
    end: int
    text: str = ""


class Again(Exception):  # not an error: a fact has been found
    """The text is to be read again."""


class InlineReader:
    """Reads one text, of which it is given more and more. `atoms` is what is seen of it.

    `changed` is called behind each atom (False), and when atoms have changed (True). `room` tells how many columns are left
    on the row. `definitions` has the addresses of labels. `style` is that of all of the text.
    """

    def __init__(
        self, definitions: Definitions, *, style: int, changed: Callable[[bool], None], room: Callable[[], int]
    ) -> None:
        self.atoms: list[Atom] = []
        self.style = style
        self._definitions = definitions
        self._changed = changed
        self._room = room
        self._source = ""
        self._done = 0  # As much of the source has been read.
        self._base = State()  # Before the first character that can still be changed.
        self._state = State()
        self._facts: dict[int, Fact] = {}
        #: The last place before which all is settled: the number of atoms, the place, and what the state was there.
        self._settled: tuple[int, int, Counts, str] | None = None
        self._is_plain = True  # There is nothing in it but words and blanks.
        self._is_over = False
        self._is_silent = False  # It is being read again, and nobody has to know.
        self._held_at = -1  # A place at which the text is taken to end, for as long as it is read again.
        self._begins_in_url = False  # The row above ends inside an address.
        self._unclosed: list[Run] = []  # What was opened on the rows above, and in vain.

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
            if at < state.verbatim:
                self._read_verbatim(char, at, limit)
            elif fact is not None:
                self._is_plain = False
                self._take_fact(at, fact)
            elif char in _BLANK:
                if not self._is_plain and state.is_settled(at):
                    self._settled = (len(self.atoms), at, state.counts.copy(), state.before)
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
                elif not self._read_special(char, at, limit):
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
        return end in (len(self._source), self._held_at) and not self._is_over

    def _read_blanks(self, at: int) -> bool:
        found = _BLANKS.match(self._source, at)
        assert found is not None
        if found.end() == len(self._source):
            # Nobody sees them, and at the end of a text they are nothing.
            return False
        state = self._state
        if state.angle >= 0:
            self._no_autolink(at)
        state.ampersand = -1
        if state.math.get("$") == at - 1:
            del state.math["$"]  # Money.
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

    def _read_special(self, char: str, at: int, limit: int | None) -> bool:
        self._is_plain = False
        state, source = self._state, self._source
        if char in "*_~":
            return self._read_run(at)
        if char == "\\":
            if self._holds(at + 1):
                return False
            following = source[at + 1 : at + 2]
            if following in "()[]" and self._holds_math(following, at):
                return False
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
        elif char == "$":
            return self._read_dollar(at)
        elif char == "&" and self._read_entity(at, limit):
            pass
        else:
            if char == "[":
                is_image = bool(self.atoms) and self.atoms[-1].text == "!" and source[at - 1] == "!" and at > 0
                is_image = is_image and self.atoms[-1].place == at - 1
                state.brackets = [*state.brackets, Bracket(at - is_image, is_image=is_image)][-_MOST_BRACKETS:]
            elif char == "]":
                self._close_bracket(at)
            elif char == "&":
                state.ampersand = at
            elif char == "<":
                state.angle = at
            self._text(char, at, at + 1)
        return True

    def _read_run(self, at: int) -> bool:
        found = RUN.match(self._source, at)
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
        if _GOES_ON_IN_URL.match(self._source, end) and self._is_in_url(at):
            self._text(found[0], at, end)
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

    def _behind_bracket(self, at: int, bracket: Bracket, place: int) -> None:
        """What stands at `at`, behind the `]` at `place`, tells what the bracket is."""
        char = self._source[at : at + 1]
        known = self._facts.get(place)
        if char == "(" and known is None:
            self._facts[bracket.place] = Fact("link", bracket.place + 1 + bracket.is_image)
            self._facts[place] = Fact("hidden address" if bracket.is_image else "address", at + 1)
            raise Again
        if char != "[":
            self._state.closed = None
            self._refer(bracket, place, place + 1, self._label(bracket, place))

    def _label(self, bracket: Bracket, place: int) -> str:
        return self._source[bracket.place + 1 + bracket.is_image : place]

    def _refer(self, bracket: Bracket, place: int, end: int, label: str) -> None:
        """Make a link of a bracket that ends at `place` if there is a definition of `label`."""
        if not label.strip():
            return
        asks = bool(bracket.place) or self._source[end : end + 1] != ":"
        address = self._definitions.find(label, asks=asks)
        if address is None or not is_safe(address) or not LABEL.fullmatch(f"[{label}]"):
            return
        self._facts[bracket.place] = Fact("link", bracket.place + 1 + bracket.is_image)
        self._facts[place] = Fact("reference", end, "" if bracket.is_image else address)
        raise Again

    def _no_link(self, bracket_place: int, place: int) -> None:
        """What stands behind the `]` at `place` is no address."""
        del self._facts[bracket_place]
        self._facts[place] = Fact("no link", place + 1)

    def _take_fact(self, at: int, fact: Fact) -> None:
        state = self._state
        if fact.kind == "text":
            self._text(self._source[at : fact.end], at, fact.end)
        elif fact.kind == "shown":
            self._text(fact.text, at, fact.end)
        elif fact.kind == "verbatim":
            state.verbatim = fact.end
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

    def _end_link(self, at: int, fact: Fact) -> None:
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
                raise Again
            state.tail = None
        elif tail.state == "done":
            state.tail = None
            if is_shown and begin >= 0 and place >= 0:
                text = "".join(atom.text for atom in self.atoms if begin <= atom.place < place)
                if not tail.address or text == tail.address:
                    self._facts[place] = Fact("silent", at + 1)
                    raise Again
            self._link(begin, tail.address)
            self._text(")" if is_shown else "", at, at + 1, FAINT)
        else:
            self._text(char if is_shown and len(tail.address) > length else "", at, at + 1, FAINT)

    def _read_entity(self, at: int, limit: int | None) -> bool:
        """An entity that is there as a whole, where it would fit as it is typed: then it does not matter how it came."""
        end = self._source.find(";", at, at + _LONGEST_ENTITY) + 1
        if not end or (limit is not None and end > limit) or (not self._is_silent and end - at >= self._room()):
            return False
        text = character_of(self._source[at:end])
        if text is None:
            return False
        self._text(text, at, end)
        return True

    def _end_entity(self, at: int) -> None:
        """A `;` at `at`: an entity may be whole."""
        begin, self._state.ampersand = self._state.ampersand, -1
        text = character_of(self._source[begin : at + 1]) if at - begin < _LONGEST_ENTITY else None
        if text is not None:
            self._facts[begin] = Fact("shown", at + 1, text)
            raise Again

    def _read_angle(self, char: str, at: int, limit: int | None) -> None:
        """Behind a `<` nothing is markup until it is known to be no autolink."""
        state, source = self._state, self._source
        if char == ">":
            found = _AUTOLINK.fullmatch(source, state.angle, at + 1)
            if found is not None and is_safe(found[1]):
                self._facts[state.angle] = Fact("shown", at + 1, found[1])
                raise Again
        if char in "<>" or (at == state.angle + 1 and not char.isalnum()):
            self._no_autolink(at)
            return
        found = _IN_ANGLE.match(source, at, len(source) if limit is None else limit)
        assert found is not None
        self._word(at, found.end())

    def _no_autolink(self, at: int) -> None:
        """What stands between the `<` and `at` is no autolink."""
        angle, self._state.angle = self._state.angle, -1
        if _SPECIAL.search(self._source, angle, at):
            self._facts[angle] = Fact("text", angle + 1)
            raise Again

    # What is shown as it is ---------------------------------------------------------------------------------------------

    def _read_dollar(self, at: int) -> bool:
        """A `$`: `$x$`, as Pandoc has it, and `$$x$$` are formulas."""
        math, source = self._state.math, self._source
        before = source[at - 1 : at] if at else ""
        begin = math.get("$", -1)
        if math.get("$$", at) < at - 2 and before == "$":
            self._leave_as_it_is(math["$$"], at + 1)
        if before == "$" and begin == at - 1:
            del math["$"]
            math["$$"] = begin
        elif begin >= 0 and not before.isspace():
            if self._holds(at + 1):
                return False
            following = source[at + 1 : at + 2]
            if not (following.isalnum() or following == "$" or _PROSE.fullmatch(source, begin + 1, at)):
                self._leave_as_it_is(begin, at + 1)
            math["$"] = at
        elif not before.isalnum():
            math["$"] = at
        self._text("$", at, at + 1)
        return True

    def _holds_math(self, bracket: str, at: int) -> bool:
        r"""Whether more is needed to read `\(`, `\)`, `\[` or `\]`: TeX's formulas. A `\[` of them has a blank behind it."""
        math, source = self._state.math, self._source
        if bracket == "(":
            math[")"] = at
        elif bracket == "[":
            if self._holds(at + 2):
                return True
            if source[at + 2 : at + 3].isspace():
                math["]"] = at
        elif math.get(bracket, at) < at - 2:
            self._leave_as_it_is(math[bracket], at + 2)
        else:
            math.pop(bracket, None)
        return False

    def _leave_as_it_is(self, begin: int, end: int) -> None:
        """Nothing is markup from `begin` to `end`."""
        if not _SPECIAL.search(self._source, begin + 1, end - 1):
            return
        self._facts = {place: fact for place, fact in self._facts.items() if not begin <= place < end}
        self._facts[begin] = Fact("verbatim", end)
        raise Again

    def _read_verbatim(self, char: str, at: int, limit: int | None) -> None:
        self._is_plain = False
        if char in _BLANK:
            self._read_blanks(at)
            return
        end = self._state.verbatim
        found = _VERBATIM.match(self._source, at, end if limit is None else min(limit, end))
        assert found is not None
        self._word(at, found.end())

    def _is_in_url(self, at: int) -> bool:
        """Whether the word before `at` has begun as an address."""
        start = max(self._source.rfind(" ", 0, at), self._source.rfind("\n", 0, at)) + 1
        return "://" in self._source[start:at] or (not start and self._begins_in_url)

    def _restyle(self) -> None:
        """Work out anew how the atoms look."""
        counts = self._base.counts.copy()
        for unclosed in self._unclosed:
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
        self._state.counts = counts
