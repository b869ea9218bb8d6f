"""Figures as words: the same in the terminal and on the page. Absent is `–`, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from streaming_chat.core.prices import money
from streaming_chat.history.statistics import CostSum, Distribution, Figures, Group, Moment, TokenSum
from streaming_chat.history.timeline import Period

ABSENT = "–"


def seconds(distribution: Distribution | None, percent: float) -> str:
    """A percentile of seconds, to the millisecond."""
    return ABSENT if distribution is None else f"{distribution.at(percent):.3f}"


def rate(distribution: Distribution | None, turns: int) -> str:
    """The p50 of tokens per second, and of how many of the `turns`."""
    return ABSENT if distribution is None else f"{distribution.at(50):.1f}{_of(len(distribution.values), turns)}"


def tokens(sum_: TokenSum | None, turns: int) -> str:
    """A sum of tokens, and of how many of the `turns`, unless of all: `12,345 (38 of 40 turns)`."""
    return ABSENT if sum_ is None else f"{sum_.tokens:,}{_of(sum_.turns, turns)}"


def cost(sum_: CostSum | None, turns: int, currency: str) -> str:
    """A sum of money, likewise."""
    return ABSENT if sum_ is None else f"{money(sum_.amount, currency)}{_of(sum_.turns, turns)}"


def counted(turns: int) -> str:
    """`1 turn`, `1,234 turns`."""
    return f"{turns:,} {'turn' if turns == 1 else 'turns'}"


def outcomes(figures: Figures) -> list[str]:
    """How the turns ended: `38 complete`, `2 error`."""
    return [f"{count:,} {name}" for name, count in figures.outcomes.items()]


def name(group: Group) -> str:
    """What a group is of; from outside, as it came."""
    return f"{group.model} · {group.endpoint}"


def short_name(group: Group) -> str:
    """Likewise, without what nearly all endpoints begin with."""
    return f"{group.model} · {group.endpoint.removeprefix('https://').removeprefix('http://')}"


def days(moments: Sequence[Moment]) -> str:
    """The days from the first of `moments`, in ascending order, to the last, where the user is."""
    first, last = (f"{moment.at.astimezone():%Y-%m-%d}" for moment in (moments[0], moments[-1]))
    return first if first == last else f"{first} to {last}"


def moment(period: Period) -> str:
    """When a period begins: the day, and the hour where periods are hours."""
    return f"{period.start:%Y-%m-%d %H:%M}" if isinstance(period.start, datetime) else f"{period.start:%Y-%m-%d}"


def _of(turns: int, all_turns: int) -> str:
    return "" if turns == all_turns else f" ({turns:,} of {counted(all_turns)})"
