"""The screen of pictures against a terminal emulator: what the program writes looks the same on both."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from markdown_screen import Paper
from markdown_strategies import cuts, documents
from streaming_chat.documents.screen import Screen
from streaming_chat.markdown import MarkdownStream

COLORS = {"red": "31", "green": "32", "brown": "33", "blue": "34", "magenta": "35", "cyan": "36", "brightblack": "90"}


def expected(output: str, columns: int) -> list[list[tuple[str, frozenset[str]]]]:
    paper = Paper(output, columns)
    paper.write(output)
    rows = []
    for y in range(paper.cursor.y + 1):
        row = []
        for x in range(columns):
            cell = paper.buffer[y][x]
            looks = (
                (cell.bold, "1"),
                (cell.reverse, "2"),
                (cell.italics, "3"),
                (cell.underscore, "4"),
                (cell.strikethrough, "9"),
            )
            style = {code for on, code in looks if on} | ({COLORS[cell.fg]} if cell.fg in COLORS else set())
            row.append((cell.data, frozenset(style)))
        rows.append(row)
    return rows


@st.composite
def written(draw: st.DrawFn) -> tuple[str, int]:
    """What a stream writes for a document, in pieces, and for how many columns."""
    text, columns = draw(documents()), draw(st.sampled_from([20, 40, 80]))
    stream = MarkdownStream(columns)
    return "".join(map(stream.feed, draw(cuts(text)))) + stream.finish(), columns


@given(written())
@settings(max_examples=150, deadline=None)
def test_it_shows_what_a_terminal_shows(of_stream: tuple[str, int]) -> None:
    output, columns = of_stream
    screen = Screen(columns)
    screen.write(output)
    for row, on_terminal in zip(screen.rows, expected(output, columns), strict=True):
        cells = [(cell.text, frozenset(cell.style)) for cell in row]
        cells += [(" ", frozenset())] * (columns - len(cells))
        # A blank without a line through or under it looks the same in every style.
        assert [_seen(cell) for cell in cells] == [_seen(cell) for cell in on_terminal]


def _seen(cell: tuple[str, frozenset[str]]) -> tuple[str, frozenset[str]]:
    text, style = cell
    return text, style & {"4", "9"} if text.isspace() else style
