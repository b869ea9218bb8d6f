"""What an answer cost, by prices that the user gave: there is no built-in list, which would go stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from streaming_chat.core.events import Usage

_MILLION = 1_000_000
#: A smaller amount is not shown in digits; nor as 0, which it is not.
_LEAST: Final = 0.000001


@dataclass(frozen=True)
class Price:
    """What a million tokens cost. `cached` is for prompt tokens out of the server's cache; None: they cost like others."""

    prompt: float
    completion: float
    cached: float | None = None


class Prices:
    """Prices by the name of a model, in which `*` stands for anything; a name without one goes before."""

    def __init__(self, by_model: Mapping[str, Price], currency: str = "$") -> None:
        self.currency = currency
        self.by_model = by_model

    def __bool__(self) -> bool:
        return bool(self.by_model)

    def cost(self, model: str, usage: Usage | None) -> float | None:
        """What `usage` cost; None where there is no price, or the server did not count.

        Reasoning tokens are completion tokens, and cached tokens are prompt tokens, as the API counts them (API reference,
        "The chat completion object": `completion_tokens_details`, `prompt_tokens_details`).
        """
        price = self._price(model)
        if price is None or usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        cached_price = price.prompt if price.cached is None else price.cached
        uncached = usage.prompt_tokens - cached
        return (uncached * price.prompt + cached * cached_price + usage.completion_tokens * price.completion) / _MILLION

    def cost_of_turn(self, requested: str, served: str | None, usage: Usage | None) -> float | None:
        """What a turn cost, by the name under which the model was requested, else by the one that the server gave it."""
        cost = self.cost(requested, usage)
        if cost is None and served is not None:
            cost = self.cost(served, usage)
        # Without what binary fractions add to it: 6.449999999999999e-06 is 6.45e-06.
        return None if cost is None else round(cost, 12)

    def shown_cost(self, requested: str, served: str | None, usage: Usage | None) -> str | None:
        """The same in words."""
        cost = self.cost_of_turn(requested, served, usage)
        return None if cost is None else money(cost, self.currency)

    def _price(self, model: str) -> Price | None:
        if model in self.by_model:
            return self.by_model[model]
        # The longest name is the most specific one.
        fitting = [name for name in self.by_model if "*" in name and fnmatchcase(model, name.replace("[", "[[]"))]
        return self.by_model[max(fitting, key=len)] if fitting else None


NO_PRICES: Final = Prices({})


def money(amount: float, currency: str) -> str:
    """An amount with as many digits as it needs, six at most: `$0.0012`, `$3.40`, `0.50 EUR`, `<$0.000001`."""
    below = "<" if 0 < amount < _LEAST else ""
    amount = max(amount, _LEAST) if amount else amount
    digits = f"{amount:.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.2g}" if amount >= 0.001 else f"{amount:.6f}"
    return f"{below}{digits} {currency}" if currency[:1].isalpha() else f"{below}{currency}{digits}"
