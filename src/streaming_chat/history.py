"""Every turn in one SQLite file, from the moment that it is sent.

Strategy: the streaming loop hands its events to a `Recorder`, which only appends them to a list. A writer thread saves
what has come every half second, so a killed process loses less than one second, and a stall loses nothing. The text so
far goes into rows of `pieces`, because a growing row rewritten twice a second costs the square of the answer's length;
at the end the pieces give way to the whole turn, in one transaction.

Rule: the answer is worth more than its record. Whatever fails in writing is told once, and then nothing more is saved.

Schema (version 1; `MIGRATIONS` brings every earlier version up to date, a later one is refused):

turns   id                          the number that users see; never given twice
        session                     turns of one start of the program share it
        started_at                  UTC, `2025-12-10T17:34:32.123Z`: sorts as text
        endpoint                    base URL, without user, password, query
        model, served_model         as requested; as the server names it
        request_id                  the server's
        outcome                     an `Outcome`; NULL while the turn runs, and for ever when the process was killed
        finish_reason               the server's
        prompt_tokens … reasoning_tokens    as the server counted; NULL where it did not say
        headers … total, gap_*      seconds, see core/timing.py; tokens_per_second; attempts
        error                       JSON object: type, message, hint, status_code, code
        settings                    JSON object of what the user set: temperature, top_p, max_tokens, extra; never a key
        prompt                      the user's last words
        text, reasoning, refusal    as they came
        tool_calls                  JSON list of {name, arguments}
        messages                    JSON list of {role, content}: all that was sent
        arrivals                    see below
pieces  turn_id, seq                what one periodic save adds to a turn without outcome
        text, reasoning, refusal, arrivals
        tool_calls                  JSON list of [index, name, arguments], a piece each

Small columns stand before the long ones: SQLite reads a row from its left end, so a list never touches the answers.

Arrivals: 8 bytes a delta, in the order in which they came, each an unsigned little-endian number:

    bits 24–63  microseconds from the recorder's start to the arrival, at most 12.7 days (later ones count as that)
    bits  4–23  characters (code points) of the delta; a delta of more than 1,048,575 takes several entries
    bits  0–3   kind: 0 text, 1 reasoning, 2 refusal, 3 tool call (its characters are those of name and arguments)

The lengths of a kind add up to the stored text of that kind, so cutting the text by them gives the deltas again. Weak
spot: pieces of several tool calls that came interleaved have lost which call each belonged to.

Text is stored as it came; only lone surrogates, which UTF-8 cannot express, become U+FFFD, one for one.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import struct
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import (
    Event,
    Outcome,
    ReasoningDelta,
    RefusalDelta,
    Sent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from streaming_chat.core.reply import ToolCall, Turn
from streaming_chat.core.surrogates import has_surrogate
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.folders import make_private

#: Seconds between two saves of a running turn. Half of the contract's second: the other half is for a slow disk.
SAVE_INTERVAL = 0.5

#: Seconds to wait for another process that is writing. Transactions take milliseconds; only a hung one longer.
BUSY_TIMEOUT = 5.0

#: version → the statements that lead to it from the version before. Append only: files of every version are out there.
MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    1: (
        """
        CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session TEXT NOT NULL,
            started_at TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            model TEXT NOT NULL,
            served_model TEXT,
            request_id TEXT,
            outcome TEXT,
            finish_reason TEXT,
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            cached_tokens INTEGER,
            reasoning_tokens INTEGER,
            headers REAL,
            first_token REAL,
            first_reasoning REAL,
            total REAL,
            gap_p50 REAL,
            gap_p95 REAL,
            gap_max REAL,
            tokens_per_second REAL,
            attempts INTEGER,
            error TEXT,
            settings TEXT NOT NULL,
            prompt TEXT NOT NULL,
            text TEXT NOT NULL DEFAULT '',
            reasoning TEXT NOT NULL DEFAULT '',
            refusal TEXT NOT NULL DEFAULT '',
            tool_calls TEXT NOT NULL DEFAULT '[]',
            messages TEXT NOT NULL,
            arrivals BLOB NOT NULL DEFAULT x''
        )
        """,
        """
        CREATE TABLE pieces (
            turn_id INTEGER NOT NULL REFERENCES turns (id),
            seq INTEGER NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            refusal TEXT NOT NULL,
            tool_calls TEXT NOT NULL,
            arrivals BLOB NOT NULL,
            PRIMARY KEY (turn_id, seq)
        )
        """,
    ),
}
VERSION: Final = max(MIGRATIONS)

_INSERT_TURN = """
    INSERT INTO turns (session, started_at, endpoint, model, settings, prompt, messages)
    VALUES (:session, :started_at, :endpoint, :model, :settings, :prompt, :messages)
"""
_UPDATE_STARTED = "UPDATE turns SET served_model = :served_model, request_id = :request_id WHERE id = :id"
_INSERT_PIECE = """
    INSERT INTO pieces (turn_id, seq, text, reasoning, refusal, tool_calls, arrivals)
    VALUES (:turn_id, :seq, :text, :reasoning, :refusal, :tool_calls, :arrivals)
"""
_UPDATE_TURN = """
    UPDATE turns SET
        served_model = :served_model, request_id = :request_id, outcome = :outcome, finish_reason = :finish_reason,
        prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,
        cached_tokens = :cached_tokens, reasoning_tokens = :reasoning_tokens,
        headers = :headers, first_token = :first_token, first_reasoning = :first_reasoning, total = :total,
        gap_p50 = :gap_p50, gap_p95 = :gap_p95, gap_max = :gap_max,
        tokens_per_second = :tokens_per_second, attempts = :attempts, error = :error,
        text = :text, reasoning = :reasoning, refusal = :refusal, tool_calls = :tool_calls, arrivals = :arrivals
    WHERE id = :id
"""
_DELETE_PIECES = "DELETE FROM pieces WHERE turn_id = ?"
_SELECT_SUMMARIES = """
    SELECT id, session, started_at, endpoint, model, served_model, request_id, outcome, finish_reason,
        prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
        headers, first_token, first_reasoning, total, gap_p50, gap_p95, gap_max, tokens_per_second, attempts, prompt
    FROM turns ORDER BY id DESC LIMIT ?
"""
_SELECT_TURN = "SELECT * FROM turns WHERE id = ?"
_SELECT_PIECES = "SELECT * FROM pieces WHERE turn_id = ? ORDER BY seq"

_GREATEST_INTEGER = 2**63 - 1
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_USER_AND_PASSWORD = re.compile(r"//[^/?#]*@")

# Creating the file opens and closes it, and closing any descriptor of a file drops this process's POSIX locks on it,
# SQLite's too (sqlite.org/howtocorrupt.html, 2.2): nobody else may connect in between.
_opening = threading.Lock()

_T = TypeVar("_T")


# Arrivals

KINDS: Final = ("text", "reasoning", "refusal", "tool_call")
_KIND_OF_EVENT: Final[Mapping[type, str]] = {TextDelta: "text", ReasoningDelta: "reasoning", RefusalDelta: "refusal"}
_LATEST = 2**40 - 1
_LONGEST = 2**20 - 1


class Arrival(NamedTuple):
    """One delta: `at` seconds after the recorder's start, `length` characters of `kind` (one of `KINDS`) came."""

    at: float
    kind: str
    length: int


def encode_arrivals(arrivals: Iterable[Arrival]) -> bytes:
    """The column `arrivals`; the module's docstring gives its form. Times are rounded to the microsecond."""
    return _to_bytes([word for at, kind, length in arrivals for word in _words(at, kind, length)])


def decode_arrivals(encoded: bytes) -> list[Arrival]:
    """The inverse of `encode_arrivals`."""
    return [
        Arrival((word >> 24) / 1e6, KINDS[word & 0xF], word >> 4 & _LONGEST) for (word,) in struct.iter_unpack("<Q", encoded)
    ]


def _words(at: float, kind: str, length: int) -> list[int]:
    microseconds = min(max(round(at * 1e6), 0), _LATEST)
    word = microseconds << 24 | KINDS.index(kind)
    if length <= _LONGEST:
        return [word | length << 4]
    whole, rest = divmod(length, _LONGEST)
    return [word | _LONGEST << 4] * whole + ([word | rest << 4] if rest else [])


def _to_bytes(words: list[int] | array[int]) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)


# What is read


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


# What is written


class Recorder:
    """The record of one running turn, with the face of a renderer. `number` is None when nothing can be saved."""

    def __init__(self, draft: _Draft, finish: Callable[[_Draft, Turn], None]) -> None:
        self.number = draft.number
        self._events = draft.events
        self._draft = draft
        self._finish = finish

    def handle(self, event: Event) -> None:
        """Take note of `event`. Never blocks, never fails: the writer thread does the work."""
        self._events.append(event)

    def end(self, turn: Turn) -> None:
        """Save the whole turn; it is committed on return. What fails is told through the history's notice."""
        self._finish(self._draft, turn)


class _Draft:
    """A running turn. The streaming thread appends to `events`; all else needs the history's lock."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.events: list[Event] = []
        self._start = 0.0
        self._arrivals = array("Q")
        self._pieces = 0

    def take(self) -> tuple[Started | None, dict[str, Any] | None]:
        """What came since the last time: the start of the answer, and a row of `pieces`."""
        events = self.events[:]
        # An event that the streaming thread appends in between stays: only what was copied goes.
        del self.events[: len(events)]
        started: Started | None = None
        texts: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
        calls: list[tuple[int, str, str]] = []
        known = len(self._arrivals)
        for event in events:
            if isinstance(event, Sent):
                self._start = event.at
            elif isinstance(event, Started):
                started = event
            elif isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
                kind = _KIND_OF_EVENT[type(event)]
                texts[kind].append(event.text)
                self._arrivals.extend(_words(event.at - self._start, kind, len(event.text)))
            elif isinstance(event, ToolCallDelta):
                calls.append((event.index, event.name, event.arguments))
                length = len(event.name) + len(event.arguments)
                self._arrivals.extend(_words(event.at - self._start, "tool_call", length))
        if len(self._arrivals) == known:
            return started, None
        self._pieces += 1
        return started, {
            "turn_id": self.number,
            "seq": self._pieces,
            **{kind: "".join(pieces) for kind, pieces in texts.items()},
            "tool_calls": _json(calls),
            "arrivals": _to_bytes(self._arrivals[known:]),
        }

    def arrivals(self) -> bytes:
        """The arrivals of the whole turn; nothing may be left to take."""
        return _to_bytes(self._arrivals)


class History:
    """The turns in the file at `path`, whose folder is made (mode 0700) with the first turn.

    Nothing is opened before it is needed. Any thread may call anything. `notice` receives one line, at most once, when
    saving has failed; it is called in a thread that calls `recorder`, `Recorder.end` or `close`, never in mid-answer.
    """

    def __init__(self, path: Path, notice: Callable[[str], None]) -> None:
        self.path = path
        self._notice = notice
        # One lock for the connection and all fields; its condition wakes the writer thread.
        self._changed = threading.Condition()
        self._connection: sqlite3.Connection | None = None
        self._running: set[_Draft] = set()
        self._writer: threading.Thread | None = None
        self._closed = False
        self._failed = False
        self._untold: str | None = None

    def recorder(self, request: ChatRequest, *, endpoint: str, session: str) -> Recorder:
        """Begin a turn: its row is committed on return.

        Raises `UsageError` when the file was written by a later version of the program.
        """
        row = _turn_begun(request, endpoint, session)
        with self._changed:
            number = self._attempt(lambda connection: connection.execute(_INSERT_TURN, row).lastrowid)
            draft = _Draft(number)
            if number is not None:
                self._run(draft)
        self._tell()
        return Recorder(draft, self._finish)

    def turns(self, limit: int | None = None) -> list[TurnSummary]:
        """The last `limit` turns, or all, newest last. Without a file there are none, and none is made.

        Raises `ChatError` when the file cannot be read, `UsageError` when it is of a later version.
        """
        rows = self._read(lambda connection: connection.execute(_SELECT_SUMMARIES, (_limit(limit),)).fetchall())
        return [TurnSummary(**_summary_fields(row)) for row in reversed(rows or [])]

    def turn(self, number: int) -> StoredTurn | None:
        """Turn `number`, or None when there is none. Raises as `turns` does."""
        if abs(number) > _GREATEST_INTEGER:
            return None
        return self._read(lambda connection: _stored_turn(connection, number))

    def close(self) -> None:
        """Save what has come, and let go of the file. A second call does nothing."""
        with self._changed:
            if self._closed:
                return
            self._save_running()
            self._closed = True
            self._changed.notify_all()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        if self._writer is not None:
            self._writer.join()
        self._tell()

    def _run(self, draft: _Draft) -> None:
        self._running.add(draft)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="history", daemon=True)
            self._writer.start()
        elif len(self._running) == 1:
            self._changed.notify_all()

    def _write(self) -> None:
        """The writer thread. With no running turn it sleeps; with one it looks every `SAVE_INTERVAL` seconds."""
        with self._changed:
            while not self._closed:
                self._changed.wait(SAVE_INTERVAL if self._running else None)
                if not self._closed:
                    self._save_running()

    def _save_running(self) -> None:
        taken = [(draft, *draft.take()) for draft in self._running]
        if not any(started or piece for _, started, piece in taken):
            return

        def save(connection: sqlite3.Connection) -> None:
            for draft, started, piece in taken:
                if started is not None:
                    values = {"id": draft.number, "served_model": started.model, "request_id": started.request_id}
                    connection.execute(_UPDATE_STARTED, _bindable(values))
                if piece is not None:
                    connection.execute(_INSERT_PIECE, _bindable(piece))

        self._attempt(save)

    def _finish(self, draft: _Draft, turn: Turn) -> None:
        def save(connection: sqlite3.Connection) -> None:
            connection.execute(_UPDATE_TURN, row)
            connection.execute(_DELETE_PIECES, (draft.number,))

        with self._changed:
            if draft.number is not None:
                draft.take()
                row = _bindable({"id": draft.number, "arrivals": draft.arrivals(), **_turn_ended(turn)})
                self._attempt(save)
                self._running.discard(draft)
        self._tell()

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What `work` gives inside a transaction, or None once anything has failed."""
        if self._failed:
            return None
        try:
            connection = self._connected(create=True)
            with _transaction(connection, "BEGIN IMMEDIATE"):
                return work(connection)
        except (sqlite3.Error, OSError, OverflowError) as error:  # OverflowError: a text beyond SQLite's 2 GB
            self._failed = True
            self._untold = f"the history does not keep this session from here on: {_reason(error)} ({self.path})"
            return None

    def _tell(self) -> None:
        with self._changed:
            untold, self._untold = self._untold, None
        if untold is not None:
            self._notice(untold)

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What `work` gives inside one snapshot of the file, or None without a file."""
        with self._changed:
            try:
                if not self.path.exists():
                    return None
                connection = self._connected(create=False)
                with _transaction(connection, "BEGIN"):
                    return work(connection)
            except (sqlite3.Error, OSError) as error:
                raise ChatError(
                    f"the history cannot be read: {_reason(error)}",
                    f"look at {self.path}; moved elsewhere, it makes room for a new one",
                ) from error

    def _connected(self, *, create: bool) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("it is closed")
        if self._connection is None:
            self._connection = _open(self.path, create=create)
        return self._connection


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    with _opening:
        _make_file_private(path, create=create)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        _check_version(connection, path)  # before anything is written: a later version's file stays as it is
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_file_private(path: Path, *, create: bool) -> None:
    """Only the owner may read: folder 0700 where it is made, file 0600, however generous the umask is.

    SQLite gives its -wal and -shm files the mode of the file itself.
    """
    if create:
        make_private(path.parent)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if path.stat().st_mode & 0o077:
        # Copied here with other rights. Where they cannot be changed (another's file, a FAT disk), they stay.
        with suppress(PermissionError):
            path.chmod(0o600)


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise UsageError(
            f"the history was written by a later version of streaming-chat (format {version}, here {VERSION})",
            f"update streaming-chat, or leave {path} alone with --no-history",
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _check_version(connection, path) == VERSION:
        return
    with _transaction(connection, "BEGIN IMMEDIATE"):
        # Asked again under the lock: another process may have been first.
        for version in range(_check_version(connection, path) + 1, VERSION + 1):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (a full disk), and then refuses.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _limit(limit: int | None) -> int:
    return -1 if limit is None else min(limit, _GREATEST_INTEGER)


# Values → columns


def _turn_begun(request: ChatRequest, endpoint: str, session: str) -> dict[str, Any]:
    return _bindable(
        {
            "session": session,
            "started_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            # A key may hide in user:password or in the query of a base URL.
            "endpoint": re.split("[?#]", _USER_AND_PASSWORD.sub("//", endpoint))[0],
            "model": request.model,
            "settings": _json(_settings(request)),
            "prompt": request.prompt,
            "messages": _json([{"role": message.role, "content": message.content} for message in request.messages]),
        }
    )


def _settings(request: ChatRequest) -> dict[str, Any]:
    settings = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "extra": dict(request.extra) or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _turn_ended(turn: Turn) -> dict[str, Any]:
    usage, timing, gaps = turn.usage or Usage(), turn.timing, turn.timing.gaps
    return {
        "served_model": turn.model,
        "request_id": turn.request_id or (turn.error.request_id if turn.error else None),
        "outcome": turn.outcome.value,
        "finish_reason": turn.finish_reason,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "headers": timing.headers,
        "first_token": timing.first_token,
        "first_reasoning": timing.first_reasoning,
        "total": timing.total,
        "gap_p50": gaps.p50 if gaps else None,
        "gap_p95": gaps.p95 if gaps else None,
        "gap_max": gaps.max if gaps else None,
        "tokens_per_second": timing.tokens_per_second,
        "attempts": timing.attempts,
        "error": _json(_error(turn.error)) if turn.error else None,
        "text": turn.text,
        "reasoning": turn.reasoning,
        "refusal": turn.refusal,
        "tool_calls": _json([{"name": call.name, "arguments": call.arguments} for call in turn.tool_calls]),
    }


def _error(error: ChatError) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "status_code": error.status_code,
        "code": error.code,
    }


def _json(value: object) -> str:
    # Not ASCII, so that a search finds the words; `default` because `extra` may hold what JSON has not, such as a date.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _bindable(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without what SQLite cannot hold: surrogates, and numbers (a server's own count) beyond 64 bits."""
    return {name: _bindable_value(value) for name, value in values.items()}


def _bindable_value(value: Any) -> Any:
    if isinstance(value, str) and has_surrogate(value):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and value > _GREATEST_INTEGER:
        return None
    return value


# Columns → values


def _stored_turn(connection: sqlite3.Connection, number: int) -> StoredTurn | None:
    row = connection.execute(_SELECT_TURN, (number,)).fetchone()
    if row is None:
        return None
    pieces = connection.execute(_SELECT_PIECES, (number,)).fetchall()  # none, once the turn has an outcome
    tool_calls = [ToolCall(**call) for call in json.loads(row["tool_calls"])]
    return StoredTurn(
        **_summary_fields(row),
        settings=json.loads(row["settings"]),
        messages=tuple(Message(**message) for message in json.loads(row["messages"])),
        text=row["text"] + "".join(piece["text"] for piece in pieces),
        reasoning=row["reasoning"] + "".join(piece["reasoning"] for piece in pieces),
        refusal=row["refusal"] + "".join(piece["refusal"] for piece in pieces),
        tool_calls=(*tool_calls, *_joined_calls(pieces)),
        error=StoredError(**json.loads(row["error"])) if row["error"] else None,
        arrivals=tuple(decode_arrivals(row["arrivals"] + b"".join(piece["arrivals"] for piece in pieces))),
    )


def _joined_calls(pieces: Iterable[sqlite3.Row]) -> list[ToolCall]:
    calls: dict[int, tuple[str, str]] = {}
    for piece in pieces:
        for index, name, arguments in json.loads(piece["tool_calls"]):
            known = calls.get(index, ("", ""))
            calls[index] = known[0] + name, known[1] + arguments
    return [ToolCall(*call) for _, call in sorted(calls.items())]


def _summary_fields(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "number": row["id"],
        "session": row["session"],
        # `fromisoformat` takes a Z only from Python 3.11 on.
        "started_at": datetime.fromisoformat(row["started_at"].replace("Z", "+00:00")),
        "endpoint": row["endpoint"],
        "model": row["model"],
        "served_model": row["served_model"],
        "request_id": row["request_id"],
        "outcome": Outcome(row["outcome"]) if row["outcome"] is not None else None,
        "finish_reason": row["finish_reason"],
        "usage": _usage(row),
        "timing": _timing(row),
        "prompt": row["prompt"],
    }


def _usage(row: sqlite3.Row) -> Usage | None:
    usage = Usage(
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cached_tokens=row["cached_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
    )
    return None if usage == Usage() else usage


def _timing(row: sqlite3.Row) -> Timing | None:
    if row["total"] is None:
        return None
    gaps = None if row["gap_max"] is None else Gaps(p50=row["gap_p50"], p95=row["gap_p95"], max=row["gap_max"])
    return Timing(
        total=row["total"],
        headers=row["headers"],
        first_token=row["first_token"],
        first_reasoning=row["first_reasoning"],
        gaps=gaps,
        tokens_per_second=row["tokens_per_second"],
        attempts=row["attempts"],
    )
