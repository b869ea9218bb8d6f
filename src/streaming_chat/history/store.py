"""`History`, which keeps turns, and `Recorder`, which takes one turn as a renderer does."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import Event
from streaming_chat.core.kinds import GREATEST_INTEGER
from streaming_chat.core.record import StoredTurn, TurnSummary, begun
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.history.damage import NotOurs
from streaming_chat.history.draft import Draft
from streaming_chat.history.file_in_use import SoundFile
from streaming_chat.history.importing import import_turns
from streaming_chat.history.open_file import Connection, shrink, transaction
from streaming_chat.history.rows import (
    DELETE_EMPTY_CONVERSATIONS,
    DELETE_PIECES_OF,
    DELETE_TURNS,
    SELECT_FIGURES,
    SELECT_LATEST,
    SELECT_PATH,
    SELECT_SUMMARIES,
    DamagedTurn,
    found_turn,
    stored_turn,
    turn_summary,
)
from streaming_chat.history.search import found_rows, numbers
from streaming_chat.history.selection import Selection

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
    """The record of one running turn, an observer of it. `number` is None when nothing can be saved."""

    def __init__(self, draft: Draft, finish: Callable[[Draft, Turn], None]) -> None:
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
        self._file = SoundFile(path, leave=self._leave, tell=lambda line: self._untold.append(line))
        self._running: set[Draft] = set()
        self._writer: threading.Thread | None = None
        self._closed = False
        self._failed = False
        self._untold: list[str] = []

    @property
    def _connection(self) -> Connection | None:
        """The connection that is open."""
        return self._file.connection

    def recorder(
        self,
        request: ChatRequest,
        *,
        endpoint: str,
        session: str,
        conversation: str = "",
        parent: int | None = None,
    ) -> Recorder:
        """Begin a turn: its row is committed on return.

        `conversation` is the id of the conversation that it belongs to, the session's unless given; `parent` the number of
        the turn before it there, which is left out when the file has no such turn. Raises `UsageError` when the file was
        written by a later version of the program.
        """
        turn = begun(
            request,
            number=0,
            session=session,
            conversation=conversation,
            parent=parent,
            started_at=datetime.now(timezone.utc),
            endpoint=endpoint,
        )
        draft = Draft(turn, self._secret)
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
                    connection.execute(DELETE_EMPTY_CONVERSATIONS)
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

    def branch(self, number: int) -> list[int]:
        """Turn `number` and those before it in its conversation, the first one first. Raises as `turns` does."""
        found = self._read(lambda connection: [row["id"] for row in connection.execute(SELECT_PATH, (number,))])
        return (found or [])[::-1]

    def add(self, turns: Sequence[StoredTurn], progress: Callable[[int], None] = lambda _: None) -> list[int | None]:
        """Take in turns from elsewhere, all or none: the number that each has got, None where it is there already.

        `progress` is told, before each turn, how many are done. Raises as `turns` does.
        """

        def take_in(connection: sqlite3.Connection) -> list[int | None]:
            with transaction(connection, "BEGIN IMMEDIATE"):
                return import_turns(connection, turns, progress)

        try:
            with self._changed:
                return self._file.do(take_in, create=True) or []
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
            self._file.close()
        if self._writer is not None:
            self._writer.join()
        self._tell()

    def _run(self, draft: Draft) -> None:
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

    def _finish(self, draft: Draft, turn: Turn) -> None:
        with self._changed:
            if draft in self._running:
                draft.take()
                self._save([draft], turn)
                self._running.discard(draft)
        self._tell()

    def _save(self, drafts: Sequence[Draft], turn: Turn | None = None) -> None:
        """Write what came of `drafts`, or the `turn` that one has become; nothing, once anything has failed."""

        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection, "BEGIN IMMEDIATE"):
                numbers = [draft.write(connection, turn) for draft in drafts]
            for draft, number in zip(drafts, numbers, strict=True):
                draft.written(number)

        if self._failed:
            return
        try:
            self._file.do(write, create=True)
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
                return self._file.do(whole, create=False)
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

    def _not_ours(self, error: NotOurs) -> UsageError:
        return UsageError(
            f"{self.path} is not a history of this program: {error}",
            kind=Kind.HISTORY_NOT_OURS,
        )

    def _leave(self) -> None:
        """The file is another one now: what runs is begun again in it."""
        for draft in self._running:
            draft.leave()


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


def _limit(limit: int | None) -> int:
    return -1 if limit is None else min(limit, GREATEST_INTEGER)
