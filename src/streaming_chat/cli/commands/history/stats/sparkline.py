"""Numbers → a line of little bars."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None]) -> str:
    """A bar for each of `values`, from 0 to the greatest of them; a blank where there is none.

    From 0, because bars that began at the least would make much of little. What is 0 has the lowest bar.
    """
    most = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None else _bar(value, most) for value in values)


def _bar(value: float, most: float) -> str:
    place = ceil(len(_BARS) * value / most) if most > 0 else 1
    return _BARS[max(1, place) - 1]
