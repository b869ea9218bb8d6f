"""The statistics as text: a table of the times, then what else there is about each model and endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from streaming_chat.cli.commands.history.lines import cell, cut, width_of
from streaming_chat.cli.commands.history.stats import words
from streaming_chat.cli.commands.history.stats.sparkline import sparkline
from streaming_chat.history.statistics import TOKENS, Figures, Group, Statistics
from streaming_chat.history.timeline import Timeline

#: Columns where there is no terminal to say how many there are.
PIPE_COLUMNS = 80
#: What stands before the figures of a group, and how far they are indented.
_LABEL = 17
_INDENT = 3
#: The least columns for the name of a group in the table; with less, the numbers of turns give way.
_LEAST_NAME = 18
#: Behind a sparkline stands what its highest bar is.
_REMARK = len("  most 1234.567 s")


def text(statistics: Statistics, columns: int | None, currency: str) -> Iterator[str]:
    """Lines of at most `columns`; None for a pipe, where names are not cut. There is at least one turn.

    Names come from outside: for a terminal they are sanitised.
    """
    figures, groups = statistics.figures, statistics.groups
    width = columns or PIPE_COLUMNS
    timeline = Timeline(figures.moments, max(1, width - _LABEL - _INDENT - _REMARK))
    head = [words.counted(figures.turns), words.days(figures.moments)]
    if figures.cost is not None:
        head.append(words.cost(figures.cost, figures.turns, currency))
    lines = [*_wrapped(head, width), "", *_times(groups, columns)]
    if len(groups) > 1:
        lines += ["", "   all", *_over_time(figures, timeline)]
    for number, group in enumerate(groups, 1):
        lines += ["", f"{_number(number)}{cell(words.name(group), columns and columns - _INDENT)}"]
        lines += _facts(group.figures, width, currency)
        lines += _over_time(group.figures, timeline)
    for line in lines:
        yield line.rstrip() if columns is None else cut(line.rstrip(), columns)


def _times(groups: Sequence[Group], columns: int | None) -> Iterator[str]:
    """The table: p50, p95 and p99 of the first token and of the total, and of how many turns they are."""
    rows = [[*_percentiles(group.figures, "first_token"), *_percentiles(group.figures, "total")] for group in groups]
    heads = ["turns", "p50", "p95", "p99"] * 2
    if columns is not None and columns - _INDENT - _width(heads, rows) < _LEAST_NAME:
        heads, rows = _without_turns(heads), [_without_turns(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    names = [cell(words.short_name(group), columns and max(1, columns - _INDENT - _width(heads, rows))) for group in groups]
    name_width = max(map(width_of, [*names, "seconds"]))
    half = len(heads) // 2
    over = ("first token", "total")
    spans = [sum(widths[place : place + half]) + 2 * half - 2 for place in (0, half)]
    # "first token" is wider than narrow figures below it.
    widths[0] += max(0, len(over[0]) - spans[0])
    spans[0] = max(spans[0], len(over[0]))
    yield " " * (_INDENT + name_width) + "".join(f"  {title.rjust(span)}" for title, span in zip(over, spans, strict=True))
    yield " " * _INDENT + "seconds".ljust(name_width) + _cells(heads, widths)
    for number, (shown, row) in enumerate(zip(names, rows, strict=True), 1):
        yield _number(number) + shown + " " * (name_width - width_of(shown)) + _cells(row, widths)


def _percentiles(figures: Figures, kind: str) -> list[str]:
    distribution = getattr(figures, kind)
    turns = words.ABSENT if distribution is None else f"{len(distribution.values):,}"
    return [turns, *(words.seconds(distribution, percent) for percent in (50, 95, 99))]


def _without_turns(row: list[str]) -> list[str]:
    half = len(row) // 2
    return row[1:half] + row[half + 1 :]


def _width(heads: list[str], rows: list[list[str]]) -> int:
    return sum(2 + max(map(len, column)) for column in zip(heads, *rows, strict=True))


def _cells(row: list[str], widths: list[int]) -> str:
    return "".join(f"  {figure.rjust(width)}" for figure, width in zip(row, widths, strict=True))


def _facts(figures: Figures, width: int, currency: str) -> Iterator[str]:
    turns = figures.turns
    sums = {kind: words.tokens(figures.tokens[kind], turns) for kind in TOKENS}
    yield from _labelled("turns", [f"{turns:,} in all", *words.outcomes(figures)], width)
    reported = any(figures.tokens.values())
    each = [f"{kind.removesuffix('_tokens')} {shown}" for kind, shown in sums.items()]
    yield from _labelled("tokens", each if reported else [words.ABSENT], width)
    yield from _labelled("tokens/s p50", [words.rate(figures.tokens_per_second, turns)], width)
    if figures.cost is not None:
        yield from _labelled("cost", [words.cost(figures.cost, turns, currency)], width)


def _labelled(label: str, facts: list[str], width: int) -> Iterator[str]:
    for line in _wrapped(facts, width - _INDENT - _LABEL):
        yield _label(label) + line
        label = ""


def _wrapped(facts: list[str], width: int) -> Iterator[str]:
    """As many facts on a line as fit; none of them is broken."""
    # A no-break space keeps the words of a fact together, and the dot behind them.
    joined = "\xa0· ".join(fact.replace(" ", "\xa0") for fact in facts)
    for line in wrap(joined, max(1, width), break_long_words=False, break_on_hyphens=False):
        yield line.replace("\xa0", " ").removesuffix(" ·")


def _over_time(figures: Figures, timeline: Timeline) -> Iterator[str]:
    """Two sparklines: turns, and the p50 of the first token. What did not happen is a blank."""
    periods = timeline.periods(figures.moments)
    turns = [period.turns or None for period in periods]
    firsts = [period.first_token for period in periods]
    most = max(period.turns for period in periods)
    yield f"{_label('turns over time')}{sparkline(turns)}  most {most:,} in {timeline.length}"
    known = [first for first in firsts if first is not None]
    if known:
        yield f"{_label('first token p50')}{sparkline(firsts)}  most {max(known):.3f} s"


def _label(label: str) -> str:
    return " " * _INDENT + label.ljust(_LABEL)


def _number(number: int) -> str:
    return f"{number} ".ljust(_INDENT)
