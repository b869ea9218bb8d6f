"""The cells of a row, each of the type that this program writes. SQLite itself keeps any type in any column.

What is not raises ValueError: a row that says something else than it should is damaged, whoever made it so.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final, TypeVar

#: Seconds, at most: a thousand years.
_LONGEST: Final = 3.2e10
_T = TypeVar("_T")


class Cells:
    """A row, or an object in the JSON of one."""

    def __init__(self, row: sqlite3.Row | Mapping[str, Any]) -> None:
        self._row = row

    def text(self, name: str) -> str:
        """A text."""
        return _checked(self._row[name], str)

    def text_or_none(self, name: str) -> str | None:
        """A text, or nothing."""
        return self._or_none(name, self.text)

    def count(self, name: str) -> int | None:
        """A whole number, or nothing."""
        return self._or_none(name, lambda name: _checked(self._row[name], int))

    def seconds(self, name: str) -> float:
        """A number of seconds (or per second)."""
        value = self._row[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LONGEST:
            raise ValueError(name)
        return value

    def seconds_or_none(self, name: str) -> float | None:
        """A number of seconds (or per second), or nothing."""
        return self._or_none(name, self.seconds)

    def moment(self, name: str) -> datetime:
        """A time in UTC, of which there is one in every zone of the world."""
        # `fromisoformat` takes a Z only from Python 3.11 on.
        moment = datetime.fromisoformat(self.text(name).replace("Z", "+00:00"))
        if moment.tzinfo is None or not 1970 <= moment.year <= 9998:
            raise ValueError(name)
        return moment.astimezone(timezone.utc)

    def bytes(self, name: str) -> bytes:
        """What is no text."""
        return _checked(self._row[name], bytes)

    def json(self, name: str) -> Any:
        """What the JSON in a text says."""
        try:
            return json.loads(self.text(name))
        except RecursionError:
            raise ValueError(name) from None

    def objects(self, name: str, make: Callable[[Cells], _T]) -> tuple[_T, ...]:
        """What `make` makes of each object in a list in JSON."""
        return tuple(make(Cells(_checked(one, dict))) for one in _checked(self.json(name), list))

    def object(self, name: str, make: Callable[[Cells], _T]) -> _T | None:
        """What `make` makes of an object in JSON, or nothing."""
        return self._or_none(name, lambda name: make(Cells(_checked(self.json(name), dict))))

    def settings(self, name: str) -> dict[str, Any]:
        """What a user may set, by its name."""
        settings = _checked(self.json(name), dict)
        for setting, value in settings.items():
            if not _SETTINGS[setting](value):
                raise ValueError(setting)
        return settings

    def _or_none(self, name: str, read: Callable[[str], _T]) -> _T | None:
        return None if self._row[name] is None else read(name)


def _checked(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} for a {kind.__name__}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_SETTINGS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": _is_number,
    "top_p": _is_number,
    "max_tokens": lambda value: type(value) is int,
    "extra": lambda value: type(value) is dict,
}
