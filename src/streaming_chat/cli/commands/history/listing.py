"""Turns, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from streaming_chat.cli.commands.history.lines import cell, cut, one_line, width_of
from streaming_chat.core.timing import Timing
from streaming_chat.documents.facts import local_time
from streaming_chat.history import MARKS, FoundTurn, TurnSummary
from streaming_chat.text.sanitize import sanitize

#: How much of a prompt a list shows where there is no terminal to say how much fits.
_PROMPT_CHARACTERS = 200
#: Columns of a terminal that a model's name may take in a list, and in a narrow one: the prompt needs the room more.
_MODEL_COLUMNS = 20
_FEW_MODEL_COLUMNS = 12
#: Columns that a prompt has at least; where it has not, a narrow list does without other things.
_PROMPT_COLUMNS = 20
#: How the place that was looked for stands out.
_FOUND = ("\x1b[1m", "\x1b[0m")


def table(turns: Sequence[TurnSummary], columns: int | None) -> list[str]:
    """A line for each of `turns`, at most `columns` wide; None for a pipe, where only the prompt is cut.

    On a narrow terminal names of models are shorter, then the times are left out, then the models.
    """
    if columns is None:
        return _joined([[*_facts(turn, None), _beginning(turn.prompt)] for turn in turns])
    wide, narrow = ([_facts(turn, most) for turn in turns] for most in (_MODEL_COLUMNS, _FEW_MODEL_COLUMNS))
    untimed = [row[:-1] for row in narrow]
    for facts in (wide, narrow, untimed, [[*row[:2], *row[3:]] for row in untimed]):
        if sum(width + 2 for width in _widths(facts)) + _PROMPT_COLUMNS <= columns:
            break
    rows = [[*row, cell(turn.prompt, columns)] for row, turn in zip(facts, turns, strict=True)]
    return [cut(line, columns) for line in _joined(rows)]


def _facts(turn: TurnSummary, model_columns: int | None) -> list[str]:
    """Number, time without seconds, model, how it ended, first token and total."""
    model = cell(turn.model, model_columns)
    return [str(turn.number), local_time(turn)[:-3], model, turn.status, _seconds(turn.timing)]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width_of, column)) for column in zip(*rows, strict=True)]


def _joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their cells below one another; the number is on the right, and nothing fills up the last one."""
    widths = _widths([row[:-1] for row in rows])
    lines = []
    for number, *cells, last in rows:
        padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join((number.rjust(widths[0]), *padded, last)).rstrip())
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
