"""Turns, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from streaming_chat.core.sanitize import sanitize
from streaming_chat.core.timing import Timing
from streaming_chat.history import MARKS, FoundTurn, TurnSummary
from streaming_chat.history_command.lines import cell, cut, one_line, width_of
from streaming_chat.transcripts.facts import local_time

#: How much of a prompt a list shows where there is no terminal to say how much fits.
_PROMPT_CHARACTERS = 200
#: Columns of a terminal that a model's name may take in a list: the prompt needs the room more.
_MODEL_COLUMNS = 20
#: How the place that was looked for stands out.
_FOUND = ("\x1b[1m", "\x1b[0m")


def table(turns: Sequence[TurnSummary], columns: int | None) -> list[str]:
    """A line for each of `turns`, at most `columns` wide; None for a pipe, where only the prompt is cut."""
    rows = [
        (
            str(turn.number),
            local_time(turn)[:-3],  # without seconds
            cell(turn.model, columns and _MODEL_COLUMNS),
            turn.status,
            _seconds(turn.timing),
            cell(turn.prompt, columns) if columns else _beginning(turn.prompt),
        )
        for turn in turns
    ]
    widths = [max((width_of(row[column]) for row in rows), default=0) for column in range(5)]
    lines = []
    for number, *cells, prompt in rows:
        padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths[1:], strict=True)]
        line = "  ".join((number.rjust(widths[0]), *padded, prompt)).rstrip()
        lines.append(line if columns is None else cut(line, columns))
    return lines


def _seconds(timing: Timing | None) -> str:
    """First token and total, as far as there are any."""
    if timing is None:
        return "–"
    first = "–" if timing.first_token is None else f"{timing.first_token:.2f}"
    return f"{first}/{timing.total:.2f}s"


def _beginning(prompt: str) -> str:
    """The first words of a prompt, which may be a whole file."""
    return cut(one_line(prompt[: 8 * _PROMPT_CHARACTERS]), _PROMPT_CHARACTERS)


def found_lines(turns: Sequence[FoundTurn], columns: int | None, *, color: bool) -> list[str]:
    """The lines of `table`, and below each where the words stand."""
    lines = []
    for line, turn in zip(table(turns, columns), turns, strict=True):
        lines += [line, f"    {_marked(turn.found, color=color)}" if columns else f"    {one_line(_plain(turn.found))}"]
    return lines


def _marked(text: str, *, color: bool) -> str:
    """A snippet for a terminal, its words bold."""
    shown = ""
    for place, part in enumerate(one_line(text).replace(MARKS[1], MARKS[0]).split(MARKS[0])):
        shown += f"{_FOUND[0]}{sanitize(part)}{_FOUND[1]}" if place % 2 and color else sanitize(part)
    return shown


def _plain(text: str) -> str:
    return text.replace(MARKS[0], "").replace(MARKS[1], "")
