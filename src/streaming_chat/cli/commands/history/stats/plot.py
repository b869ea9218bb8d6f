"""Distributions in the terminal, drawn by plotext: the one importer of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streaming_chat.cli.commands.history.lines import cell
from streaming_chat.cli.commands.history.stats import words
from streaming_chat.cli.commands.history.stats.scale import Scale, short
from streaming_chat.cli.commands.history.stats.text import PIPE_COLUMNS
from streaming_chat.core.errors import UsageError
from streaming_chat.history.statistics import Distribution, Group, Statistics

#: Rows of one picture, axes included.
_ROWS = 9
#: Columns that the frame takes beside the number of turns.
_FRAME = 2
#: Columns of a bar: narrower ones show chance rather than shape.
_BAR = 3
#: Columns between two marks below the axis, at least.
_MARK_COLUMNS = 9
_NARROWEST = 20


def plots(statistics: Statistics, columns: int | None, *, color: bool) -> Iterator[str]:
    """A histogram of the first token and one of the total for each group, all of a kind on one axis.

    Lines of at most `columns` (but 20); None for a pipe. UsageError when plotext is not installed.
    """
    plotext = _plotext()
    width = max(_NARROWEST, columns or PIPE_COLUMNS)
    for kind, title in (("first_token", "first token"), ("total", "total, of complete turns")):
        measured: list[tuple[int, Group, Distribution]] = [
            (number, group, found)
            for number, group in enumerate(statistics.groups, 1)
            if (found := getattr(group.figures, kind)) is not None
        ]
        if not measured:
            continue
        scale = Scale(value for _, _, found in measured for value in found.values)
        # As wide for all, so that their axes stand below one another.
        label = max(len(str(len(found.values))) for _, _, found in measured)
        for number, group, found in measured:
            yield ""
            yield cell(f"{title} · {number} {words.name(group)}", columns)
            yield from _histogram(plotext, found.values, scale, width, label, color=color)
        yield "seconds, on a logarithmic axis; turns upwards"[:width]


def _histogram(plotext: Any, values: Sequence[float], scale: Scale, width: int, label: int, *, color: bool) -> list[str]:  # noqa: PLR0913 # plotext takes a plot in parts
    columns = (width - _FRAME - label) // _BAR * _BAR
    counts = scale.counts(values, columns // _BAR)
    filled = [(place, counts[place // _BAR]) for place in range(columns) if counts[place // _BAR]]
    marks = scale.marks(max(1, columns // _MARK_COLUMNS))
    plotext.clear_figure()
    # Without that, a plot is never wider than what plotext takes for the terminal: on a pipe there is none.
    plotext.limit_size(False, False)
    plotext.plotsize(columns + _FRAME + label, _ROWS)
    plotext.theme("clear")
    # Filled points, one a column: the bars of `bar` are rounded apart, so that their feet are narrower than their heads.
    plotext.scatter(*zip(*filled, strict=True), marker="█", fillx=True, color="cyan")
    plotext.xlim(0, columns - 1)
    plotext.xticks([scale.place(mark) * (columns - 1) for mark in marks], [short(mark) for mark in marks])
    plotext.ylim(0, max(counts))
    plotext.yticks([0, max(counts)], ["0".rjust(label), str(max(counts)).rjust(label)])
    drawn: str = plotext.build()
    return (drawn if color else plotext.uncolorize(drawn)).splitlines()


def _plotext() -> Any:
    try:
        import plotext
    except ImportError:
        raise UsageError("plots need plotext, which is not installed", "`pip install plotext` installs it") from None
    return plotext
