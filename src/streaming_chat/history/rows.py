"""Turns ↔ rows: the statements, and which column holds what."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from streaming_chat.core.arrivals import Arrival, decode_arrivals
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.history.cells import Cells
from streaming_chat.text.surrogates import has_surrogate

INSERT_TURN = """
    INSERT INTO turns (session, started_at, endpoint, model, settings, prompt, messages)
    VALUES (:session, :started_at, :endpoint, :model, :settings, :prompt, :messages)
"""
UPDATE_STARTED = "UPDATE turns SET served_model = :served_model, request_id = :request_id WHERE id = :id"
#: A turn that was deleted while it runs gets no more pieces.
INSERT_PIECE = """
    INSERT INTO pieces (turn_id, seq, text, reasoning, refusal, tool_calls, arrivals)
    SELECT :turn_id, :seq, :text, :reasoning, :refusal, :tool_calls, :arrivals
    WHERE EXISTS (SELECT 1 FROM turns WHERE id = :turn_id)
"""
UPDATE_TURN = """
    UPDATE turns SET
        served_model = :served_model, request_id = :request_id, outcome = :outcome, finish_reason = :finish_reason,
        prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,
        cached_tokens = :cached_tokens, reasoning_tokens = :reasoning_tokens,
        headers = :headers, first_token = :first_token, first_reasoning = :first_reasoning, total = :total,
        gap_p50 = :gap_p50, gap_p95 = :gap_p95, gap_max = :gap_max,
        tokens_per_second = :tokens_per_second, attempts = :attempts, error = :error,
        text = :text, reasoning = :reasoning, refusal = :refusal, tool_calls = :tool_calls, messages = :messages,
        arrivals = :arrivals
    WHERE id = :id
"""
DELETE_PIECES = "DELETE FROM pieces WHERE turn_id = ?"
_FIGURES = """
    id, session, started_at, endpoint, model, served_model, request_id, outcome, finish_reason,
    prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
    headers, first_token, first_reasoning, total, gap_p50, gap_p95, gap_max, tokens_per_second, attempts
"""
_SUMMARY = f"{_FIGURES}, turns.prompt"
#: With the conditions of a `Selection`; then its values, and the limit.
SELECT_SUMMARIES = f"SELECT {_SUMMARY} FROM turns WHERE {{}} ORDER BY id DESC LIMIT ?"  # noqa: S608 # a constant
#: Likewise without the prompts, each of which may be a whole file: with its values, and no limit.
SELECT_FIGURES = f"SELECT {_FIGURES}, '' AS prompt FROM turns WHERE {{}} ORDER BY id"  # noqa: S608 # a constant
#: Likewise of the turns in an index (words.py); what is asked of the index stands before the other values.
SELECT_FOUND = f"""
    SELECT {_SUMMARY}, snippet({{index}}, -1, char(1), char(2), '…', 16) AS found
    FROM {{index}} JOIN turns ON turns.id = {{index}}.rowid
    WHERE {{index}} MATCH ? AND {{where}} ORDER BY {{index}}.rowid DESC LIMIT ?
"""  # noqa: S608 # constants
#: What stands before and behind a word that was looked for.
MARKS = ("\x01", "\x02")
SELECT_NUMBERS = "SELECT id FROM turns WHERE {} ORDER BY id"
SELECT_NUMBERS_FOUND = "SELECT id FROM {index} JOIN turns ON turns.id = {index}.rowid WHERE {index} MATCH ? AND {where}"
#: The last one first, which is not the one of the highest number: turns from elsewhere may be older.
SELECT_LATEST = "SELECT id FROM turns ORDER BY started_at DESC, id DESC"
DELETE_TURNS = "DELETE FROM turns WHERE id IN (SELECT value FROM json_each(?))"
DELETE_PIECES_OF = "DELETE FROM pieces WHERE turn_id IN (SELECT value FROM json_each(?))"
_SELECT_TURN = "SELECT * FROM turns WHERE id = ?"
_SELECT_PIECES = "SELECT * FROM pieces WHERE turn_id = ? ORDER BY seq"

GREATEST_INTEGER = 2**63 - 1
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_USER_AND_PASSWORD = re.compile(r"//[^/?#]*@")


@dataclass(frozen=True)
class StoredError:
    """What went wrong, as the user was told. `type` is the class in core/errors.py, `code` the server's own name."""

    type: str
    message: str
    hint: str
    status_code: int | None
    code: str | None


@dataclass(frozen=True)
class TurnSummary:
    """A turn as a list shows it. All texts are as they came: sanitise them before they reach a terminal.

    `started_at` is in UTC. `outcome` and `timing` are None while the turn runs, and for ever when its process was
    killed.
    """

    number: int
    session: str
    started_at: datetime
    endpoint: str
    model: str
    served_model: str | None
    request_id: str | None
    outcome: Outcome | None
    finish_reason: str | None
    usage: Usage | None
    timing: Timing | None
    prompt: str

    @property
    def status(self) -> str:
        """The outcome in one word; a turn that runs and one whose process was killed look alike from outside."""
        return "unfinished" if self.outcome is None else self.outcome.value


@dataclass(frozen=True)
class FoundTurn(TurnSummary):
    """A turn that was looked for: `found` is where the words stand, each between the two `MARKS`."""

    found: str


@dataclass(frozen=True)
class StoredTurn(TurnSummary):
    """A turn with everything that was kept. Without an outcome, the texts are those of the last periodic save."""

    settings: Mapping[str, Any]
    messages: tuple[Message, ...]
    text: str
    reasoning: str
    refusal: str
    tool_calls: tuple[ToolCall, ...]
    error: StoredError | None
    arrivals: tuple[Arrival, ...]


def turn_begun(request: ChatRequest, endpoint: str, session: str) -> dict[str, Any]:
    """The row of a turn that is about to be sent."""
    return bindable(
        {
            "session": session,
            "started_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "endpoint": kept_endpoint(endpoint),
            "model": request.model,
            "settings": as_json(settings_of(request)),
            "prompt": request.prompt,
            "messages": as_json([asdict(message) for message in request.messages]),
        }
    )


def kept_endpoint(endpoint: str) -> str:
    """A base URL as it is kept: without user and password, query and fragment, in which a key may hide."""
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


def turn_ended(turn: Turn) -> dict[str, Any]:
    """What the row of a turn gains when it is over."""
    return {
        "served_model": turn.model,
        "request_id": turn.request_id or (turn.error.request_id if turn.error else None),
        "outcome": turn.outcome.value,
        "finish_reason": turn.finish_reason,
        **figures(turn.usage, turn.timing),
        "error": as_json(asdict(stored_error(turn.error))) if turn.error else None,
        "text": turn.text,
        "reasoning": turn.reasoning,
        "refusal": turn.refusal,
        "tool_calls": as_json([asdict(call) for call in turn.tool_calls]),
        # A request that was too long was sent again without its oldest turns.
        "messages": as_json([asdict(message) for message in turn.request.messages]),
    }


def figures(usage: Usage | None, timing: Timing | None) -> dict[str, Any]:
    """The columns of tokens and times; those of a turn that never ended have nothing in them."""
    usage = usage or Usage()
    gaps = timing.gaps if timing else None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "headers": timing and timing.headers,
        "first_token": timing and timing.first_token,
        "first_reasoning": timing and timing.first_reasoning,
        "total": timing and timing.total,
        "gap_p50": gaps.p50 if gaps else None,
        "gap_p95": gaps.p95 if gaps else None,
        "gap_max": gaps.max if gaps else None,
        "tokens_per_second": timing and timing.tokens_per_second,
        "attempts": timing and timing.attempts,
    }


def stored_error(error: ChatError) -> StoredError:
    """An error as it is kept."""
    return StoredError(type(error).__name__, error.message, error.hint, error.status_code, error.code)


def as_json(value: object) -> str:
    """`value` for a JSON column."""
    # Not ASCII, so that a search finds the words; `default` because `extra` may hold what JSON has not, such as a date.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def bindable(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without what SQLite cannot hold: surrogates, and numbers (a server's own count) beyond 64 bits."""
    return {name: _bindable_value(value) for name, value in values.items()}


def _bindable_value(value: Any) -> Any:
    if isinstance(value, str) and has_surrogate(value):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and value > GREATEST_INTEGER:
        return None
    return value


class DamagedTurn(ChatError):
    """The row of turn `number` is not one that this program writes: SQLite does not see that its content is damaged."""

    def __init__(self, number: int) -> None:
        super().__init__(f"turn {number} of the history is damaged", f"`streaming-chat history delete {number}` removes it")
        self.number = number


@contextmanager
def _understood(row: sqlite3.Row) -> Iterator[None]:
    try:
        yield
    # LookupError: a kind of arrival, or a setting, that there is not. OverflowError: a time before or after all times.
    except (ValueError, TypeError, LookupError, OverflowError, struct.error) as error:
        raise DamagedTurn(row["id"]) from error


def turn_summary(row: sqlite3.Row) -> TurnSummary:
    """The turn in a row of `SELECT_SUMMARIES`. Raises `DamagedTurn`."""
    with _understood(row):
        return TurnSummary(**_summary_fields(row))


def found_turn(row: sqlite3.Row) -> FoundTurn:
    """The turn in a row of `SELECT_FOUND`. Raises `DamagedTurn`."""
    with _understood(row):
        return FoundTurn(**_summary_fields(row), found=Cells(row).text("found"))


def stored_turn(connection: sqlite3.Connection, number: int) -> StoredTurn | None:
    """Turn `number`, with what was saved of it so far when it never ended; None when there is none. Raises `DamagedTurn`."""
    row = connection.execute(_SELECT_TURN, (number,)).fetchone()
    if row is None:
        return None
    pieces = connection.execute(_SELECT_PIECES, (number,)).fetchall()  # none, once the turn has an outcome
    with _understood(row):
        return _stored_turn(row, [Cells(piece) for piece in pieces])


def _stored_turn(row: sqlite3.Row, pieces: Sequence[Cells]) -> StoredTurn:
    cells = Cells(row)

    def joined(name: str) -> str:
        return cells.text(name) + "".join(piece.text(name) for piece in pieces)

    arrivals = cells.bytes("arrivals") + b"".join(piece.bytes("arrivals") for piece in pieces)
    return StoredTurn(
        **_summary_fields(row),
        text=joined("text"),
        reasoning=joined("reasoning"),
        refusal=joined("refusal"),
        settings=cells.settings("settings"),
        messages=cells.objects("messages", lambda one: Message(one.text("role"), one.text("content"))),
        tool_calls=(
            *cells.objects("tool_calls", lambda one: ToolCall(one.text("name"), one.text("arguments"))),
            *_joined_calls(pieces),
        ),
        error=cells.object("error", _stored_error),
        arrivals=tuple(decode_arrivals(arrivals)),
    )


def _stored_error(cells: Cells) -> StoredError:
    return StoredError(
        type=cells.text("type"),
        message=cells.text("message"),
        hint=cells.text("hint"),
        status_code=cells.count("status_code"),
        code=cells.text_or_none("code"),
    )


def _joined_calls(pieces: Iterable[Cells]) -> list[ToolCall]:
    calls: dict[int, tuple[str, str]] = {}
    for piece in pieces:
        for index, name, arguments in piece.json("tool_calls"):
            known = calls.get(index, ("", ""))
            calls[index] = known[0] + name, known[1] + arguments
    return [ToolCall(*call) for _, call in sorted(calls.items())]


def _summary_fields(row: sqlite3.Row) -> dict[str, Any]:
    """The fields of a `TurnSummary`."""
    cells = Cells(row)
    outcome = cells.text_or_none("outcome")
    return {
        "number": row["id"],
        "session": cells.text("session"),
        "started_at": cells.moment("started_at"),
        "endpoint": cells.text("endpoint"),
        "model": cells.text("model"),
        "served_model": cells.text_or_none("served_model"),
        "request_id": cells.text_or_none("request_id"),
        "outcome": None if outcome is None else Outcome(outcome),
        "finish_reason": cells.text_or_none("finish_reason"),
        "usage": _usage(cells),
        "timing": _timing(cells),
        "prompt": cells.text("prompt"),
    }


def _usage(cells: Cells) -> Usage | None:
    usage = Usage(
        prompt_tokens=cells.count("prompt_tokens"),
        completion_tokens=cells.count("completion_tokens"),
        cached_tokens=cells.count("cached_tokens"),
        reasoning_tokens=cells.count("reasoning_tokens"),
    )
    return None if usage == Usage() else usage


def _timing(cells: Cells) -> Timing | None:
    total = cells.seconds_or_none("total")
    if total is None:
        return None
    longest = cells.seconds_or_none("gap_max")
    gaps = None if longest is None else Gaps(p50=cells.seconds("gap_p50"), p95=cells.seconds("gap_p95"), max=longest)
    return Timing(
        total=total,
        headers=cells.seconds_or_none("headers"),
        first_token=cells.seconds_or_none("first_token"),
        first_reasoning=cells.seconds_or_none("first_reasoning"),
        gaps=gaps,
        tokens_per_second=cells.seconds_or_none("tokens_per_second"),
        attempts=cells.count("attempts") or 1,
    )
