"""What this program writes to a terminal → what stands on it then.

No terminal emulator: it knows the sequences that markdown and the notices write, no others. Rows do not scroll away.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streaming_chat.text.widths import aligned_columns, clusters

_PART: Final = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|([\r\n\t])|([^\x1b\r\n\t]+)")
_TAB: Final = 8


class Cell(NamedTuple):
    """One column: a character with what belongs to it ("" right of a wide one), and the parameters of SGR in force."""

    text: str
    style: tuple[str, ...]


class Screen:
    """A terminal of so many `columns`, as long as it needs to be."""

    def __init__(self, columns: int) -> None:
        self.rows: list[list[Cell]] = [[]]
        self._columns = columns
        self._x = 0
        self._style: tuple[str, ...] = ()

    def write(self, text: str) -> None:
        """Draw `text`, in which `\\n` goes to the beginning of the next row."""
        for parameters, final, control, words in _PART.findall(text):
            if final:
                self._obey(parameters, final)
            elif control == "\r":
                self._x = 0
            elif control == "\n":
                self._next_row()
            elif control == "\t":
                # Up to the last column; what is passed over stays as it is.
                self._x = min(self._x + _TAB - self._x % _TAB, self._columns - 1)
            else:
                for char in words:
                    self._draw(char)

    def _obey(self, parameters: str, final: str) -> None:
        if final == "m":
            codes = tuple(code for code in parameters.split(";") if code not in ("", "0"))
            self._style = codes and (*self._style, *codes)
        elif final == "K":
            del self.rows[-1][min(self._x, self._columns - 1) :]
        elif final == "D":
            self._x = max(0, min(self._x, self._columns - 1) - int(parameters or 1))

    def _draw(self, char: str) -> None:
        self._fill_up()
        if not char.isascii() and self._x and self._joins(char):
            return
        width = aligned_columns(char)
        if not width:
            return  # Nothing is there that it could belong to.
        if self._x + width > self._columns:
            self._next_row()
        self.rows[-1][self._x : self._x + width] = [Cell(char, self._style), *[Cell("", self._style)] * (width - 1)]
        self._x += width

    def _fill_up(self) -> None:
        """A tab has gone over columns in which nothing stood."""
        row = self.rows[-1]
        while len(row) < self._x:
            row.append(Cell(" ", ()))

    def _joins(self, char: str) -> bool:
        """Draw `char` into the cell before the cursor, if it belongs to what stands there; whether it does."""
        row = self.rows[-1]
        place = self._x - 1
        while place and not row[place].text:
            place -= 1
        joined = row[place].text + char
        if row[place].text.isspace() or len(list(clusters(joined))) > 1:
            return False
        row[place] = row[place]._replace(text=joined)
        width = aligned_columns(joined)
        if self._x < place + width <= self._columns:
            row[self._x : place + width] = [Cell("", row[place].style)] * (place + width - self._x)
            self._x = place + width
        return True

    def _next_row(self) -> None:
        self.rows.append([])
        self._x = 0
