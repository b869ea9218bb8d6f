"""Rows of styled text → what is written to the terminal.

Rule: only the row of the cursor is ever changed, and the cursor always stands behind its last character. A row is given as
it should look; what is already there and the same is not written again.

With `color=False` no escape sequence is written: such a terminal may not know any. A row that has become shorter is then
overwritten with blanks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streaming_chat.markdown.style import Palette
from streaming_chat.text.widths import most_columns

_ERASE: Final = "\x1b[K"


class Piece(NamedTuple):
    """Text of one style on one row."""

    text: str
    style: int
    #: Where a link leads; "" for none.
    address: str = ""


class RowWriter:
    """Keeps one row on the screen as it should be. What is to be written is collected, and taken by `take`."""

    def __init__(self, palette: Palette, *, color: bool, width: int) -> None:
        self.width = width
        self._palette = palette
        self._color = color
        self._out: list[str] = []
        self._shown: list[Piece] = []

    @property
    def shown(self) -> int:
        """How many pieces stand on the row of the cursor."""
        return len(self._shown)

    @property
    def text(self) -> str:
        """What stands on the row of the cursor."""
        return "".join(piece.text for piece in self._shown)

    def show(self, row: Sequence[Piece], same: int = 0) -> None:
        """Make the row look like `row`, whose first `same` pieces are known to stand there."""
        shown = self._shown
        while same < len(shown) and same < len(row) and shown[same] == row[same]:
            same += 1
        if same == len(shown) - 1 and same < len(row) and _goes_on(shown[same], row[same]):
            text, style, address = row[same]
            self._write([Piece(text[len(shown[same].text) :], style, address), *row[same + 1 :]])
            shown[same:] = row[same:]
            return
        if same < len(shown):
            if _is_cut_otherwise(shown[same:], row[same:]):
                shown[same:] = row[same:]
                return
            same = self._go_back(same, row)
        self._write(row[same:])
        shown.extend(row[same:])

    def show_more(self, pieces: Sequence[Piece]) -> None:
        """Write more behind what stands on the row."""
        self._write(pieces)
        self._shown.extend(pieces)

    def add(self, piece: Piece) -> None:
        """Write something more, wherever it will stand."""
        self._write([piece])
        self._shown.append(piece)

    def end(self) -> None:
        """The row is done: the cursor goes to the next one."""
        self._out.append("\n")
        self._shown.clear()

    def wrap(self) -> None:
        """The row is full, and the terminal itself puts what follows on the next one."""
        self._shown.clear()

    def take(self) -> str:
        """What is to be written."""
        out = self._out
        if not out:
            return ""
        text = "".join(out)
        out.clear()
        return text

    def _write(self, pieces: Sequence[Piece]) -> None:
        text, style, address = "", 0, ""
        for more, its_style, its_address in pieces:
            if its_style != style or its_address != address:
                if text:
                    self._out.append(self._palette.painted(text, style, address))
                text, style, address = more, its_style, its_address
            else:
                text += more
        if text:
            self._out.append(self._palette.painted(text, style, address))

    def _go_back(self, same: int, row: Sequence[Piece]) -> int:
        """Take the pieces from `same` on off the screen; how many are left."""
        old = "".join(piece.text for piece in self._shown)
        rest = "".join(piece.text for piece in self._shown[same:])
        if not self._color:
            new = "".join(piece.text for piece in row)
            blanks = " " * (most_columns(old) - most_columns(new))
            self._out.append(f"\r{new}{blanks}\r" if blanks else "\r")
            same = 0
        elif not old.isascii() or "\t" in old or len(old) >= self.width:
            # Where "left" starts from behind a full row, and how wide some sequences are, terminals do not agree.
            self._out.append(f"\r{_ERASE}")
            same = 0
        elif rest:
            self._out.append(f"\x1b[{len(rest)}D{_ERASE}")
        del self._shown[same:]
        return same


def _is_cut_otherwise(shown: Sequence[Piece], pieces: Sequence[Piece]) -> bool:
    """Whether both are the same text in one style."""
    looks = {piece[1:] for piece in (*shown, *pieces)}
    return len(looks) == 1 and "".join(piece.text for piece in shown) == "".join(piece.text for piece in pieces)


def _goes_on(shown: Piece, piece: Piece) -> bool:
    return shown.style == piece.style and shown.address == piece.address and piece.text.startswith(shown.text)
