"""The statistics as a JSON object. Fields and units are told in docs/guide.md."""

from __future__ import annotations

from typing import Any

from streaming_chat.history.statistics import CostSum, Distribution, Figures, Statistics, TokenSum
from streaming_chat.history.timeline import Period, Timeline

#: Periods that the time is cut into, at most.
_PERIODS = 100


def as_object(statistics: Statistics, currency: str) -> dict[str, Any]:
    """All figures; None for what is absent. Times in seconds, to the microsecond."""
    moments = statistics.figures.moments
    timeline = Timeline(moments, _PERIODS) if moments else None
    return {
        "first": moments[0].at.isoformat() if moments else None,
        "last": moments[-1].at.isoformat() if moments else None,
        "period": timeline and timeline.length,
        **_figures(statistics.figures, timeline, currency),
        "groups": [
            {"model": group.model, "endpoint": group.endpoint, **_figures(group.figures, timeline, currency)}
            for group in statistics.groups
        ],
    }


def _figures(figures: Figures, timeline: Timeline | None, currency: str) -> dict[str, Any]:
    return {
        "turns": figures.turns,
        "outcomes": dict(figures.outcomes),
        "first_token": _distribution(figures.first_token),
        "total": _distribution(figures.total),
        "tokens_per_second": _distribution(figures.tokens_per_second),
        **{kind: _token_sum(tokens) for kind, tokens in figures.tokens.items()},
        "cost": _cost(figures.cost, currency),
        "timeline": [_period(period) for period in timeline.periods(figures.moments)] if timeline else [],
    }


def _distribution(distribution: Distribution | None) -> dict[str, Any] | None:
    if distribution is None:
        return None
    percentiles = {f"p{percent}": round(distribution.at(percent), 6) for percent in (50, 95, 99)}
    return {"turns": len(distribution.values), **percentiles}


def _token_sum(tokens: TokenSum | None) -> dict[str, Any] | None:
    return None if tokens is None else {"sum": tokens.tokens, "turns": tokens.turns}


def _cost(cost: CostSum | None, currency: str) -> dict[str, Any] | None:
    return None if cost is None else {"amount": cost.amount, "currency": currency, "turns": cost.turns}


def _period(period: Period) -> dict[str, Any]:
    first = None if period.first_token is None else round(period.first_token, 6)
    return {"start": period.start.isoformat(), "turns": period.turns, "first_token_p50": first}
