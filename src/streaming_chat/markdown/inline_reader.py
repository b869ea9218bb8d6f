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
from typing import ClassVar, Final

from streaming_chat.markdown.atoms import BREAK, Atom
from streaming_chat.markdown.characters import BLANK, RUN, TICKS, piece
from streaming_chat.markdown.emphasis import Run
from streaming_chat.markdown.facts import Fact, FactKind
from streaming_chat.markdown.link_reader import LinkReader
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.literal_reader import LiteralReader
from streaming_chat.markdown.reading import Reading
from streaming_chat.markdown.style import CODE

_NO_WORD: Final = r"\\`*_~\[\]!<&$"
_PLAIN: Final = piece(_NO_WORD)
#: While an entity may end at the next character.
_CAREFUL: Final = piece(_NO_WORD, alone=";")
_IN_CODE: Final = piece("`")
_BLANKS: Final = re.compile(f"[{BLANK}]+")
#: In an address that stands in the text, delimiters before these are of it.
_GOES_ON_IN_URL: Final = re.compile(r"[A-Za-z0-9_/=&%+#@-]")
_HARD_BREAK: Final = re.compile(r" {2,}\n")
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
#: Longer runs are text: nobody means anything by them, and a run must fit on a row.
_LONGEST_RUN: Final = 15


class InlineReader:
    """Reads one text, of which there is more and more. `definitions` has the addresses of labels."""

    def __init__(self, reading: Reading, definitions: Definitions) -> None:
        self._reading = reading
        self.links = LinkReader(reading, definitions)
        self.literals = LiteralReader(reading)

    def read(self, limit: int | None) -> None:
        """Read as far as `limit`, which stands between two atoms; None is the end."""
        reading = self._reading
        # Nothing that is known before an atom is appended holds behind it: a freeze may have come between.
        while (at := reading.done) < (end := len(reading.source) if limit is None else limit):
            # Of a plain text nothing is open, and nothing is known.
            if reading.is_plain:
                source = reading.source
                # At the end of the text, what follows is "", and the blank waits.
                if source[at] == " " and source[at + 1 : at + 2] not in BLANK:
                    reading.add_text(" ", at, at + 1)
                    continue
                if word := _PLAIN.match(source, at, end):
                    reading.add_word(at, word.end())
                    continue
            if not self._step(at, end):
                return
        closed = reading.state.closed
        if reading.is_over and closed is not None and closed[1] == reading.done - 1:
            self.links.after_bracket(reading.done)

    def _step(self, at: int, end: int) -> bool:
        """Read what stands at `at`; False where more of the text is needed."""
        reading, state = self._reading, self._reading.state
        if state.tail is not None:
            self.links.read_tail(at, state.tail)
            return True
        if state.closed is not None and state.closed[1] == at - 1:
            self.links.after_bracket(at)
        char = reading.source[at]
        if at >= state.verbatim and at in reading.facts:
            fact = reading.facts[at]
            reading.is_plain = False
            if state.angle >= 0:
                self.literals.no_autolink(at)
            self._FACTS[fact.kind](self, at, fact)
            return True
        if char in BLANK:
            return self._read_blanks(at)
        return self._read_visible(char, at, end)

    def _read_visible(self, char: str, at: int, end: int) -> bool:
        reading, state = self._reading, self._reading.state
        if at < state.verbatim:
            self.literals.read_verbatim(at, end)
        elif state.code:
            return self._read_code(at, end)
        elif state.angle >= 0:
            self.literals.read_angle(char, at, end)
        else:
            word = (_PLAIN if state.ampersand < 0 else _CAREFUL).match(reading.source, at, end)
            if word is None:
                reading.is_plain = False
                return self._MARKUP[char](self, at, end)
            if char == ";" and state.ampersand >= 0:
                self.literals.end_entity(at)
            reading.add_word(at, word.end())
        return True

    def _read_blanks(self, at: int) -> bool:
        reading, state = self._reading, self._reading.state
        if not reading.is_plain:
            reading.mark(at)
        found = _BLANKS.match(reading.source, at)
        assert found is not None
        if found.end() == len(reading.source):
            # Nobody sees them, and at the end of a text they are nothing.
            return False
        if state.angle >= 0:
            self.literals.no_autolink(at)
        state.ampersand = -1
        if state.math.get("$") == at - 1:
            del state.math["$"]  # Money.
        if state.code:
            reading.add_text(" ", at, at + 1, CODE)
        elif _HARD_BREAK.search(found[0]):
            reading.add_text(BREAK, at, found.end())
        else:
            reading.add_text(" ", at, found.end())
        return True

    # Facts ------------------------------------------------------------------------------------------------------------

    def _take_text(self, at: int, fact: Fact) -> None:
        self._reading.add_text(self._reading.source[at : fact.end], at, fact.end)

    def _take_shown(self, at: int, fact: Fact) -> None:
        self._reading.add_text(fact.text, at, fact.end)

    def _take_verbatim(self, _at: int, fact: Fact) -> None:
        self._reading.state.verbatim = fact.end

    # Code spans, runs and escapes -------------------------------------------------------------------------------------

    def _open_code(self, at: int, _end: int) -> bool:
        reading = self._reading
        found = TICKS.match(reading.source, at)
        assert found is not None
        if reading.holds(found.end()):
            return False
        reading.state.code, reading.state.code_place = len(found[0]), at
        reading.append(Atom("", at, 0), found.end())
        return True

    def _read_code(self, at: int, end: int) -> bool:
        reading, state = self._reading, self._reading.state
        found = TICKS.match(reading.source, at)
        if found is None:
            word = _IN_CODE.match(reading.source, at, end)
            assert word is not None
            reading.add_word(at, word.end(), CODE)
            return True
        if reading.holds(found.end()):
            return False
        if len(found[0]) != state.code:
            reading.add_text(found[0], at, found.end(), CODE)
            return True
        is_trimmed = self._trim_code()
        state.code, state.code_place = 0, -1
        state.before = "`"
        reading.append(Atom("", at, 0), found.end(), all_changed=is_trimmed)
        return True

    def _trim_code(self) -> bool:
        """One blank at each side of a code span is not shown, if there is more in it than blanks."""
        start = self._reading.state.code_place
        inside = [atom for atom in self._reading.atoms if atom.place > start] if start >= 0 else []
        texts = [atom.text for atom in inside]
        is_trimmed = len(texts) > 2 and texts[0] == texts[-1] == " " and any(text != " " for text in texts)
        if is_trimmed:
            for atom in (inside[0], inside[-1]):
                atom.text, atom.columns = "", 0
        return is_trimmed

    def _read_escape(self, at: int, _end: int) -> bool:
        reading = self._reading
        if reading.holds(at + 1):
            return False
        following = reading.source[at + 1 : at + 2]
        if following in "()[]" and self.literals.holds_math(following, at):
            return False
        if following == "\n":
            reading.add_text(BREAK, at, at + 2)
        elif following in _PUNCTUATION:
            reading.add_text(following, at, at + 2)
        else:
            reading.add_text("\\", at, at + 1)
        return True

    def _read_mark(self, at: int, _end: int) -> bool:
        self._reading.add_text("!", at, at + 1)
        return True

    def _read_run(self, at: int, _end: int) -> bool:
        reading = self._reading
        found = RUN.match(reading.source, at)
        assert found is not None
        end = found.end()
        if reading.holds(end):
            return False
        char, length = found[0][0], end - at
        if char == "~" and length % 2 and 1 < length <= _LONGEST_RUN:
            reading.add_text("~", at, at + 1)
            return True
        is_of_url = bool(_GOES_ON_IN_URL.match(reading.source, end)) and reading.is_in_url(at)
        if length > _LONGEST_RUN or (char == "~" and length == 1) or is_of_url:
            reading.add_text(found[0], at, end)
            return True
        self._add_run(Run(char, length, reading.state.before, reading.source[end : end + 1] or "\n"), at, end)
        return True

    def _add_run(self, run: Run, at: int, end: int) -> None:
        reading, state = self._reading, self._reading.state
        all_changed = state.delimiters.add(run)
        state.counts.add(run.closes, -1)
        atom = Atom(run.text, at, 0, run)
        atom.style = reading.style | state.counts.style
        state.counts.add(run.guess)
        state.before = run.char
        if all_changed:
            reading.atoms.append(atom)
            reading.restyle()
            reading.atoms.pop()
        reading.append(atom, end, all_changed=all_changed)

    #: What is done at a character of markup, up to an end: False where more of the text is needed.
    _MARKUP: ClassVar[dict[str, Callable[[InlineReader, int, int], bool]]] = {
        **dict.fromkeys("*_~", _read_run),
        "\\": _read_escape,
        "`": _open_code,
        "!": _read_mark,
        "[": lambda self, at, end: self.links.open_bracket(at, end),
        "]": lambda self, at, end: self.links.close_bracket(at, end),
        "<": lambda self, at, end: self.literals.open_angle(at, end),
        "&": lambda self, at, end: self.literals.read_ampersand(at, end),
        "$": lambda self, at, end: self.literals.read_dollar(at, end),
    }
    #: What is done at a place of which something is known.
    _FACTS: ClassVar[dict[FactKind, Callable[[InlineReader, int, Fact], None]]] = {
        **dict.fromkeys(FactKind, lambda self, at, fact: self.links.end_link(at, fact)),
        FactKind.TEXT: _take_text,
        FactKind.SHOWN: _take_shown,
        FactKind.VERBATIM: _take_verbatim,
        FactKind.LINK: lambda self, at, fact: self.links.begin_link(at, fact),
        FactKind.NO_LINK: lambda self, at, fact: self.links.no_link(at, fact),
    }
