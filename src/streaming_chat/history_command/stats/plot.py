"""Distributions in the terminal, drawn by plotext: the one importer of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streaming_chat.core.errors import UsageError
from streaming_chat.history.statistics import Group, Statistics
from streaming_chat.history_command.lines import cell
from streaming_chat.history_command.stats import words
from streaming_chat.history_command.stats.scale import Scale, short
from streaming_chat.history_command.stats.text import PIPE_COLUMNS

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
        groups = [group for group in statistics.groups if getattr(group.figures, kind) is not None]
        if not groups:
            continue
        scale = Scale(value for group in groups for value in getattr(group.figures, kind).values)
        for group in groups:
            distribution = getattr(group.figures, kind)
            head = f"{title} · {_number(statistics.groups, group)} {words.name(group)}"
            yield ""
            yield cell(head, columns)
            yield from _histogram(plotext, distribution.values, scale, width, color=color)
        yield "seconds, on a logarithmic axis; turns upwards"[:width]


def _histogram(plotext: Any, values: Sequence[float], scale: Scale, width: int, *, color: bool) -> list[str]:
    # The labels of the turns are as wide as the widest number; a bin for each column that is left.
    most = len(values)
    bins = (width - _FRAME - len(str(most))) // _BAR
    counts = scale.counts(values, bins)
    marks = scale.marks(max(1, bins * _BAR // _MARK_COLUMNS))
    plotext.clear_figure()
    # Without that, a plot is never wider than what plotext takes for the terminal: on a pipe there is none.
    plotext.limit_size(False, False)
    plotext.plotsize(width, _ROWS)
    plotext.theme("clear")
    plotext.bar(list(range(bins)), counts, width=1, color="cyan")
    plotext.xlim(0, bins - 1)
    plotext.xticks([scale.place(mark) * (bins - 1) for mark in marks], [short(mark) for mark in marks])
    plotext.ylim(0, max(counts))
    plotext.yticks([0, max(counts)], ["0", str(max(counts))])
    drawn: str = plotext.build()
    return (drawn if color else plotext.uncolorize(drawn)).splitlines()


def _number(groups: Sequence[Group], group: Group) -> int:
    return 1 + next(place for place, one in enumerate(groups) if one is group)


def _plotext() -> Any:
    try:
        import plotext
    except ImportError:
        raise UsageError("plots need plotext, which is not installed", "`pip install plotext` installs it") from None
    return plotext
