"""What a terminal shows of a stream's output: rows, and the visible characters with their styles.

Rule of the renderer: decoration is faint (SGR 2) and text never is. pyte knows no faint, so faint is fed to it as reverse
video, and reverse characters are no glyphs. Bold is `strong`, italics are `emphasis`, struck out is `strike`, and any
colour is `code`.

The paper is as tall as the output needs: nothing scrolls away, so a row's number is absolute.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from pyte.screens import Char
from wcwidth import iter_graphemes, wcswidth

from markdown_oracle import Glyph
from screen import Terminal

_SGR = re.compile(r"\x1b\[([0-9;]*)m")


class Paper(Terminal):
    """A terminal that is never full.

    A cluster (an emoji with joiners, a flag) is as wide as `wcwidth.wcswidth` says, as in a modern terminal; without
    `clusters` it is as wide as the sum of its parts, as in an older one.
    """

    def __init__(self, output: str, width: int, clusters: bool = True) -> None:
        self._clusters = clusters
        # A character takes at most two columns, or three where the second has to go to the next row.
        super().__init__(width, sum(2 + 3 * len(line) // width for line in output.split("\n")))

    def write(self, text: str) -> None:
        """Draw, as behind a terminal's line discipline."""
        self.feed(_SGR.sub(_faint_is_reverse, text.replace("\n", "\r\n")).encode())

    def draw(self, data: str) -> None:
        """Draw text, a cluster into one cell."""
        if data.isascii() or not self._clusters:
            super().draw(data)
            return
        for char in data:
            line = self.buffer[self.cursor.y]
            x = self.cursor.x - (2 if self.cursor.x > 1 and not line[self.cursor.x - 1].data else 1)
            cell = line[x].data if self.cursor.x else ""
            if char.isascii() or not cell or cell.isspace() or len(list(iter_graphemes(cell + char))) > 1:
                super().draw(char)
                continue
            line[x] = line[x]._replace(data=cell + char)
            self.dirty.add(self.cursor.y)
            if wcswidth(cell) < wcswidth(cell + char) and self.cursor.x < self.columns:
                line[self.cursor.x] = line[x]._replace(data="")
                self.cursor.x += 1

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """Erase; behind a full row the cursor is still in its last column, which pyte leaves alone."""
        x, self.cursor.x = self.cursor.x, min(self.cursor.x, self.columns - 1)
        super().erase_in_line(how, private=private)
        self.cursor.x = x

    def index(self) -> None:
        """Go down a row."""
        assert self.cursor.y < self.lines - 1, "the paper is too short"
        super().index()


def seen(output: str, width: int, clusters: bool = True) -> list[Glyph]:
    """Return the visible characters of the final screen row by row, without white space and decoration."""
    paper = Paper(output, width, clusters)
    paper.write(output)
    return [
        (char, _styles(cell))
        for y in range(paper.cursor.y + 1)
        for x in sorted(paper.buffer[y])
        for cell in [paper.buffer[y][x]]
        if cell.data and not cell.data[0].isspace() and not cell.reverse
        for char in unicodedata.normalize("NFD", cell.data)
    ]


def rows(output: str, width: int, clusters: bool = True) -> list[str]:
    """Return the rows of the final screen, without spaces at their ends and without empty rows at the end."""
    paper = Paper(output, width, clusters)
    paper.write(output)
    text = paper.rows_text()
    while text and not text[-1]:
        text.pop()
    return text


def _styles(cell: Char) -> frozenset[str]:
    marks: dict[str, Any] = {
        "strong": cell.bold,
        "emphasis": cell.italics,
        "strike": cell.strikethrough,
        "code": cell.fg != "default",
    }
    return frozenset(name for name, on in marks.items() if on)


def _faint_is_reverse(sequence: re.Match[str]) -> str:
    parameters = sequence[1].split(";")
    rewritten = []
    while parameters:
        parameter = parameters.pop(0)
        rewritten.append({"2": "7", "02": "7", "22": "22;27"}.get(parameter, parameter))
        if parameter in ("38", "48", "58") and parameters:  # What follows makes up a colour.
            length = {"5": 2, "2": 4}.get(parameters[0], 0)
            rewritten += parameters[:length]
            del parameters[:length]
    return f"\x1b[{';'.join(rewritten)}m"
