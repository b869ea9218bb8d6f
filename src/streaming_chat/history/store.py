"""`History`, which keeps turns, and `Recorder`, which takes one turn as a renderer does."""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, nullcontext, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from streaming_chat.core.arrivals import KIND_OF_EVENT, arrival_words, to_bytes
from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, Sent, Started, TextDelta, ToolCallDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.history.damage import Damaged, NotOurs, is_damage, set_aside
from streaming_chat.history.importing import import_turns
from streaming_chat.history.rows import (
    DELETE_PIECES,
    DELETE_PIECES_OF,
    DELETE_TURNS,
    GREATEST_INTEGER,
    INSERT_PIECE,
    INSERT_TURN,
    SELECT_FIGURES,
    SELECT_LATEST,
    SELECT_SUMMARIES,
    UPDATE_STARTED,
    UPDATE_TURN,
    DamagedTurn,
    StoredTurn,
    TurnSummary,
    as_json,
    bindable,
    found_turn,
    stored_turn,
    turn_begun,
    turn_ended,
    turn_summary,
)
from streaming_chat.history.schema import Connection, open_file, shrink, transaction
from streaming_chat.history.search import found_rows, mend_index, numbers
from streaming_chat.history.selection import Selection
from streaming_chat.text.secret import without_secret

#: Seconds between two saves of a running turn. Half of the contract's second: the other half is for a slow disk.
SAVE_INTERVAL = 0.5

_NOT_GONE: Final = "another process was reading: the deleted text is gone from the disk once all other sessions have ended"
_NOT_SMALL: Final = (
    "the file was not made smaller (another process is writing, or the disk is full): the next deletion does it"
)
#: Numbers that a notice names.
_MOST_NAMED: Final = 10
_S = TypeVar("_S")
_T = TypeVar("_T")
EVERYTHING: Final = Selection()


class Recorder(TurnObserver):
    """The record of one running turn, with the face of a renderer. `number` is None when nothing can be saved."""

    def __init__(self, draft: _Draft, finish: Callable[[_Draft, Turn], None]) -> None:
        self._draft = draft
        self._finish = finish

    @property
    def number(self) -> int | None:
        """The number of the turn: another one once the file has been set aside in mid-answer."""
        return self._draft.number

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
    """A running turn. The streaming thread notes what comes, the writer thread takes it; all else needs History's lock.

    What has been saved is kept, so that the turn can be begun again in another file.
    """

    def __init__(self, row: dict[str, Any], secret: str | None) -> None:
        self.number: int | None = None
        self._secret = secret
        self._row = _without(secret, row)
        self._started: Started | None = None
        self._pieces: list[dict[str, Any]] = []
        self._saved = 0
        self._lock = Lock()  # Held for no longer than an event, or a change of the piece, takes.
        self._piece = _Piece()
        self._start = 0.0

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

    def take(self) -> bool:
        """Let what came since the last time be what is saved next; whether there is anything."""
        with self._lock:
            piece, self._piece = self._piece, _Piece()
        if piece.started is not None:
            self._started = piece.started
        if piece.arrivals:
            texts = {kind: text.getvalue() for kind, text in piece.texts.items()}
            calls, arrivals = as_json(piece.calls), to_bytes(piece.arrivals)
            self._pieces.append(bindable({**texts, "tool_calls": calls, "arrivals": arrivals}))
        return piece.started is not None or bool(piece.arrivals)

    def write(self, connection: sqlite3.Connection, turn: Turn | None) -> int | None:
        """Write what has been taken and is not in the file yet, or the whole `turn`; the turn's number in this file."""
        number = connection.execute(INSERT_TURN, self._row).lastrowid if self.number is None else self.number
        if turn is not None:
            arrivals = b"".join(piece["arrivals"] for piece in self._pieces)
            # The turn has all texts. A long answer takes as much memory as it must, not twice as much.
            self._pieces = [{"arrivals": arrivals}]
            ended = _without(self._secret, turn_ended(turn))
            connection.execute(UPDATE_TURN, bindable({"id": number, "arrivals": arrivals, **ended}))
            connection.execute(DELETE_PIECES, (number,))
            return number
        if self._started is not None:
            values = {"id": number, "served_model": self._started.model, "request_id": self._started.request_id}
            connection.execute(UPDATE_STARTED, bindable(values))
        for seq, piece in enumerate(self._pieces[self._saved :], self._saved + 1):
            connection.execute(INSERT_PIECE, {"turn_id": number, "seq": seq, **piece})
        return number

    def written(self, number: int | None) -> None:
        """What `write` did is committed."""
        self.number, self._saved = number, len(self._pieces)

    def leave(self) -> None:
        """The file is not the history's any more: nothing of the turn is in the next one yet."""
        self.number, self._saved = None, 0


class History:
    """The turns in the file at `path`, whose folder is made (mode 0700) with the first turn.

    Nothing is opened before it is needed. Any thread may call anything. A file that turns out to be damaged is set aside
    (damage.py), and what runs goes on in a new one. `notice` receives a line about that, and one when saving has failed, at
    most once; it is called in a thread that calls `recorder`, `Recorder.end` or `close`, or that reads, never in mid-answer.
    A `secret`, the key, is kept in no text, whoever wrote it there.
    """

    def __init__(self, path: Path, notice: Callable[[str], None], *, secret: str | None = None) -> None:
        self.path = path
        self._secret = secret
        self._notice = notice
        # One lock for the connection and all fields; its condition wakes the writer thread.
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._running: set[_Draft] = set()
        self._writer: threading.Thread | None = None
        self._closed = False
        self._failed = False
        self._untold: list[str] = []

    def recorder(self, request: ChatRequest, *, endpoint: str, session: str) -> Recorder:
        """Begin a turn: its row is committed on return.

        Raises `UsageError` when the file was written by a later version of the program.
        """
        draft = _Draft(turn_begun(request, endpoint, session), self._secret)
        with self._changed:
            self._save([draft])
            if not self._failed:
                self._run(draft)
        self._tell()
        return Recorder(draft, self._finish)

    def turns(self, limit: int | None = None, selection: Selection = EVERYTHING) -> list[TurnSummary]:
        """The last `limit` turns, or all, that are in `selection`, newest last; `FoundTurn`s where it has words.

        Without a file there are none, and none is made. Turns that are damaged are skipped, and `notice` is told. Raises
        `ChatError` when the file cannot be read, `UsageError` when it is of a later version or not this program's.
        """

        def read(connection: sqlite3.Connection) -> list[TurnSummary]:
            if selection.index_query is not None:
                return list(self._readable(found_turn, found_rows(connection, selection, _limit(limit))))
            where, values = selection.where()
            rows = connection.execute(SELECT_SUMMARIES.format(where), [*values, _limit(limit)]).fetchall()
            return list(self._readable(turn_summary, rows))

        return (self._read(read) or [])[::-1]

    def numbers(self, selection: Selection = EVERYTHING) -> list[int]:
        """The numbers of the turns in `selection`, the lowest first. Raises as `turns` does."""
        return self._read(lambda connection: numbers(connection, selection)) or []

    def latest(self) -> StoredTurn | None:
        """The turn that was sent last; None when there is none. Raises as `turns` does."""

        def read(connection: sqlite3.Connection) -> StoredTurn | None:
            numbers = (row["id"] for row in connection.execute(SELECT_LATEST))
            with closing(self._readable(partial(stored_turn, connection), numbers)) as turns:
                return next(turns, None)

        return self._read(read)

    def whole(self, numbers: Iterable[int]) -> list[StoredTurn]:
        """Turns of these numbers, those that there are. Skips and raises as `turns` does."""

        def read(connection: sqlite3.Connection) -> list[StoredTurn]:
            found = self._readable(partial(stored_turn, connection), numbers)
            return [turn for turn in found if turn is not None]

        return self._read(read) or []

    def figures(self, selection: Selection = EVERYTHING) -> list[TurnSummary]:
        """All turns that are in `selection`, whatever its words, in order and without their prompts. Raises as `turns` does.

        Prompts may be whole files: ten thousand of 20 KB take 0.3 s and 200 MB, their figures alone 0.1 s and 20 MB.
        """
        where, values = selection.where()

        def read(connection: sqlite3.Connection) -> list[TurnSummary]:
            return list(self._readable(turn_summary, connection.execute(SELECT_FIGURES.format(where), values)))

        return self._read(read) or []

    def delete(self, selection: Selection) -> int:
        """Remove turns for good, from the disk too; how many there were. Raises as `turns` does.

        What other processes keep from being done is told: the turns are deleted all the same.
        """

        def remove(connection: sqlite3.Connection) -> int:
            connection.execute("PRAGMA secure_delete = ON")
            with transaction(connection, "BEGIN IMMEDIATE"):
                meant = numbers(connection, selection)
                connection.execute(DELETE_PIECES_OF, [json.dumps(meant)])
                connection.execute(DELETE_TURNS, [json.dumps(meant)])
                if meant:
                    # What was deleted stays in the index until its parts are merged.
                    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            if meant:
                is_gone, is_small = shrink(connection)
                if not is_gone:
                    self._untold.append(_NOT_GONE)
                elif not is_small:
                    self._untold.append(_NOT_SMALL)
            return len(meant)

        return self._read(remove, begin=None) or 0

    def turn(self, number: int) -> StoredTurn | None:
        """Turn `number`, or None when there is none. Raises as `turns` does."""
        if abs(number) > GREATEST_INTEGER:
            return None
        return self._read(lambda connection: stored_turn(connection, number))

    def add(self, turns: Sequence[StoredTurn], progress: Callable[[int], None] = lambda _: None) -> list[int | None]:
        """Take in turns from elsewhere, all or none: the number that each has got, None where it is there already.

        `progress` is told, before each turn, how many are done. Raises as `turns` does.
        """

        def take_in(connection: sqlite3.Connection) -> list[int | None]:
            with transaction(connection, "BEGIN IMMEDIATE"):
                return import_turns(connection, turns, progress)

        try:
            with self._changed:
                return self._on_sound_file(take_in, create=True) or []
        except NotOurs as error:
            raise self._not_ours(error) from error
        except (sqlite3.Error, OSError, UnicodeDecodeError, OverflowError) as error:
            raise ChatError(
                f"the turns cannot be imported: {_reason(error)}", kind=Kind.HISTORY_NOT_IMPORTED, path=str(self.path)
            ) from error
        finally:
            self._tell()

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
        taken = [draft.take() for draft in self._running]
        if any(taken):
            self._save(list(self._running))

    def _finish(self, draft: _Draft, turn: Turn) -> None:
        with self._changed:
            if draft in self._running:
                draft.take()
                self._save([draft], turn)
                self._running.discard(draft)
        self._tell()

    def _save(self, drafts: Sequence[_Draft], turn: Turn | None = None) -> None:
        """Write what came of `drafts`, or the `turn` that one has become; nothing, once anything has failed."""

        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection, "BEGIN IMMEDIATE"):
                numbers = [draft.write(connection, turn) for draft in drafts]
            for draft, number in zip(drafts, numbers, strict=True):
                draft.written(number)

        if self._failed:
            return
        try:
            self._on_sound_file(write, create=True)
        except NotOurs as error:
            self._failed = True
            told = self._not_ours(error)
            self._untold.append(f"the history does not keep this session: {told.message}; it is left as it is")
        except (
            sqlite3.Error,
            OSError,
            UnicodeDecodeError,
            OverflowError,
        ) as error:  # OverflowError: a text beyond SQLite's 2 GB
            self._failed = True
            self._untold.append(f"the history does not keep this session from here on: {_reason(error)} ({self.path})")

    def _tell(self) -> None:
        with self._changed:
            untold, self._untold = self._untold, []
        for line in untold:
            self._notice(line)

    def _readable(self, make: Callable[[_S], _T], rows: Iterable[_S]) -> Generator[_T, None, None]:
        """What `make` makes of each of `rows`; those that are damaged are skipped, and told once that is over."""
        damaged: list[int] = []
        try:
            for row in rows:
                try:
                    yield make(row)
                except DamagedTurn as error:
                    damaged.append(error.number)
        finally:
            if damaged:
                self._untold.append(_skipped(sorted(damaged)))

    def _read(self, work: Callable[[sqlite3.Connection], _T], begin: str | None = "BEGIN") -> _T | None:
        """What `work` gives inside one snapshot of the file, or None without a file."""

        def whole(connection: sqlite3.Connection) -> _T:
            with transaction(connection, begin) if begin else nullcontext():
                return work(connection)

        try:
            with self._changed:
                return self._on_sound_file(whole, create=False)
        except NotOurs as error:
            raise self._not_ours(error) from error
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise ChatError(
                f"the history cannot be read: {_reason(error)}",
                kind=Kind.HISTORY_UNREADABLE,
                path=str(self.path),
            ) from error
        finally:
            self._tell()

    def _on_sound_file(self, work: Callable[[sqlite3.Connection], _T], *, create: bool) -> _T | None:
        """What `work` gives; None when there is no file and none is to be made.

        When the file turns out to be damaged it is mended or set aside, and `work` is done again.
        """
        for cure in (self._mend, self._set_aside, None):
            try:
                connection = self._connected(create=create)
                with connection.watch.ended():
                    return work(connection)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if cure is None or not is_damage(error):
                    raise
                cure(error)
            except (FileNotFoundError, NotADirectoryError):
                if create:
                    raise
                break
        return None

    def _connected(self, *, create: bool) -> Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("it is closed")
        if self._connection is not None and not self._connection.is_current:
            self._let_go()
        if self._connection is None:
            self._connection = open_file(self.path, create=create)
        return self._connection

    def _mend(self, error: Exception) -> None:
        try:
            mended = False
            if self._connection is not None:
                with self._connection.watch.ended():
                    mended = mend_index(self._connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as worse:
            if not is_damage(worse):
                raise
            mended = False
        if mended:
            self._untold.append("the index of the history was damaged and is made anew; no turn is lost")
        else:
            self._set_aside(error)

    def _set_aside(self, error: Exception) -> None:
        opened = error if isinstance(error, Damaged) else self._connection
        found = opened.identity if opened is not None else None
        self._let_go()
        try:
            aside = set_aside(self.path, found)
        except OSError:
            raise error from None  # It lies where nothing can be moved, and stays there.
        if aside is not None:
            self._untold.append(f"the history was damaged and is set aside as {aside}; a new one is begun")

    def _not_ours(self, error: NotOurs) -> UsageError:
        return UsageError(
            f"{self.path} is not a history of this program: {error}",
            kind=Kind.HISTORY_NOT_OURS,
        )

    def _let_go(self) -> None:
        """Close the file; what runs is begun again in the next one."""
        connection, self._connection = self._connection, None
        for draft in self._running:
            draft.leave()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _skipped(numbers: Sequence[int]) -> str:
    named = " ".join(map(str, numbers[:_MOST_NAMED]))
    if len(numbers) == 1:
        told = f"turn {named} of the history is damaged and is skipped"
    else:
        rest = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
        told = f"{len(numbers)} turns of the history are damaged and are skipped: {named.replace(' ', ', ')}{rest}"
    return f"{told} (`streaming-chat history delete {named}` removes {'it' if len(numbers) == 1 else 'them'})"


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _without(secret: str | None, row: dict[str, Any]) -> dict[str, Any]:
    return {name: without_secret(value, secret) if isinstance(value, str) else value for name, value in row.items()}


def _limit(limit: int | None) -> int:
    return -1 if limit is None else min(limit, GREATEST_INTEGER)
