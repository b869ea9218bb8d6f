"""`History`, which keeps turns, and `Recorder`, which takes one turn as a renderer does."""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from streaming_chat.core.arrivals import KIND_OF_EVENT, arrival_words, to_bytes
from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, Sent, Started, TextDelta, ToolCallDelta
from streaming_chat.core.reply import Turn
from streaming_chat.history.file import open_file, transaction
from streaming_chat.history.importing import import_turns
from streaming_chat.history.rows import (
    DELETE_PIECES,
    DELETE_PIECES_OF,
    DELETE_TURNS,
    GREATEST_INTEGER,
    INSERT_PIECE,
    INSERT_TURN,
    SELECT_FIGURES,
    SELECT_FOUND,
    SELECT_NUMBERS,
    SELECT_NUMBERS_FOUND,
    SELECT_SUMMARIES,
    UPDATE_STARTED,
    UPDATE_TURN,
    FoundTurn,
    StoredTurn,
    TurnSummary,
    as_json,
    bindable,
    stored_turn,
    summary_fields,
    turn_begun,
    turn_ended,
)
from streaming_chat.history.selection import Selection

#: Seconds between two saves of a running turn. Half of the contract's second: the other half is for a slow disk.
SAVE_INTERVAL = 0.5

_T = TypeVar("_T")
EVERYTHING: Final = Selection()


class Recorder:
    """The record of one running turn, with the face of a renderer. `number` is None when nothing can be saved."""

    def __init__(self, draft: _Draft, finish: Callable[[_Draft, Turn], None]) -> None:
        self.number = draft.number
        self._draft = draft
        self._finish = finish

    def handle(self, event: Event) -> None:
        """Take note of `event`. Never waits for the file, never fails: the writer thread does that work."""
        self._draft.note(event)

    def end(self, turn: Turn) -> None:
        """Save the whole turn; it is committed on return. What fails is told through the history's notice."""
        self._finish(self._draft, turn)


class _Piece:
    """What came since the last save, as it is saved: the events themselves would take twenty times as much memory."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.texts = {kind: StringIO() for kind in KIND_OF_EVENT.values()}
        self.calls: list[tuple[int, str, str]] = []
        self.arrivals = array("Q")


class _Draft:
    """A running turn. The streaming thread notes what comes, the writer thread takes it; all else needs History's lock."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self._lock = Lock()  # Held for no longer than an event, or a change of the piece, takes.
        self._piece = _Piece()
        self._start = 0.0
        self._arrivals: list[bytes] = []

    def note(self, event: Event) -> None:
        """Something happened."""
        with self._lock:
            piece = self._piece
            if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
                kind = KIND_OF_EVENT[type(event)]
                piece.texts[kind].write(event.text)
                piece.arrivals.extend(arrival_words(event.at - self._start, kind, len(event.text)))
            elif isinstance(event, ToolCallDelta):
                piece.calls.append((event.index, event.name, event.arguments))
                length = len(event.name) + len(event.arguments)
                piece.arrivals.extend(arrival_words(event.at - self._start, "tool_call", length))
            elif isinstance(event, Sent):
                self._start = event.at
            elif isinstance(event, Started):
                piece.started = event

    def take(self) -> tuple[Started | None, dict[str, Any] | None]:
        """What came since the last time: the start of the answer, and a row of `pieces`."""
        with self._lock:
            piece, self._piece = self._piece, _Piece()
        if not piece.arrivals:
            return piece.started, None
        arrivals = to_bytes(piece.arrivals)
        self._arrivals.append(arrivals)
        return piece.started, {
            "turn_id": self.number,
            "seq": len(self._arrivals),
            **{kind: text.getvalue() for kind, text in piece.texts.items()},
            "tool_calls": as_json(piece.calls),
            "arrivals": arrivals,
        }

    def take_arrivals(self) -> bytes:
        """The arrivals of the whole turn; nothing may be left to take."""
        arrivals, self._arrivals = b"".join(self._arrivals), []
        return arrivals


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
        row = turn_begun(request, endpoint, session)
        with self._changed:
            number = self._attempt(lambda connection: connection.execute(INSERT_TURN, row).lastrowid)
            draft = _Draft(number)
            if number is not None:
                self._run(draft)
        self._tell()
        return Recorder(draft, self._finish)

    def turns(self, limit: int | None = None, selection: Selection = EVERYTHING) -> list[TurnSummary]:
        """The last `limit` turns, or all, that are in `selection`, newest last; `FoundTurn`s where it has words.

        Without a file there are none, and none is made. Raises `ChatError` when the file cannot be read, `UsageError` when
        it is of a later version.
        """
        where, values = selection.where()
        query = selection.index_query
        if query is None:
            rows = self._rows(SELECT_SUMMARIES.format(where), [*values, _limit(limit)])
            return [TurnSummary(**summary_fields(row)) for row in reversed(rows)]
        rows = self._rows(SELECT_FOUND.format(where), [query, *values, _limit(limit)])
        return [FoundTurn(**summary_fields(row), found=row["found"]) for row in reversed(rows)]

    def figures(self, selection: Selection = EVERYTHING) -> list[TurnSummary]:
        """All turns that are in `selection`, whatever its words, in order and without their prompts. Raises as `turns` does.

        Prompts may be whole files: ten thousand of 20 KB take 0.3 s and 200 MB, their figures alone 0.1 s and 20 MB.
        """
        where, values = selection.where()
        return [TurnSummary(**summary_fields(row)) for row in self._rows(SELECT_FIGURES.format(where), values)]

    def delete(self, selection: Selection) -> int:
        """Remove turns for good, from the disk too; how many there were. Raises as `turns` does."""
        where, values = selection.where()
        query = selection.index_query
        statement, head = (SELECT_NUMBERS, []) if query is None else (SELECT_NUMBERS_FOUND, [query])

        def remove(connection: sqlite3.Connection) -> int:
            connection.execute("PRAGMA secure_delete = ON")
            with transaction(connection, "BEGIN IMMEDIATE"):
                numbers = [row["id"] for row in connection.execute(statement.format(where), [*head, *values])]
                connection.execute(DELETE_PIECES_OF, [json.dumps(numbers)])
                connection.execute(DELETE_TURNS, [json.dumps(numbers)])
                if numbers:
                    # What was deleted stays in the index until its parts are merged.
                    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            if numbers:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return len(numbers)

        return self._read(remove, begin=None) or 0

    def turn(self, number: int) -> StoredTurn | None:
        """Turn `number`, or None when there is none. Raises as `turns` does."""
        if abs(number) > GREATEST_INTEGER:
            return None
        return self._read(lambda connection: stored_turn(connection, number))

    def add(self, turns: Sequence[StoredTurn]) -> list[int | None]:
        """Take in turns from elsewhere, all or none: the number that each has got, None where it is there already.

        Raises as `turns` does.
        """
        with self._changed:
            try:
                connection = self._connected(create=True)
                with transaction(connection, "BEGIN IMMEDIATE"):
                    return import_turns(connection, turns)
            except (sqlite3.Error, OSError, OverflowError) as error:
                raise ChatError(f"the turns cannot be imported: {_reason(error)}", f"look at {self.path}") from error

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
                    connection.execute(UPDATE_STARTED, bindable(values))
                if piece is not None:
                    connection.execute(INSERT_PIECE, bindable(piece))

        self._attempt(save)

    def _finish(self, draft: _Draft, turn: Turn) -> None:
        def save(connection: sqlite3.Connection) -> None:
            connection.execute(UPDATE_TURN, row)
            connection.execute(DELETE_PIECES, (draft.number,))

        with self._changed:
            if draft.number is not None:
                draft.take()
                row = bindable({"id": draft.number, "arrivals": draft.take_arrivals(), **turn_ended(turn)})
                self._attempt(save)
                self._running.discard(draft)
        self._tell()

    def _attempt(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What `work` gives inside a transaction, or None once anything has failed."""
        if self._failed:
            return None
        try:
            connection = self._connected(create=True)
            with transaction(connection, "BEGIN IMMEDIATE"):
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

    def _rows(self, statement: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        return self._read(lambda connection: connection.execute(statement, values).fetchall()) or []

    def _read(self, work: Callable[[sqlite3.Connection], _T], begin: str | None = "BEGIN") -> _T | None:
        """What `work` gives inside one snapshot of the file, or None without a file."""
        with self._changed:
            try:
                if not self.path.exists():
                    return None
                connection = self._connected(create=False)
                with transaction(connection, begin) if begin else nullcontext():
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
            self._connection = open_file(self.path, create=create)
        return self._connection


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _limit(limit: int | None) -> int:
    return -1 if limit is None else min(limit, GREATEST_INTEGER)
