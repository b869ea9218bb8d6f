"""One record of a turn: the list of its fields, which SQL, JSON, import, export and statistics are made of.

A field of `StoredTurn` (or of `Usage`, `Timing`, `Gaps` in it) is one line, here or there. Its type says how it is kept
(kinds.py), and its metadata says the rest:

    taken    the value for it in a `Turn` that is over; without it, the value is known when the request is sent
    absent   what stands for it in a JSON file that does not have it
    since    the version of the schema that brought it (history/open_file.py); without it, version 1

A field that is added has a default (`field(default=…, kw_only=True, metadata={"since": …})`), which turns of earlier
versions have, and a `since` one above the latest. `COLUMNS` and the migration follow. Names of columns are those of the
fields, with the prefixes of `PARTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from streaming_chat.core.arrivals import Arrival
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.kinds import Kind, WrongValue, blank, kind_of, read_object
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import StoredError, ToolCall, Turn

_USER_AND_PASSWORD = re.compile(r"//[^/?#]*@")


def _taken(name: str) -> dict[str, Callable[[Turn], Any]]:
    return {"taken": lambda turn: getattr(turn, name)}


def _request_id(turn: Turn) -> str | None:
    return turn.request_id or (turn.error.request_id if turn.error else None)


@dataclass(frozen=True)
class TurnSummary:
    """A turn as a list shows it. All texts are as they came: sanitise them before they reach a terminal.

    `started_at` is in UTC. `conversation` is the same for all turns of a conversation, and empty only where it is given so:
    it is the name of the session then. `parent` is the number of the turn before it in the conversation: the last one with a
    complete answer, or one that the user kept. None for the first turn, and for turns of versions that did not keep it.
    `outcome` and `timing` are None while the turn runs, and for ever when its process was killed.
    """

    number: int = field(metadata={"absent": 0})
    session: str
    conversation: str = field(default="", kw_only=True, metadata={"since": 3})
    parent: int | None = field(default=None, kw_only=True, metadata={"since": 3})
    started_at: datetime
    endpoint: str
    model: str
    served_model: str | None = field(metadata=_taken("model"))
    request_id: str | None = field(metadata={"taken": _request_id})
    outcome: Outcome | None = field(metadata=_taken("outcome"))
    finish_reason: str | None = field(metadata=_taken("finish_reason"))
    usage: Usage | None = field(metadata=_taken("usage"))
    timing: Timing | None = field(metadata=_taken("timing"))
    prompt: str = field(metadata={"absent": ""})

    def __post_init__(self) -> None:
        """A session is a conversation unless it says otherwise."""
        if not self.conversation:
            object.__setattr__(self, "conversation", self.session)

    @property
    def status(self) -> str:
        """The outcome in one word; a turn that runs and one whose process was killed look alike from outside."""
        return "unfinished" if self.outcome is None else self.outcome.value


@dataclass(frozen=True)
class StoredTurn(TurnSummary):
    """A turn with everything that was kept. Without an outcome, the texts are those of the last periodic save."""

    settings: Mapping[str, Any] = field(metadata={"absent": {}})
    #: A request that was too long was sent again without its oldest turns.
    messages: tuple[Message, ...] = field(metadata={"absent": (), "taken": lambda turn: turn.request.messages})
    text: str = field(metadata={"absent": "", **_taken("text")})
    reasoning: str = field(metadata={"absent": "", **_taken("reasoning")})
    refusal: str = field(metadata={"absent": "", **_taken("refusal")})
    tool_calls: tuple[ToolCall, ...] = field(metadata={"absent": (), **_taken("tool_calls")})
    error: StoredError | None = field(metadata={"taken": lambda turn: turn.error and StoredError.of(turn.error)})
    arrivals: tuple[Arrival, ...] = field(metadata={"absent": ()})

    def ended(self, turn: Turn) -> StoredTurn:
        """The record once the turn is over. When each delta arrived is for the caller to add."""
        return replace(self, **{one.name: one.metadata["taken"](turn) for one in fields(self) if "taken" in one.metadata})


class Part(NamedTuple):
    """A dataclass whose fields are columns of the turn, each with `prefix` before its name."""

    cls: type[Any]
    prefix: str


#: The type of a field that has fields of its own.
PARTS: Final[Mapping[str, Part]] = {
    "Usage": Part(Usage, ""),
    "Timing": Part(Timing, ""),
    "Gaps": Part(Gaps, "gap_"),
}
_PART_CLASSES: Final = {name: part.cls for name, part in PARTS.items()}


def _part_of(one: Field[Any]) -> Part:
    return PARTS[str(one.type).removesuffix(" | None")]


class Column(NamedTuple):
    """One column: `of` is the field of the turn that it belongs to."""

    name: str
    kind: Kind
    since: int
    of: Field[Any]


def _columns(cls: type[Any], prefix: str = "", of: Field[Any] | None = None) -> Iterator[Column]:
    for one in fields(cls):
        kind = kind_of(one)
        if kind is not None:
            yield Column(prefix + one.name, kind, one.metadata.get("since", 1), of or one)
        else:
            part = _part_of(one)
            yield from _columns(part.cls, part.prefix, of or one)


#: The columns of a turn, without its number, which is the key of the table.
COLUMNS: Final = tuple(column for column in _columns(StoredTurn) if column.name != "number")
#: Those of a summary.
SUMMARY_COLUMNS: Final = tuple(column for column in _columns(TurnSummary) if column.name != "number")
#: Those that a turn gains when it is over.
ENDED_COLUMNS: Final = tuple(column for column in COLUMNS if "taken" in column.of.metadata)


def begun(  # noqa: PLR0913 # the parts of a turn that has begun
    request: ChatRequest,
    *,
    number: int,
    session: str,
    conversation: str,
    parent: int | None,
    started_at: datetime,
    endpoint: str,
) -> StoredTurn:
    """The record of a turn that is about to be sent."""
    return StoredTurn(
        number=number,
        session=session,
        conversation=conversation,
        parent=parent,
        started_at=started_at,
        endpoint=kept_endpoint(endpoint),
        model=request.model,
        served_model=None,
        request_id=None,
        outcome=None,
        finish_reason=None,
        usage=None,
        timing=None,
        prompt=request.prompt,
        settings=settings_of(request),
        messages=request.messages,
        text="",
        reasoning="",
        refusal="",
        tool_calls=(),
        error=None,
        arrivals=(),
    )


def kept_endpoint(endpoint: str) -> str:
    """A base URL as it is kept: without user and password, query and fragment, which may hold a key."""
    return re.split("[?#]", _USER_AND_PASSWORD.sub("//", endpoint))[0]


def settings_of(request: ChatRequest) -> dict[str, Any]:
    """What the user set, by its name."""
    settings = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "extra": dict(request.extra) or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def cells_of(turn: StoredTurn) -> dict[str, Any]:
    """The cells of a row, by the names of `COLUMNS`."""
    return _cells(StoredTurn, turn)


def _cells(cls: type[Any], value: Any, prefix: str = "") -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for one in fields(cls):
        held = None if value is None else getattr(value, one.name)
        kind = kind_of(one)
        if kind is None:
            part = _part_of(one)
            cells |= _cells(part.cls, held, part.prefix)
        elif one.name != "number":
            cells[prefix + one.name] = None if held is None else kind.to_cell(held)
    return cells


class RowReader:
    """Reads the dataclass `cls`, a `TurnSummary` or one of its kind, from rows that have its number and then `columns`."""

    def __init__(self, cls: type[Any], columns: Sequence[str]) -> None:
        self._plan = _plan(cls, {name: place for place, name in enumerate(columns, 1)})

    def read(self, row: Sequence[Any]) -> Any:
        """The turn in `row`. Raises `WrongValue`, and what a value of a wrong type makes Python raise."""
        return self._plan.cls(number=row[0], **_values(self._plan, row))


class _Step(NamedTuple):
    """A field with a column: where in a row it is, how a cell is read, and what stands for NULL (MISSING: nothing does)."""

    name: str
    place: int
    read: Callable[[Any, str], Any]
    blank: Any


class _Plan(NamedTuple):
    """How the dataclass `cls` is read from a row: its fields with a column, and its parts by the names of their fields."""

    cls: type[Any]
    steps: tuple[_Step, ...]
    parts: Mapping[str, _Plan]


def _plan(cls: type[Any], places: Mapping[str, int], prefix: str = "") -> _Plan:
    steps: list[_Step] = []
    parts: dict[str, _Plan] = {}
    for one in fields(cls):
        kind = kind_of(one)
        if kind is None:
            part = _part_of(one)
            parts[one.name] = _plan(part.cls, places, part.prefix)
        elif one.name != "number":
            steps.append(_Step(one.name, places[prefix + one.name], kind.from_cell, blank(one)))
    return _Plan(cls, tuple(steps), parts)


def _values(plan: _Plan, row: Sequence[Any]) -> dict[str, Any]:
    values = {}
    for name, place, read, instead in plan.steps:
        cell = row[place]
        if cell is not None:
            values[name] = read(cell, name)
        elif instead is MISSING:
            raise WrongValue(f"{name} is missing")
        else:
            values[name] = instead
    for name, part in plan.parts.items():
        values[name] = part.cls(**_values(part, row)) if _says_anything(part, row) else None
    return values


def _says_anything(plan: _Plan, row: Sequence[Any]) -> bool:
    for step in plan.steps:
        if row[step.place] is not None:
            return True
    return any(_says_anything(part, row) for part in plan.parts.values())


def turn_of_object(value: Any, where: str) -> StoredTurn:
    """The turn in a JSON object, which `where` names. Raises `WrongValue`."""
    if isinstance(value, dict):
        # The prompt is the user's last message, whatever else the object says of it.
        value = {**value, "prompt": "", "number": value.get("number") or 0}
        if not value.get("messages"):
            raise WrongValue(f"{where} has no messages")
    turn: StoredTurn = read_object(StoredTurn, value, where, _PART_CLASSES)
    prompt = next((message.content for message in reversed(turn.messages) if message.role == "user"), "")
    return replace(turn, prompt=prompt)
