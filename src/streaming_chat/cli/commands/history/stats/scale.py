"""Seconds → places on an axis. Logarithmic, so that one slow answer does not push all the others into a corner."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import ceil, log
from typing import Final

#: Where an axis may begin, end and be marked: 1, 2, 5 and their multiples by powers of ten, in seconds.
_NICE: Final = tuple(float(f"{digit}e{power}") for power in range(-3, 7) for digit in (1, 2, 5))


class Scale:
    """An axis from a nice number of seconds to another, with room for `values`, of which there is at least one.

    What is below a millisecond or above eleven days stands at the end of the axis.
    """

    def __init__(self, values: Iterable[float]) -> None:
        known = list(values)
        low = max(0, bisect_right(_NICE, min(known)) - 1)
        high = min(len(_NICE) - 1, max(low + 1, bisect_left(_NICE, max(known))))
        low = min(low, high - 1)
        self._nice = _NICE[low : high + 1]

    def place(self, seconds: float) -> float:
        """Where `seconds` stand: 0 is the beginning, 1 the end."""
        low, high = self._nice[0], self._nice[-1]
        return log(min(max(seconds, low), high) / low) / log(high / low)

    def marks(self, most: int) -> list[float]:
        """At most so many of the nice numbers, evenly chosen, the first one included."""
        return list(self._nice[:: ceil(len(self._nice) / most)])

    def counts(self, values: Sequence[float], bins: int) -> list[int]:
        """How many of `values` lie in each of `bins` equal parts of the axis."""
        counts = [0] * bins
        for value in values:
            counts[min(int(self.place(value) * bins), bins - 1)] += 1
        return counts


def short(seconds: float) -> str:
    """A nice number without needless zeros: `0.05`, `2`, `500`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
