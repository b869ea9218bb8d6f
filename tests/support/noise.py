"""Figures that are measured on a machine that others use too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def despite_noise(check: Callable[[], T], attempts: int = 25) -> T:
    """Return what `check` returns the first time that its assertions hold; the last attempt's failure is raised.

    For an upper bound on a time that the processor has a share in: a wrong definition or a timer in the way is there each
    time, another program's turn on the processor is not. What must hold each time does not belong into a `check`.
    """
    for _ in range(attempts - 1):
        try:
            return check()
        except AssertionError:
            continue
    return check()
