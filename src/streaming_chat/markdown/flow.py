"""Atoms of one text → rows of the screen, broken between words.

Rule: a row that is full is shown as it is understood by then and never touched again; the text goes on below it. A word
that does not fit moves down whole; one that is longer than a row is broken at the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streaming_chat.markdown.atoms import BREAK, Atom
from streaming_chat.markdown.inline import Inline
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.rows import Piece, RowWriter
from streaming_chat.text.widths import char_columns, has_marks, is_extension, is_mark, may_part, most_columns

#: A place at which a row can be broken: the first atom that is not on the row, how many blanks fall away, and the place in
#: the source of what would be the first on the next row.
_Break = tuple[int, int, int]


class Flow:
    """Shows one text. `prefix` is asked for what stands before each row of it."""

    def __init__(
        self,
        rows: RowWriter,
        prefix: Callable[[], list[Piece]],
        definitions: Definitions,
        *,
        style: int = 0,
    ) -> None:
        self.inline = Inline(definitions, style=style, changed=self._changed, room=self._room)
        #: Whether all of the text can still be changed: it is on one row.
        self.is_on_one_row = True
        self._rows = rows
        self._prefix_of_next = prefix
        #: What stands before the row of the cursor.
        self.prefix = prefix()
        self._limit = 1
        self._measure()
        self._pieces: list[Piece] = list(self.prefix)
        self._columns = 0
        self._has_marks = self._has_break = False
        #: How much of one atom, the first that is seen, stands on the rows above; its index, -1 for none.
        self._offset = 0
        self._begun = -1
        self._is_stale = True

    def feed(self, text: str) -> None:
        """Show more of the text."""
        self.inline.feed(text)
        self.show()

    def end(self) -> None:
        """The text is over."""
        self.inline.end()
        self.show()

    def show(self) -> None:
        """Bring the row of the cursor up to date."""
        pieces = self._pieces
        rows = self._rows
        end, first = len(pieces), len(self.prefix)
        while end > first and not pieces[end - 1].text.strip(" "):
            end -= 1
        shown = rows.shown
        if self._is_stale or shown > end:
            rows.show(pieces[:end], 0 if self._is_stale else shown)
            self._is_stale = False
        elif shown < end:
            rows.show_more(pieces[shown:end])

    def retract(self) -> None:
        """Take the text off the screen again."""
        self.inline.atoms.clear()
        self._changed(None)
        self._rows.show([])

    def break_row(self) -> None:
        """Leave the row as it is and go on below."""
        self._freeze(len(self.inline.atoms))

    def _measure(self) -> None:
        """Take the columns of the present row: a terminal that has changed counts from the next one on."""
        self._limit = max(1, self._rows.width - _columns(self.prefix))

    def _room(self) -> int:
        return self._limit - self._columns

    def _changed(self, appended: Atom | None) -> None:
        if appended is None:
            has_atoms = bool(self.inline.atoms)
            self._rebuild()
            if not has_atoms:
                return
        else:
            self._take(appended)
            if appended.text == " " and not self._has_break:
                return
        while (self._has_break or self._columns > self._limit - self._has_marks) and self._break_once():
            pass

    def _break_once(self) -> bool:
        """Begin a new row, as the text has a line end or the row is too long; False when there is nothing to do."""
        if self._has_break:
            self._freeze([atom.text for atom in self.inline.atoms].index(BREAK), skip=1)
            return True
        return self._wrap()

    def _rebuild(self) -> None:
        self._is_stale = True
        self._pieces = list(self.prefix)
        self._columns = 0
        self._has_marks = self._has_break = False
        atoms = self.inline.atoms
        seen = (index for index, atom in enumerate(atoms) if atom.text.strip(" "))
        self._begun = next(seen, -1) if self._offset else -1
        for index, atom in enumerate(atoms):
            if index == self._begun:
                text = atom.text[self._offset :]
                self._pieces.append(Piece(text, atom.style, atom.address))
                self._columns += most_columns(text)
                self._has_marks = self._has_marks or has_marks(text)
            else:
                self._take(atom)

    def _text(self, index: int, atom: Atom) -> str:
        """What is seen of an atom on this row and below."""
        return atom.text[self._offset :] if index == self._begun else atom.text

    def _take(self, atom: Atom) -> None:
        text = atom.text
        if text == BREAK:
            self._has_break = True
        elif text and (text != " " or self._columns):  # A row does not begin with a blank.
            self._pieces.append(Piece(text, atom.style, atom.address))
            self._columns += atom.columns
            if atom.has_marks:
                self._has_marks = True

    def _wrap(self) -> bool:
        """Break the row, which is too long; or settle what stands in the way. False when nothing is to be done."""
        atoms = self.inline.atoms
        bracket = self.inline.open_bracket
        found: _Break | None = None
        for one in self._breaks():
            if bracket is not None and one[2] > bracket:
                if found is None:
                    return self._settle_brackets(one[2])
                break
            found = one
        if found is None:
            return self._break_word() if bracket is None else self._settle_brackets(None)
        first, skip, _ = found
        if self.inline.make_text(atoms[:first]):
            self._rebuild()
            return True
        if first + skip >= len(atoms):
            return False  # Only blanks are over the edge.
        self._freeze(first, skip=skip)
        return True

    def _settle_brackets(self, before: int | None) -> bool:
        """What may be a link goes down whole; where that cannot be, its bracket is text."""
        if self.inline.make_brackets_text(before):
            self._rebuild()
        return True

    def _breaks(self) -> Iterator[_Break]:
        """The places at which the row can be broken, from left to right."""
        limit, begun = self._limit, self._begun
        columns = marks = 0
        before = ""
        opening = -1
        atoms = self.inline.atoms
        for index, atom in enumerate(atoms):
            if columns > limit - marks:
                return
            text = atom.text if index != begun else atom.text[self._offset :]
            if text == " ":
                if not columns:
                    continue
                yield index, 1, (atoms[index + 1] if index + 1 < len(atoms) else atom).place
            elif text:
                if before and columns and may_part(before[-1], text[0]):
                    # What opens something goes with it.
                    yield index if opening < 0 else opening, 0, atom.place
                before, opening = text, -1
            elif opening < 0 and self.inline.opens(atom):
                opening = index
            if index == begun:
                columns, marks = columns + most_columns(text), marks or int(has_marks(text))
            else:
                columns, marks = columns + atom.columns, marks or int(atom.has_marks)

    def _freeze(self, index: int, *, skip: int = 0) -> None:
        """The first `index` atoms stay where they are; behind `skip` more, which fall away, the next row begins."""
        atoms = self.inline.atoms
        pieces = list(self.prefix)
        visible = 0
        for place, atom in enumerate(atoms[:index]):
            text = self._text(place, atom)
            if text and (text != " " or visible):
                pieces.append(Piece(text, atom.style, atom.address))
                visible += 1
        while len(pieces) > len(self.prefix) and pieces[-1].text == " ":
            pieces.pop()
        self._next_row(pieces, is_full=False)
        self._offset = 0
        self.inline.freeze(index + skip)
        self._rebuild()

    def _break_word(self) -> bool:
        """Break a word that is longer than a row at the edge, but not between a character and the marks on it.

        False where there is no place to break at: what stands there is wider than the terminal.
        """
        index, offset, columns = self._edge()
        atoms = self.inline.atoms
        if offset >= len(atoms[index].text) and not any(atom.text for atom in atoms[index + 1 :]):
            return False
        pieces = list(self.prefix)
        for number, atom in enumerate(atoms[: index + 1]):
            start = self._offset if number == self._begun else 0
            text = atom.text[start:offset] if number == index else atom.text[start:]
            if text and (text != " " or len(pieces) > len(self.prefix)):
                pieces.append(Piece(text, atom.style, atom.address))
        self._next_row(pieces, is_full=columns == self._limit)
        self._offset = self.inline.freeze(index, offset)
        self._rebuild()
        return True

    def _edge(self) -> tuple[int, int, int]:
        """The atom and the place in it where the row is full, and the columns before it."""
        limit = self._limit
        edge: tuple[int, int, int] | None = None
        columns, marks, size = 0, False, 0
        for index, atom in enumerate(self.inline.atoms):
            if atom.text == " " and not columns:
                continue
            for place in range(self._offset if index == self._begun else 0, len(atom.text)):
                edge = edge or (index, place, 0)
                size = char_columns(atom.text[place])
                if columns <= limit - marks and not is_extension(atom.text[place]):
                    edge = (index, place, columns)
                columns += size
                marks = marks or is_mark(atom.text[place])
                if columns > limit - marks and edge[2]:
                    return edge
        assert edge is not None
        # A character of two columns on a row of one.
        return (edge[0], edge[1] + 1, size)

    def _next_row(self, pieces: list[Piece], *, is_full: bool) -> None:
        self._rows.show(pieces, 0)
        self.is_on_one_row = False
        self.prefix = self._prefix_of_next()
        self._measure()
        if is_full and not self.prefix:
            # The terminal does it itself, and what is copied from it is one word.
            self._rows.wrap()
        else:
            self._rows.end()


def _columns(pieces: list[Piece]) -> int:
    return sum(most_columns(piece.text) for piece in pieces)
