"""Token counts and costs in words: the table of `/usage`, and the line at the end of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from streaming_chat.core.events import Usage
from streaming_chat.core.prices import money
from streaming_chat.core.usage_sums import UsageSums

#: Figure → what it is called. Cached tokens are prompt tokens, and reasoning tokens are completion tokens (core/prices.py).
_ROWS: Final[Mapping[str, str]] = {
    "prompt_tokens": "prompt",
    "cached_tokens": "  cached",
    "completion_tokens": "completion",
    "reasoning_tokens": "  reasoning",
    "cost": "cost",
}
_ABSENT: Final = "–"


def usage_lines(last: Usage | None, last_cost: float | None, sums: UsageSums, currency: str) -> list[str]:
    """The counts of the last turn and of all of a session; a row for costs where there are any."""
    figures = {**asdict(last or Usage()), "cost": last_cost}
    lines = [f"  {'':<11}  {'last turn':>9}  session ({_turns(sums.turns)})"]
    for name, label in _ROWS.items():
        if name != "cost" or sums.of("cost"):
            one = _ABSENT if figures[name] is None else _amount(name, figures[name], currency)
            lines.append(f"  {label:<11}  {one:>9}  {_sum(name, sums, currency, ' turns')}")
    return lines


def summary(sums: UsageSums, currency: str) -> str | None:
    """A session in one line; None when nothing was counted."""
    names = [name for name in ("prompt_tokens", "completion_tokens", "cost") if sums.of(name)]
    if not names:
        return None
    parts = [f"{_ROWS[name]} {_sum(name, sums, currency, '')}" for name in names]
    return " · ".join([_turns(sums.turns), *parts])


def _sum(name: str, sums: UsageSums, currency: str, unit: str) -> str:
    found = sums.of(name)
    if found is None:
        return _ABSENT
    of_how_many = f" ({found.turns} of {sums.turns}{unit})" if found.turns < sums.turns else ""
    return _amount(name, found.amount, currency) + of_how_many


def _amount(name: str, amount: float, currency: str) -> str:
    return money(amount, currency) if name == "cost" else f"{amount:,}"


def _turns(count: int) -> str:
    return "1 turn" if count == 1 else f"{count} turns"
