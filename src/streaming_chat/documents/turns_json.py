"""Turns ↔ JSON, nothing lost: one object with all turns, or one object a line as `history show --json` writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any, Final, TypeVar

from streaming_chat.core.arrivals import KINDS, LONGEST, Arrival
from streaming_chat.core.conversation import Message
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import ToolCall
from streaming_chat.history import StoredError, StoredTurn, TurnSummary
from streaming_chat.text.surrogates import SurrogateJoiner, has_surrogate

FORMAT: Final = "streaming-chat turns"
#: Raised when a reader of the version before could not make sense of what is written.
VERSION: Final = 1
#: No number is greater, and no time longer: a thousand years.
_GREATEST: Final = 2**63
_LONGEST: Final = 3.2e10

_T = TypeVar("_T")


def turns_json(turns: Sequence[StoredTurn]) -> str:
    """All of what is kept of `turns`. Texts are as they came, times in seconds."""
    # A turn a line, so that a difference between two files can be read.
    objects = ",\n".join(json.dumps(as_object(turn), ensure_ascii=False) for turn in turns)
    return f'{{"format": {json.dumps(FORMAT)}, "version": {VERSION}, "turns": [\n{objects}\n]}}\n'


def as_object(turn: TurnSummary) -> dict[str, Any]:
    """One turn, as JSON has it."""
    arrivals = {}
    if isinstance(turn, StoredTurn):
        # Lists to JSON as they are. asdict() would copy each of half a million, which takes seconds.
        arrivals = {"arrivals": turn.arrivals}
        turn = replace(turn, arrivals=())
    return {**asdict(turn), **arrivals, "status": turn.status, "started_at": turn.started_at.isoformat()}


def turns_of(text: str, progress: Callable[[int, int], None] = lambda _done, _total: None) -> list[StoredTurn]:
    """The turns in what `turns_json` or `history show --json` has written. UsageError says what is not right, and where.

    `progress` is told, before each turn, how many of how many are done.
    """
    turns: list[StoredTurn] = []
    try:
        objects = _objects(text)
        for number, one in enumerate(objects, 1):
            progress(len(turns), len(objects))
            turns.append(_turn(one, number))
        return turns
    except (_Wrong, RecursionError) as wrong:
        if isinstance(wrong, RecursionError):
            wrong = _Wrong("the JSON is nested too deeply")
        raise UsageError(f"these are no turns: {wrong}", kind=Kind.NOT_TURNS) from None


class _Wrong(ValueError):
    """What is wrong with the text."""


def _objects(text: str) -> list[Any]:
    document: Any
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return [_parsed(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not isinstance(document, dict) or "turns" not in document:
        return [document]
    if document.get("format") != FORMAT:
        raise _Wrong(f"the format is {document.get('format')!r}, not {FORMAT!r}")
    version = document.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise _Wrong(f"they were written by a later version of the program (format {version!r}, here {VERSION})")
    return _Fields(document, "the file").list("turns")


def _no_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON has not."""
    raise ValueError(f"{name} is not JSON")


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line, parse_constant=_no_constant)
    except ValueError as problem:
        raise _Wrong(f"line {number} is not JSON ({problem})") from None


class _Fields:
    """The fields of one JSON object; what has another type than it should is wrong."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _Wrong(f"{where} is no object")
        self._values: Mapping[str, Any] = value
        self._where = where

    def _get(self, name: str, what: str, is_right: Callable[[Any], bool], default: Any = ...) -> Any:
        value = self._values.get(name, default)
        if value is ... or not is_right(value):
            raise _Wrong(f"{name!r} of {self._where} is no {what}" if value is not ... else f"{self._where} has no {name!r}")
        return value

    def text(self, name: str, default: Any = ...) -> str:
        value: str = self._get(name, "text", lambda value: isinstance(value, str), default)
        return _whole(value)

    def text_or_none(self, name: str) -> str | None:
        value: str | None = self._get(name, "text", lambda value: value is None or isinstance(value, str), None)
        return value if value is None else _whole(value)

    def count(self, name: str, default: Any = None) -> Any:
        return self._get(name, "whole number", lambda value: value is None or _is_whole(value), default)

    def seconds(self, name: str, default: Any = None) -> Any:
        return self._get(name, "number of seconds", lambda value: value is None or _is_seconds(value), default)

    def list(self, name: str) -> list[Any]:
        value: list[Any] = self._get(name, "list", lambda value: isinstance(value, list), [])
        return value

    def object(self, name: str, make: Callable[[_Fields], _T]) -> _T | None:
        value = self._values.get(name)
        return None if value is None else make(_Fields(value, f"{name!r} of {self._where}"))

    def objects(self, name: str, make: Callable[[_Fields], _T]) -> tuple[_T, ...]:
        return tuple(make(_Fields(one, f"an entry of {name!r} of {self._where}")) for one in self.list(name))


def _whole(text: str) -> str:
    """A text as the history keeps it: half a character (an escape without the one that belongs to it) is U+FFFD."""
    if not has_surrogate(text):
        return text
    joiner = SurrogateJoiner()
    return joiner.feed(text) + joiner.finish()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _GREATEST and value == value


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= _LONGEST


def _is_plain(value: Any, levels: int = 64) -> bool:
    """Whether a value is JSON that every reader takes: of no more than so many levels, and with finite numbers."""
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_plain(one, levels - 1) for one in inner)


def _turn(value: Any, number: int) -> StoredTurn:
    where = f"turn {number}"
    fields = _Fields(value, where)
    messages = fields.objects("messages", lambda one: Message(one.text("role"), one.text("content")))
    prompt = next((message.content for message in reversed(messages) if message.role == "user"), "")
    if not messages:
        raise _Wrong(f"{where} has no messages")
    return StoredTurn(
        number=fields.count("number", 0) or 0,
        session=fields.text("session"),
        started_at=_moment(fields.text("started_at"), where),
        endpoint=fields.text("endpoint"),
        model=fields.text("model"),
        served_model=fields.text_or_none("served_model"),
        request_id=fields.text_or_none("request_id"),
        outcome=_outcome(fields.text_or_none("outcome"), where),
        finish_reason=fields.text_or_none("finish_reason"),
        usage=fields.object("usage", _usage),
        timing=fields.object("timing", _timing),
        prompt=prompt,
        settings=_settings(value.get("settings", {}), where),
        messages=messages,
        text=fields.text("text", ""),
        reasoning=fields.text("reasoning", ""),
        refusal=fields.text("refusal", ""),
        tool_calls=fields.objects("tool_calls", lambda one: ToolCall(one.text("name"), one.text("arguments"))),
        error=fields.object("error", _error),
        arrivals=tuple(_arrivals(fields.list("arrivals"), where)),
    )


def _usage(fields: _Fields) -> Usage:
    return Usage(**{name: fields.count(name) for name in Usage.__dataclass_fields__})


def _timing(fields: _Fields) -> Timing:
    total = fields.seconds("total", ...)
    names = ("headers", "first_token", "first_reasoning", "tokens_per_second")
    return Timing(
        total=0.0 if total is None else total,
        gaps=fields.object("gaps", lambda gaps: Gaps(*(gaps.seconds(name, ...) or 0.0 for name in ("p50", "p95", "max")))),
        attempts=fields.count("attempts", 1) or 1,
        **{name: fields.seconds(name) for name in names},
    )


def _error(fields: _Fields) -> StoredError:
    return StoredError(
        type=fields.text("type"),
        message=fields.text("message"),
        hint=fields.text("hint"),
        status_code=fields.count("status_code"),
        code=fields.text_or_none("code"),
    )


#: Setting → what its value has to be.
_SETTINGS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": _is_number,
    "top_p": _is_number,
    "max_tokens": _is_whole,
    "extra": lambda value: isinstance(value, dict) and _is_plain(value),
}


def _settings(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"'settings' of {where} is no object")
    for name, setting in value.items():
        if name not in _SETTINGS or not _SETTINGS[name](setting):
            raise _Wrong(f"'settings' of {where} has a {name!r} that is no setting")
    return value


def _arrivals(values: list[Any], where: str) -> Iterator[Arrival]:
    # A long answer has thousands: no call for each.
    for value in values:
        if type(value) is list and len(value) == 3:
            at, kind, length = value
            is_time = (type(at) is float or type(at) is int) and 0 <= at <= _LONGEST
            if is_time and kind in KINDS and type(length) is int and 0 <= length <= LONGEST:
                yield Arrival(at, kind, length)
                continue
        raise _Wrong(f"'arrivals' of {where} has an entry that is no [seconds, kind, characters]")


def _moment(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        # So that it is a time in every zone of the world.
        if moment.tzinfo is not None and 1970 <= moment.year <= 9998:
            return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    raise _Wrong(f"'started_at' of {where} is no time with its zone: {text!r}")


def _outcome(text: str | None, where: str) -> Outcome | None:
    try:
        return None if text is None else Outcome(text)
    except ValueError:
        raise _Wrong(f"'outcome' of {where} is none: {text!r}") from None
