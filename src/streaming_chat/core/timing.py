"""Arrival times → latency figures. The definitions are written out in docs/latency.md.

All figures are seconds after the start of the turn's first attempt, on one monotonic clock; None where nothing happened
that could be measured. Nothing here reads a clock.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: As many gaps are kept together, and sorted at once.
_PART: Final = 8192


@dataclass(frozen=True)
class Gaps:
    """The times between two text deltas in a row. `max` is the longest stall."""

    p50: float
    p95: float
    max: float


@dataclass(frozen=True)
class Timing:
    """The latency figures of one turn, in seconds."""

    total: float
    headers: float | None = None
    first_token: float | None = None
    first_reasoning: float | None = None
    gaps: Gaps | None = None
    tokens_per_second: float | None = None
    attempts: int = 1


class Stopwatch:
    """Collects arrivals and makes `Timing` of them. Eight bytes for each text delta, nothing else grows.

    They lie in parts: one array that grew with the answer would be copied again and again, which takes memory too.
    """

    def __init__(self, start: float) -> None:
        self.start = start
        self.headers: float | None = None
        self.attempts = 1
        self._first_token: float | None = None
        self._first_reasoning: float | None = None
        self._first_delta: float | None = None
        self._last_delta: float | None = None
        self._last_text: float | None = None
        self._gaps = [array("d")]

    def text(self, at: float) -> None:
        """Content or refusal text arrived."""
        if self._last_text is None:
            self._first_token = at
        else:
            if len(self._gaps[-1]) == _PART:
                self._gaps.append(array("d"))
            self._gaps[-1].append(at - self._last_text)
        self._last_text = at
        self._delta(at)

    def reasoning(self, at: float) -> None:
        """Reasoning text arrived."""
        if self._first_reasoning is None:
            self._first_reasoning = at
        self._delta(at)

    def tool_call(self, at: float) -> None:
        """A piece of a tool call arrived."""
        self._delta(at)

    def _delta(self, at: float) -> None:
        if self._first_delta is None:
            self._first_delta = at
        self._last_delta = at

    def timing(self, end: float, completion_tokens: int | None) -> Timing:
        """The figures, once the stream has ended at `end`."""
        return Timing(
            total=end - self.start,
            headers=self._since_start(self.headers),
            first_token=self._since_start(self._first_token),
            first_reasoning=self._since_start(self._first_reasoning),
            gaps=_figures_of(self._gaps),
            tokens_per_second=self._tokens_per_second(completion_tokens),
            attempts=self.attempts,
        )

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else at - self.start

    def _tokens_per_second(self, completion_tokens: int | None) -> float | None:
        # A chunk is not a token, so there is no rate without the server's own count; the first token marks the start
        # of the interval and is not produced inside it, hence the -1.
        if completion_tokens is None or completion_tokens < 2:
            return None
        if self._first_delta is None or self._last_delta is None or self._last_delta <= self._first_delta:
            return None
        return (completion_tokens - 1) / (self._last_delta - self._first_delta)


def _figures_of(gaps: list[array[float]]) -> Gaps | None:
    if not gaps[0]:
        return None
    # Part by part, and in place: a list of all would take four times as much memory as the answer.
    for number, part in enumerate(gaps):
        gaps[number] = array("d", sorted(part))
    return Gaps(p50=percentile(gaps, 50), p95=percentile(gaps, 95), max=max(part[-1] for part in gaps))


def percentile(parts: Sequence[Sequence[float]], percent: float) -> float:
    """The nearest-rank percentile of the values in all parts, each in ascending order: never a mean of two values."""
    rank = max(1, int(-(-sum(map(len, parts)) * percent // 100)))
    low, high = [0] * len(parts), [len(part) for part in parts]
    while True:
        # It stands between `low` and `high` in each part; the middle of the widest part tells in which half.
        widest = max(range(len(parts)), key=lambda number: high[number] - low[number])
        pivot = parts[widest][(low[widest] + high[widest]) // 2]
        below = [bisect_left(part, pivot) for part in parts]
        up_to = [bisect_right(part, pivot) for part in parts]
        if rank <= sum(below):
            high = below
        elif rank > sum(up_to):
            low = up_to
        else:
            return pivot
