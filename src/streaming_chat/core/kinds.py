"""How a value of each type is kept: in a cell of SQLite, and in JSON.

Rule: the type of a dataclass field decides. `KINDS` has a row for each type; `X | None` may also be absent. So a new field
of a known type needs no code here.

What is read is checked, because a file may be damaged and a JSON file may come from anywhere: a value that this program does
not write raises `WrongValue`, with a message that names its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields
from datetime import datetime, timezone
from typing import Any, Final

from streaming_chat.core.arrivals import KINDS as KINDS_OF_ARRIVAL
from streaming_chat.core.arrivals import LONGEST as LONGEST_ARRIVAL
from streaming_chat.core.arrivals import Arrival, decode_arrivals, encode_arrivals
from streaming_chat.core.conversation import Message
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import StoredError, ToolCall

#: SQLite holds no greater number.
GREATEST_INTEGER: Final = 2**63 - 1
#: Seconds, at most: a thousand years.
_LONGEST: Final = 3.2e10
#: Levels of JSON that every reader takes.
_DEEPEST: Final = 64


class WrongValue(ValueError):
    """A value that this program does not write; the message says what and where."""


@dataclass(frozen=True)
class Kind:
    """One type of value. `from_json` and `from_cell` take the value and the words for its place; both raise `WrongValue`."""

    sql: str
    from_json: Callable[[Any, str], Any]
    to_cell: Callable[[Any], Any]
    from_cell: Callable[[Any, str], Any]


def stamp(moment: datetime) -> str:
    """A moment as a cell has it: UTC, milliseconds, sorted as text."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(value: object) -> str:
    """`value` for a cell that holds JSON."""
    # Not ASCII, so that a search finds the words; `default` because `extra` may hold what JSON does not have: a date.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def kind_of(one: Field[Any]) -> Kind | None:
    """The kind of a dataclass field; None for one that has fields of its own (`PARTS` of record.py)."""
    return KINDS.get(_type_of(one).removesuffix(" | None"))


def is_optional(one: Field[Any]) -> bool:
    """Whether the field may be None."""
    return _type_of(one).endswith(" | None")


def _type_of(one: Field[Any]) -> str:
    # A string, because the modules postpone the evaluation of annotations.
    return str(one.type)


def blank(one: Field[Any]) -> Any:
    """What a field has where nothing is given; MISSING when it has to be given."""
    if one.default is not MISSING:
        return one.default
    return None if is_optional(one) else MISSING


def read_object(cls: type[Any], value: Any, where: str, parts: Mapping[str, type[Any]] | None = None) -> Any:
    """The dataclass `cls` out of a JSON object. `parts` maps the names of types to dataclasses that fields may have."""
    if not isinstance(value, dict):
        raise WrongValue(f"{where} is no object")
    return cls(**{one.name: _read_field(one, value, where, parts or {}) for one in fields(cls)})


def _read_field(one: Field[Any], values: Mapping[str, Any], where: str, parts: Mapping[str, type[Any]]) -> Any:
    given = values.get(one.name, MISSING)
    if given is None and blank(one) is not MISSING:
        return blank(one)
    if given is MISSING:
        given = one.metadata.get("absent", blank(one))
        if given is MISSING:
            raise WrongValue(f"{where} has no {one.name!r}")
        return given
    kind = kind_of(one)
    place = f"{one.name!r} of {where}"
    if kind is not None:
        return kind.from_json(given, place)
    return read_object(parts[_type_of(one).removesuffix(" | None")], given, place, parts)


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise WrongValue(f"{where} is no text")
    return value


def _count(value: Any, where: str) -> int:
    if not _is_whole(value):
        raise WrongValue(f"{where} is no whole number")
    return int(value)


def _counted(value: Any, where: str) -> int:
    if type(value) is not int:
        raise WrongValue(f"{where} is no whole number")
    return value


def _seconds(value: Any, where: str) -> float:
    # NaN is neither less nor more than anything. A whole number may be too large for a float, and is compared as it is.
    if not (type(value) is float or type(value) is int) or not 0 <= value <= _LONGEST:
        raise WrongValue(f"{where} is no number of seconds")
    return value


def _is_number(value: Any) -> bool:
    # Compared, not converted: a whole number of JSON may be too large for a float. NaN is not equal to itself.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63 and value == value


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= GREATEST_INTEGER


def _is_plain(value: Any, levels: int = _DEEPEST) -> bool:
    """Whether a value is JSON that every reader takes: of no more than so many levels, and with finite numbers."""
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_plain(one, levels - 1) for one in inner)


def _moment(value: Any, where: str) -> datetime:
    try:
        # `fromisoformat` takes a Z only from Python 3.11 on.
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        # So that it is a time in every zone of the world.
        if moment.tzinfo is not None and 1970 <= moment.year <= 9998:
            return moment.astimezone(timezone.utc)
    except (AttributeError, TypeError, ValueError, OverflowError):
        pass
    raise WrongValue(f"{where} is no time with its zone: {value!r}")


def _outcome(value: Any, where: str) -> Outcome:
    try:
        return Outcome(value)
    except ValueError:
        raise WrongValue(f"{where} is none: {value!r}") from None


#: Setting → what its value has to be.
_SETTINGS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": _is_number,
    "top_p": _is_number,
    "max_tokens": lambda value: type(value) is int,
    "extra": lambda value: type(value) is dict,
}


def _settings(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongValue(f"{where} is no object")
    for name, setting in value.items():
        if name not in _SETTINGS or not _SETTINGS[name](setting):
            raise WrongValue(f"{where} has a {name!r} that is no setting")
    return value


def _given_settings(value: Any, where: str) -> dict[str, Any]:
    """Settings from elsewhere: what other programs could not read is refused, whatever this one would write."""
    for name, setting in _settings(value, where).items():
        if not _is_plain(setting) or (name == "max_tokens" and not _is_whole(setting)):
            raise WrongValue(f"{where} has a {name!r} that is no setting")
    return dict(value)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise WrongValue(f"{where} is no list")
    return value


def _objects(cls: type[Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        return tuple(read_object(cls, one, f"an entry of {where}") for one in _list(value, where))

    return read


def _arrivals(value: Any, where: str) -> tuple[Arrival, ...]:
    return tuple(_each_arrival(_list(value, where), where))


def _each_arrival(values: list[Any], where: str) -> Iterator[Arrival]:
    # A long answer has thousands: no call for each.
    for value in values:
        if type(value) is list and len(value) == 3:
            at, kind, length = value
            is_time = (type(at) is float or type(at) is int) and 0 <= at <= _LONGEST
            if is_time and kind in KINDS_OF_ARRIVAL and type(length) is int and 0 <= length <= LONGEST_ARRIVAL:
                yield Arrival(at, kind, length)
                continue
        raise WrongValue(f"{where} has an entry that is no [seconds, kind, characters]")


def _same(value: Any) -> Any:
    return value


def _fitting(number: int) -> int | None:
    """A number, unless SQLite cannot hold it: a server's own count may be anything."""
    return number if abs(number) <= GREATEST_INTEGER else None


def _plain(sql: str, from_json: Callable[[Any, str], Any], to_cell: Callable[[Any], Any] = _same) -> Kind:
    """A kind whose cell holds what JSON holds."""
    return Kind(sql, from_json, to_cell, from_json)


def _in_json(
    from_json: Callable[[Any, str], Any],
    to_cell: Callable[[Any], Any],
    from_cell: Callable[[Any, str], Any] | None = None,
) -> Kind:
    """A kind whose cell holds JSON text."""
    read = from_cell or from_json

    def parsed(value: Any, where: str) -> Any:
        if not isinstance(value, str):
            raise WrongValue(f"{where} is no text")
        try:
            return read(json.loads(value), where)
        except RecursionError:
            raise WrongValue(f"{where} is nested too deeply") from None

    return Kind("TEXT", from_json, to_cell, parsed)


def _as_objects(values: tuple[Any, ...]) -> str:
    return as_json([asdict(one) for one in values])


#: The type of a field, as it is written there → how its values are kept.
KINDS: Final[Mapping[str, Kind]] = {
    "str": _plain("TEXT", _text),
    # A row may hold whatever number this program wrote.
    "int": Kind("INTEGER", _count, _fitting, _counted),
    "float": _plain("REAL", _seconds),
    "datetime": _plain("TEXT", _moment, stamp),
    "Outcome": _plain("TEXT", _outcome, lambda outcome: outcome.value),
    "Mapping[str, Any]": _in_json(_given_settings, as_json, _settings),
    "tuple[Message, ...]": _in_json(_objects(Message), _as_objects),
    "tuple[ToolCall, ...]": _in_json(_objects(ToolCall), _as_objects),
    "StoredError": _in_json(
        lambda value, where: read_object(StoredError, value, where), lambda error: as_json(asdict(error))
    ),
    "tuple[Arrival, ...]": Kind("BLOB", _arrivals, encode_arrivals, lambda value, _where: tuple(decode_arrivals(value))),
}
