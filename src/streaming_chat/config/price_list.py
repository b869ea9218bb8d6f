"""The tables `[prices."MODEL"]` of `config.toml` → `Prices`.

[prices."gpt-4o-mini"]    # `*` stands for anything: "gpt-4o-mini*"
prompt = 0.15             # what a million tokens cost
completion = 0.60
cached = 0.075            # prompt tokens out of the server's cache; without it they cost like others
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streaming_chat.config.spelling import nearest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.prices import Price, Prices

_NEEDED: Final = ("prompt", "completion")
_KEYS: Final = (*_NEEDED, "cached")
#: More is a slip. It also keeps whole numbers out that no float can hold.
_HIGHEST: Final = 1e12


def read_prices(table: Any, currency: str, where: Callable[..., str]) -> Prices:
    """The prices in `table`. UsageError for what cannot be one; `where(model, key)` tells its place, of a model or a key."""
    if not isinstance(table, dict):
        raise UsageError(f"prices has a value of the wrong type (in {where()})", kind=Kind.PRICES)
    return Prices({model: _price(model, entry, where) for model, entry in table.items()}, currency)


def _price(model: str, entry: Any, where: Callable[..., str]) -> Price:
    name = f'prices."{model}"'
    if not isinstance(entry, dict):
        raise UsageError(f"{name} must be a table (from {where(model)})", kind=Kind.PRICES)
    for key, value in entry.items():
        if key not in _KEYS:
            raise _unknown_key(f"unknown key {key!r} in {name} (in {where(model, key)})", model, key, value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _HIGHEST:
            raise UsageError(
                f"{name}.{key} must be a number from 0 on, not {value!r} (from {where(model, key)})", kind=Kind.PRICES
            )
    for key in _NEEDED:
        if key not in entry:
            raise UsageError(f"{name} has no {key} (in {where(model)})", kind=Kind.PRICES)
    return Price(**{key: float(value) for key, value in entry.items()})


def _unknown_key(message: str, model: str, key: str, value: Any) -> UsageError:
    if isinstance(value, dict):
        # [prices.gpt-4.1] is a table `1` in a table `gpt-4`.
        return UsageError(message, kind=Kind.PRICE_NAME, model=f"{model}.{key}")
    meant = nearest(key, _KEYS)
    return UsageError(message, kind=Kind.PRICE_KEY, nearest=meant) if meant else UsageError(message, kind=Kind.PRICES)
