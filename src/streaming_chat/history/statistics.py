"""Turns → figures: how many there were, how they ended, their tokens, their cost, how long they took.

Pure: where the turns come from and how the figures are shown is told elsewhere. Two rules:

- What nobody measured or reported is None, never 0. A sum says of how many turns it is.
- The order of the turns does not matter. Percentiles are nearest-rank (core/timing.py): each is a value that occurred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from math import fsum
from typing import Final

from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.prices import Prices
from streaming_chat.core.record import TurnSummary
from streaming_chat.core.timing import percentile
from streaming_chat.history.selection import OUTCOMES

#: The kinds of tokens, by the API's names.
TOKENS: Final = tuple(one.name for one in fields(Usage))


@dataclass(frozen=True)
class Distribution:
    """Values that were measured, in ascending order; at least one."""

    values: tuple[float, ...]

    def at(self, percent: float) -> float:
        """The percentile: nearest-rank, in the unit of the values."""
        return percentile([self.values], percent)


@dataclass(frozen=True)
class TokenSum:
    """Tokens as the server counted them, summed over those `turns` for which it did."""

    tokens: int
    turns: int


@dataclass(frozen=True)
class CostSum:
    """What those `turns` cost for which there is a price and a count of the tokens, in the currency of the prices."""

    amount: float
    turns: int


@dataclass(frozen=True)
class Moment:
    """When a turn was sent (UTC), and its first token, in seconds after that."""

    at: datetime
    first_token: float | None


@dataclass(frozen=True)
class Figures:
    """What there is to say about some turns.

    `outcomes` has those that occurred, in the order of `OUTCOMES`; `tokens` has each of `TOKENS`. `first_token` (seconds) is
    of every turn that got one, however it ended: the wait was over. `total` (seconds) is of `complete` turns alone: a
    turn that was interrupted, cut or refused did not take the time that an answer takes. `tokens_per_second` is of every
    turn that has a rate. `moments` are in ascending order.
    """

    turns: int
    outcomes: Mapping[str, int]
    tokens: Mapping[str, TokenSum | None]
    cost: CostSum | None
    first_token: Distribution | None
    total: Distribution | None
    tokens_per_second: Distribution | None
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Group:
    """The turns that asked for one model at one endpoint; `model` is the requested name. Both are as they came."""

    model: str
    endpoint: str
    figures: Figures


@dataclass(frozen=True)
class Statistics:
    """All turns together, and each model and endpoint: those with the most turns first."""

    figures: Figures
    groups: tuple[Group, ...]


def statistics(turns: Iterable[TurnSummary], prices: Prices) -> Statistics:
    """The figures of `turns`; a cost where `prices` has the model, as requested or as served."""
    groups: dict[tuple[str, str], list[TurnSummary]] = {}
    for turn in turns:
        groups.setdefault((turn.model, turn.endpoint), []).append(turn)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return Statistics(
        figures=_figures([turn for _, members in ordered for turn in members], prices),
        groups=tuple(Group(*name, _figures(members, prices)) for name, members in ordered),
    )


def _figures(turns: Sequence[TurnSummary], prices: Prices) -> Figures:
    outcomes = Counter(turn.status for turn in turns)
    usages = [turn.usage for turn in turns if turn.usage is not None]
    timings = [(turn.outcome, turn.timing) for turn in turns if turn.timing is not None]
    costs = [cost for turn in turns if (cost := prices.cost_of_turn(turn.model, turn.served_model, turn.usage)) is not None]
    return Figures(
        turns=len(turns),
        outcomes={name: outcomes[name] for name in OUTCOMES if outcomes[name]},
        tokens={kind: _token_sum(getattr(usage, kind) for usage in usages) for kind in TOKENS},
        cost=CostSum(fsum(costs), len(costs)) if costs else None,
        first_token=_distribution(timing.first_token for _, timing in timings),
        total=_distribution(timing.total for outcome, timing in timings if outcome is Outcome.COMPLETE),
        tokens_per_second=_distribution(timing.tokens_per_second for _, timing in timings),
        moments=tuple(sorted((_moment(turn) for turn in turns), key=_in_time)),
    )


def _token_sum(counts: Iterable[int | None]) -> TokenSum | None:
    known = [count for count in counts if count is not None]
    return TokenSum(sum(known), len(known)) if known else None


def _distribution(values: Iterable[float | None]) -> Distribution | None:
    known = sorted(value for value in values if value is not None)
    return Distribution(tuple(known)) if known else None


def _moment(turn: TurnSummary) -> Moment:
    return Moment(turn.started_at, turn.timing.first_token if turn.timing is not None else None)


def _in_time(moment: Moment) -> tuple[datetime, float]:
    # Two turns of one moment have an order, too: that of the file must not matter.
    return moment.at, -1.0 if moment.first_token is None else moment.first_token
