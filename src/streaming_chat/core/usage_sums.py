"""Token counts and costs of several turns, added up.

Rule: what was not counted is absent, and never 0. So each sum says over how many of the turns it goes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from streaming_chat.core.events import Usage


@dataclass(frozen=True)
class Sum:
    """`amount` tokens, or of money, in `turns` turns."""

    amount: float
    turns: int


class UsageSums:
    """The sums of the turns so far. They have the names of `Usage`, and `cost`."""

    def __init__(self) -> None:
        self.turns = 0
        self._sums: dict[str, Sum] = {}

    def add(self, usage: Usage | None, cost: float | None) -> None:
        """One more turn, and what is known of it."""
        self.turns += 1
        for name, amount in {**(asdict(usage) if usage else {}), "cost": cost}.items():
            if amount is not None:
                so_far = self._sums.get(name, Sum(0, 0))
                self._sums[name] = Sum(so_far.amount + amount, so_far.turns + 1)

    def of(self, name: str) -> Sum | None:
        """The sum of one figure; None when no turn has it."""
        return self._sums.get(name)
