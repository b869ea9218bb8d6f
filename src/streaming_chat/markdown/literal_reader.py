"""What of a text is shown as it is, or as one other text: formulas, autolinks, entities."""

from __future__ import annotations

import re
from typing import Final

from streaming_chat.markdown.characters import SPECIAL, piece
from streaming_chat.markdown.facts import Again, Fact, FactKind
from streaming_chat.markdown.links import character_of, is_safe
from streaming_chat.markdown.reading import Reading

_IN_ANGLE: Final = piece("<>")
_VERBATIM: Final = piece("")
#: In what stands between two `$`: words, and no command of TeX.
_PROSE: Final = re.compile(r"[^\\]*[A-Za-z]{4}[^\\]*")
_AUTOLINK: Final = re.compile(
    r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*"
    r"|[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)>"
)
#: Longer entities there are not.
_LONGEST_ENTITY: Final = 34


class LiteralReader:
    """Reads what is not to be understood any further, in one text."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    # Entities ---------------------------------------------------------------------------------------------------------

    def read_ampersand(self, at: int, end: int) -> bool:
        """Read a `&`, and all of an entity where it would fit as it is typed: then it does not matter how it came."""
        reading = self._reading
        stop = reading.source.find(";", at, at + _LONGEST_ENTITY) + 1
        if 0 < stop <= end and reading.has_room(stop - at):
            text = character_of(reading.source[at:stop])
            if text is not None:
                reading.add_text(text, at, stop)
                return True
        reading.state.ampersand = at
        reading.add_text("&", at, at + 1)
        return True

    def end_entity(self, at: int) -> None:
        """A `;` at `at`: an entity may be whole."""
        reading = self._reading
        begin, reading.state.ampersand = reading.state.ampersand, -1
        text = character_of(reading.source[begin : at + 1]) if at - begin < _LONGEST_ENTITY else None
        if text is not None:
            reading.learn(begin, Fact(FactKind.SHOWN, at + 1, text))
            raise Again

    # Autolinks --------------------------------------------------------------------------------------------------------

    def open_angle(self, at: int, _end: int) -> bool:
        """Read a `<`."""
        self._reading.state.angle = at
        self._reading.add_text("<", at, at + 1)
        return True

    def read_angle(self, char: str, at: int, end: int) -> None:
        """Behind a `<` nothing is markup until it is known to be no autolink."""
        reading, angle = self._reading, self._reading.state.angle
        if char == ">":
            found = _AUTOLINK.fullmatch(reading.source, angle, at + 1)
            if found is not None and is_safe(found[1]):
                reading.learn(angle, Fact(FactKind.SHOWN, at + 1, found[1]))
                raise Again
        if char in "<>" or (at == angle + 1 and not char.isalnum()):
            self.no_autolink(at)
            return
        word = _IN_ANGLE.match(reading.source, at, end)
        assert word is not None
        reading.add_word(at, word.end())

    def no_autolink(self, at: int) -> None:
        """What stands between the `<` and `at` is no autolink."""
        reading = self._reading
        angle, reading.state.angle = reading.state.angle, -1
        if SPECIAL.search(reading.source, angle, at):
            reading.learn(angle, Fact(FactKind.TEXT, angle + 1))
            raise Again

    # Formulas ---------------------------------------------------------------------------------------------------------

    def read_dollar(self, at: int, _end: int) -> bool:
        """A `$`: `$x$`, as Pandoc has it, and `$$x$$` are formulas."""
        reading = self._reading
        math, source = reading.state.math, reading.source
        before = source[at - 1 : at] if at else ""
        begin = math.get("$", -1)
        if math.get("$$", at) < at - 2 and before == "$":
            self._leave_as_it_is(math["$$"], at + 1)
        if before == "$" and begin == at - 1:
            del math["$"]
            math["$$"] = begin
        elif begin >= 0 and not before.isspace():
            if reading.holds(at + 1):
                return False
            following = source[at + 1 : at + 2]
            if not (following.isalnum() or following == "$" or _PROSE.fullmatch(source, begin + 1, at)):
                self._leave_as_it_is(begin, at + 1)
            math["$"] = at
        elif not before.isalnum():
            math["$"] = at
        reading.add_text("$", at, at + 1)
        return True

    def holds_math(self, bracket: str, at: int) -> bool:
        r"""Whether more is needed to read `\(`, `\)`, `\[` or `\]`: TeX's formulas. A `\[` of them has a blank behind it."""
        reading = self._reading
        math, source = reading.state.math, reading.source
        if bracket == "(":
            math[")"] = at
        elif bracket == "[":
            if reading.holds(at + 2):
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
        reading = self._reading
        if not SPECIAL.search(reading.source, begin + 1, end - 1):
            return
        reading.facts = {place: fact for place, fact in reading.facts.items() if not begin <= place < end}
        reading.learn(begin, Fact(FactKind.VERBATIM, end))
        raise Again

    def read_verbatim(self, at: int, end: int) -> None:
        """Read a word of a formula."""
        reading = self._reading
        found = _VERBATIM.match(reading.source, at, min(end, reading.state.verbatim))
        assert found is not None
        reading.add_word(at, found.end())
