"""Brackets in a text → links and images: `[text](address)`, `[text][label]`, `[label]`, and those with a `!` before them."""

from __future__ import annotations

from typing import Final

from streaming_chat.markdown.atoms import Atom
from streaming_chat.markdown.characters import piece
from streaming_chat.markdown.facts import Again, Fact, FactKind
from streaming_chat.markdown.links import LABEL, Definitions, Tail, is_safe
from streaming_chat.markdown.reading import Reading
from streaming_chat.markdown.state import Bracket, OpenTail
from streaming_chat.markdown.style import FAINT

_IN_ADDRESS: Final = piece(r"()\\<>")
_ADDRESSES: Final = (FactKind.ADDRESS, FactKind.HIDDEN_ADDRESS)


class LinkReader:
    """Reads what makes links, in one text. `definitions` has the addresses of labels."""

    def __init__(self, reading: Reading, definitions: Definitions) -> None:
        self._reading = reading
        self._definitions = definitions

    # Brackets ---------------------------------------------------------------------------------------------------------

    def open_bracket(self, at: int, _end: int) -> bool:
        """Read a `[`."""
        reading = self._reading
        last = reading.atoms[-1] if at and reading.atoms else None
        is_image = last is not None and last.text == "!" and last.place == at - 1 and reading.source[at - 1] == "!"
        reading.state.open_bracket(at - is_image, is_image=is_image)
        reading.add_text("[", at, at + 1)
        return True

    def close_bracket(self, at: int, _end: int) -> bool:
        """Read a `]`: the text of a link may end here, or its label."""
        if self._reading.state.brackets:
            self._close(at)
        self._reading.add_text("]", at, at + 1)
        return True

    def _close(self, at: int) -> None:
        state = self._reading.state
        bracket = state.pop_bracket()
        if not bracket.is_active:
            return
        before = state.closed
        if before is not None and before[1] == bracket.place - 1 and not bracket.is_image:
            label = self._reading.source[bracket.place + 1 : at]
            self._refer(before[0], before[1], at + 1, label or self._label(*before))
            if not label:
                state.closed = None
                return
        state.closed = (bracket, at)

    def after_bracket(self, at: int) -> None:
        """What stands at `at`, behind a `]`, tells what the bracket is."""
        reading = self._reading
        assert reading.state.closed is not None
        bracket, place = reading.state.closed
        char = reading.source[at : at + 1]
        if char == "(" and place not in reading.facts:
            kind = FactKind.HIDDEN_ADDRESS if bracket.is_image else FactKind.ADDRESS
            self._link_is_known(bracket, place, Fact(kind, at + 1))
        if char != "[":
            reading.state.closed = None
            self._refer(bracket, place, place + 1, self._label(bracket, place))

    def _label(self, bracket: Bracket, place: int) -> str:
        return self._reading.source[bracket.place + 1 + bracket.is_image : place]

    def _refer(self, bracket: Bracket, place: int, end: int, label: str) -> None:
        """Make a link of a bracket that ends at `place` if there is a definition of `label`."""
        if not label.strip():
            return
        asks = bool(bracket.place) or self._reading.source[end : end + 1] != ":"
        address = self._definitions.find(label, asks=asks)
        if address is None or not is_safe(address) or not LABEL.fullmatch(f"[{label}]"):
            return
        self._link_is_known(bracket, place, Fact(FactKind.REFERENCE, end, "" if bracket.is_image else address))

    def _link_is_known(self, bracket: Bracket, place: int, fact: Fact) -> None:
        self._reading.learn(bracket.place, Fact(FactKind.LINK, bracket.place + 1 + bracket.is_image))
        self._reading.learn(place, fact)
        raise Again

    # Links that are known ---------------------------------------------------------------------------------------------

    def begin_link(self, at: int, fact: Fact) -> None:
        """Read the `[` of a link."""
        reading, state = self._reading, self._reading.state
        state.delimiters.enter()
        state.links.append(at)
        state.images += reading.source[at] == "!"
        reading.append(Atom("", at, 0), fact.end)

    def end_link(self, at: int, fact: Fact) -> None:
        """Read the `]` of a link, and what shows that an address follows."""
        reading, state = self._reading, self._reading.state
        if state.delimiters.leave():
            reading.restyle()
        begin = state.links.pop() if state.links else -1
        is_image = fact.kind is FactKind.HIDDEN_ADDRESS or (fact.kind is FactKind.REFERENCE and not fact.text)
        state.images -= is_image and state.images > 0
        brackets = [one for one in state.brackets if one.place < begin]
        if not is_image:
            # A link cannot stand inside another one.
            brackets = [one._replace(is_active=one.is_active and one.is_image) for one in brackets]
        state.brackets = tuple(brackets)
        if fact.kind in _ADDRESSES:
            state.tail = OpenTail(Tail(), begin, at, fact.kind is FactKind.ADDRESS)
        if fact.kind is FactKind.REFERENCE:
            self._link(begin, fact.text)
        shown = "(" if fact.kind is FactKind.ADDRESS else f"({fact.text})" if fact.text else ""
        if shown:
            reading.add_text(" ", at, at, FAINT)
        reading.add_text(shown, at, fact.end, FAINT)

    def no_link(self, at: int, fact: Fact) -> None:
        """Read a `]` that has something behind it which is no address."""
        state = self._reading.state
        if state.brackets:
            state.closed = (state.pop_bracket(), at)
        self._reading.add_text("]", at, fact.end)

    def _link(self, begin: int, address: str) -> None:
        """The text from `begin` on leads to an address."""
        for atom in self._reading.atoms:
            if atom.place >= begin and atom.text:
                atom.address = address

    # Addresses --------------------------------------------------------------------------------------------------------

    def read_tail(self, at: int, open_tail: OpenTail) -> None:
        """Read what stands behind `](`."""
        reading = self._reading
        tail, is_shown = open_tail.tail, open_tail.is_shown
        plain = _IN_ADDRESS.match(reading.source, at) if is_shown and tail.is_plain else None
        if plain:
            text = reading.fitted(plain[0])
            tail.take(text)
            reading.add_text(text, at, at + len(text), FAINT)
            return
        char = reading.source[at]
        length = len(tail.address)
        tail.feed(char)
        if tail.state == "no" or (tail.state == "done" and not is_safe(tail.address)):
            reading.state.tail = None
            if open_tail.place >= 0 and open_tail.begin >= 0:
                self.tail_is_none(open_tail)
                raise Again
        elif tail.state == "done":
            self._end_tail(at, open_tail)
        else:
            reading.add_text(char if is_shown and len(tail.address) > length else "", at, at + 1, FAINT)

    def _end_tail(self, at: int, open_tail: OpenTail) -> None:
        reading = self._reading
        address, begin, place = open_tail.tail.address, open_tail.begin, open_tail.place
        reading.state.tail = None
        if open_tail.is_shown and begin >= 0 and place >= 0:
            text = "".join(atom.text for atom in reading.atoms if begin <= atom.place < place)
            if not address or text == address:
                reading.learn(place, Fact(FactKind.SILENT, at + 1))
                raise Again
        self._link(begin, address)
        reading.add_text(")" if open_tail.is_shown else "", at, at + 1, FAINT)

    def tail_is_none(self, open_tail: OpenTail) -> None:
        """What stands behind the `]` is no address."""
        reading = self._reading
        del reading.facts[open_tail.begin]
        reading.forget_marks(open_tail.begin)
        reading.learn(open_tail.place, Fact(FactKind.NO_LINK, open_tail.place + 1))
