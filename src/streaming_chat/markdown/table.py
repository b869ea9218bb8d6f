"""Rows of a table, aligned in columns whose widths are settled by its first two lines.

Rows are shown when they are whole, and nothing above them can be changed, so the widths cannot depend on what comes. They
are taken from the heads and from the dashes, which many models write as wide as the column, or shared out; what is left of
the row goes to the last column, and a cell that is too wide is broken inside. Where columns would be too narrow, each line
becomes a list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from streaming_chat.markdown.inline import Inline
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.rows import Piece
from streaming_chat.markdown.style import FAINT, STRONG
from streaming_chat.text.widths import aligned_columns, fitting, may_part, most_columns

_DELIMITER: Final = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_PIPE: Final = re.compile(r"(?<!\\)\|")
_BETWEEN: Final = " │ "
_NARROWEST: Final = 6
#: What a column gets of a wide row at most, and of a narrow one at least, where the dashes say nothing.
_USUAL_MOST: Final = 32
_USUAL_LEAST: Final = 16
#: Dashes that say nothing of a width: as many as stand in every example.
_STOCK: Final = 5
#: Heads of columns that hold a number, mostly.
_NUMBERED: Final = frozenset({"#", "№", "no", "no.", "nr", "nr.", "id"})


def cells_of(line: str) -> list[str]:
    """The cells of a line."""
    line = line.strip()
    line = line.removeprefix("|")
    parts = [part.strip().replace("\\|", "|") for part in _PIPE.split(line)]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def is_delimiter(line: str, head: str) -> bool:
    """Whether `line` makes the head of a table of the line before it."""
    if not _DELIMITER.fullmatch(line) or "|" not in line + head:
        return False
    return len(cells_of(line)) == len(cells_of(head))


class Table:
    """One table: `rows` are the rows of the screen that a line becomes."""

    def __init__(self, head: str, delimiter: str, width: int, definitions: Definitions) -> None:
        self._definitions = definitions
        marks = cells_of(delimiter)
        # With the blank at each side of the cells that models write as wide as the column.
        dashes = [len(part) - 2 for part in _PIPE.split(delimiter.strip().removeprefix("|")) if part.strip()]
        self._dashes = dashes
        self._heads = [self._cell(cell, STRONG) for cell in cells_of(head)]
        self._aligned = [(mark.startswith(":"), mark.endswith(":")) for mark in marks]
        self.resize(width)

    def resize(self, width: int) -> None:
        """The rows to come have so many columns."""
        self._width = width
        self._widths = self._shared(width)

    def head(self) -> list[list[Piece]]:
        """The row of the heads, and the rule below it."""
        if not self._widths:
            return []
        rule = "─┼─".join("─" * width for width in self._widths[:-1])
        is_closed = self._aligned[-1][1]
        last = "─" * (self._widths[-1] if is_closed else min(self._widths[-1], max(3, _columns(self._heads[-1]))))
        return [*self._laid_out(self._heads), [Piece(f"{rule}─┼─{last}" if rule else last, FAINT)]]

    def rows(self, line: str) -> list[list[Piece]]:
        """The rows of a line; a cell that is missing is empty, one too many is left out."""
        cells = [self._cell(cell, 0) for cell in cells_of(line)][: len(self._heads)]
        cells += [[] for _ in range(len(self._heads) - len(cells))]
        return self._laid_out(cells) if self._widths else self._listed(cells)

    def _cell(self, text: str, style: int) -> list[Piece]:
        inline = Inline(self._definitions, style=style)
        inline.feed(text)
        inline.end()
        return [Piece(atom.text, atom.style, atom.address) for atom in inline.atoms if atom.text]

    def _shared(self, width: int) -> list[int]:
        """The width of each column; none when they would be too narrow."""
        count = len(self._heads)
        room = width - len(_BETWEEN) * (count - 1)
        if room < _NARROWEST * count:
            return []
        heads = [max(1, _columns(head)) for head in self._heads]
        usual = max(_USUAL_LEAST, min(_USUAL_MOST, room // count))
        # Dashes of one length are a habit.
        is_habit = max(self._dashes) <= _STOCK or (count > 1 and len(set(self._dashes)) == 1)
        says_width = not is_habit and any(dash > head for dash, head in zip(self._dashes, heads, strict=True))
        names = ["".join(piece.text for piece in head).casefold() for head in self._heads]
        wanted = [
            max(head, dash if says_width else _NARROWEST if name in _NUMBERED else usual)
            for head, dash, name in zip(heads, self._dashes, names, strict=True)
        ]
        if not self._aligned[-1][1]:
            # The last column is closed by nothing: it may as well have the rest of the row.
            wanted[-1] = max(wanted[-1], room)
        while sum(wanted) > room:
            # Heads are broken last.
            widest = max(range(count), key=lambda place: (wanted[place] > max(heads[place], _NARROWEST), wanted[place]))
            wanted[widest] -= 1
        return wanted

    def _laid_out(self, cells: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
        broken = [_broken(cell, width) for cell, width in zip(cells, self._widths, strict=True)]
        rows: list[list[Piece]] = []
        for number in range(max(1, *map(len, broken))):
            row: list[Piece] = []
            for column, lines in enumerate(broken):
                line = lines[number] if number < len(lines) else []
                blanks = self._widths[column] - _columns(line)
                to_left, to_right = self._aligned[column]
                before = blanks // 2 if to_left and to_right else blanks if to_right else 0
                row += [Piece(" " * before, 0), *line, Piece(" " * (blanks - before), 0), Piece(_BETWEEN, FAINT)]
            rows.append(_stripped(row[:-1]))
        return rows

    def _listed(self, cells: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
        """A line of a table that is too wide: `head: cell`, each on rows of its own."""
        rows: list[list[Piece]] = []
        for head, cell in zip(self._heads, cells, strict=True):
            rows += _broken([*head, Piece(":", FAINT), Piece(" ", 0), *cell], self._width)
        return [*rows, [Piece("─" * min(3, self._width), FAINT)]]


def _columns(pieces: Sequence[Piece]) -> int:
    return aligned_columns("".join(piece.text for piece in pieces))


def _stripped(row: list[Piece]) -> list[Piece]:
    """A row without blanks at its end."""
    row = [piece for piece in row if piece.text]
    while row and not row[-1].text.strip(" "):
        row.pop()
    if row and row[-1].text.endswith(" "):
        row[-1] = row[-1]._replace(text=row[-1].text.rstrip(" "))
    return row


class _CellLines:
    """The lines of a cell of at most `width` columns."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._columns = 0
        self._word: list[Piece] = []
        self.lines: list[list[Piece]] = [[]]

    def add(self, piece: Piece) -> None:
        """One more piece of text, or white space."""
        word = self._word
        if piece.text.isspace():
            self.end_word()
            if self._columns and self._columns < self._width:
                self.lines[-1].append(Piece(" ", piece.style))
                self._columns += 1
            return
        if word and may_part(word[-1].text[-1], piece.text[0]):
            self.end_word()
        word.append(piece)

    def end_word(self) -> None:
        """Place the word that the last pieces are."""
        size = sum(most_columns(piece.text) for piece in self._word)
        if self._columns and self._columns + size > self._width:
            self._begin_line()
        for piece in self._word:
            self._place(piece)
        self._word.clear()

    def _place(self, piece: Piece) -> None:
        """Place a piece of a word, broken where it is too long for a line."""
        text = piece.text
        while self._columns + most_columns(text) > self._width:
            taken = fitting(text, self._width - self._columns)
            if not taken and not self._columns:
                taken = 1
            if taken:
                self.lines[-1].append(piece._replace(text=text[:taken]))
            text = text[taken:]
            self._begin_line()
        if text:
            self.lines[-1].append(piece._replace(text=text))
            self._columns += most_columns(text)

    def _begin_line(self) -> None:
        self.lines.append([])
        self._columns = 0


def _broken(cell: Sequence[Piece], width: int) -> list[list[Piece]]:
    """A cell in lines of at most `width` columns, broken between words where that can be."""
    broken = _CellLines(width)
    for piece in cell:
        broken.add(piece)
    broken.end_word()
    return [_stripped(line) for line in broken.lines if line] or [[]]
