"""Turns → a picture of the terminal, dark or light as its viewer is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from streaming_chat.documents.cast import COLUMNS, shown
from streaming_chat.documents.facts import title
from streaming_chat.documents.screen import Cell, Screen
from streaming_chat.history import StoredTurn
from streaming_chat.terminal.notices import NO_ADVICE, Advice
from streaming_chat.text.sanitize import sanitize

#: A character's width, and a row's height, in pixels at 14 px.
_CELL = (8.4, 20)
_MARGIN = 16
#: SGR parameter → its name in the style below.
_CLASSES = {
    "1": "b",
    "2": "f",
    "3": "i",
    "4": "u",
    "9": "s",
    **{str(30 + number): f"c{number}" for number in range(8)},
    "90": "f",
}
#: What the sixteen colours are, by the parameters of SGR, on dark and on light.
_STYLE = """
text{fill:#1f2328;white-space:pre}.p{fill:#fff}.b{font-weight:bold}.i{font-style:italic}.f{fill:#6e7781}
.u{text-decoration:underline}.s{text-decoration:line-through}.u.s{text-decoration:underline line-through}
.c1{fill:#b31d28}.c2{fill:#116329}.c3{fill:#7d4e00}.c4{fill:#0550ae}.c5{fill:#8250df}.c6{fill:#1b7c83}
@media(prefers-color-scheme:dark){text{fill:#d8dee9}.p{fill:#16181d}.f{fill:#8b949e}
.c1{fill:#ff7b72}.c2{fill:#7ee787}.c3{fill:#e3b341}.c4{fill:#79c0ff}.c5{fill:#d2a8ff}.c6{fill:#76e3ea}}
"""


def svg(turns: Sequence[StoredTurn], advice: Advice = NO_ADVICE) -> str:
    """The picture: every row of the turns, one below the other."""
    screen = Screen(COLUMNS)
    for turn in turns:
        for _, text in shown(turn, columns=COLUMNS, advice=advice):
            screen.write(text)
    rows = screen.rows
    while rows and not rows[-1]:
        rows.pop()
    width, height = round(COLUMNS * _CELL[0] + 2 * _MARGIN), len(rows) * _CELL[1] + 2 * _MARGIN
    texts = [text for y, row in enumerate(rows) for text in _texts(row, y)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-size="14" font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace">\n'
        f"<title>{escape(sanitize(title(turns)))}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="p" width="{width}" height="{height}" rx="8"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


def _texts(row: Sequence[Cell], y: int) -> list[str]:
    """The runs of one style; what is not ASCII stands by itself, because a font may make it wider than its columns."""
    texts = []
    places = range(len(row))
    for (style, _), run in groupby(places, lambda x: (row[x].style, 0 if row[x].text.isascii() and row[x].text else x + 1)):
        cells = list(run)
        while cells and not row[cells[0]].text.strip():
            cells.pop(0)
        text = "".join(row[x].text for x in cells).rstrip()
        if text:
            classes = " ".join(filter(None, (_CLASSES.get(one) for one in style)))
            styled = f' class="{classes}"' if classes else ""
            place = f'x="{_MARGIN + cells[0] * _CELL[0]:.1f}" y="{_MARGIN + 14 + y * _CELL[1]}"'
            texts.append(f"<text {place}{styled}>{escape(text)}</text>")
    return texts
