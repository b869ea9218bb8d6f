"""The file: its schema, how an older one is brought up to date, how it is opened and written.

Schema (version 3; `MIGRATIONS` brings every earlier version up to date, a later one is refused):

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
        arrivals                    core/arrivals.py
        conversation                `id` of a conversation; NULL in turns of earlier versions: the session is one
        parent                      id of the turn before it in the conversation: the last one with a complete answer, or one
                                    that the user kept. NULL for the first one; the turn may have been deleted since
conversations
        number                      the number that users see; never given twice
        id                          the name of the session that began it, or a random one: the same in every file
        name                        what the user calls it, NULL for none; two may have the same name
        created_at                  as `started_at`: that of its first turn
pieces  turn_id, seq                what one periodic save adds to a turn without outcome
        text, reasoning, refusal, arrivals
        tool_calls                  JSON list of [index, name, arguments], a piece each
words   prompt, text                full-text index (FTS5) of ended turns; its texts are those of `turns`

Small columns stand before the long ones: SQLite reads a row from its left end, so figures never touch the answers. A
column of a later version is the exception: to put it before them, every row would have to be written again.

A turn has its place in a conversation whether or not the turns before it were sent as context: `messages` has what was sent.
So a tree of turns can be drawn, a conversation can be continued from any of them, and a chat can become stateful later.

Text is stored as it came; only lone surrogates, which UTF-8 cannot express, become U+FFFD, one for one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from streaming_chat.config.folders import make_private
from streaming_chat.core.errors import UsageError
from streaming_chat.core.record import COLUMNS
from streaming_chat.history.damage import Damaged, NotOurs, is_damage
from streaming_chat.history.place import Identity, identity, locked_place
from streaming_chat.history.schema_check import difference, has_turns, is_new
from streaming_chat.history.watch import Watch, is_interrupt

#: Seconds to wait for another process that is writing. Transactions take milliseconds; only a hung one longer.
BUSY_TIMEOUT = 5.0
#: Bytes of the smallest page (sqlite.org/fileformat2.html).
_SMALLEST: Final = 512

#: version → the statements that lead to it from the version before, except for columns of turns that it adds. Append only:
#: files of every version are out there.
_STATEMENTS: Final[Mapping[int, tuple[str, ...]]] = {
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
    2: (
        """
        CREATE VIRTUAL TABLE words USING fts5 (
            prompt, text, content = 'turns', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
        )
        """,
        """
        CREATE TRIGGER turn_begun AFTER INSERT ON turns BEGIN
            INSERT INTO words (rowid, prompt, text) VALUES (new.id, new.prompt, new.text);
        END
        """,
        """
        CREATE TRIGGER turn_changed AFTER UPDATE OF prompt, text ON turns BEGIN
            INSERT INTO words (words, rowid, prompt, text) VALUES ('delete', old.id, old.prompt, old.text);
            INSERT INTO words (rowid, prompt, text) VALUES (new.id, new.prompt, new.text);
        END
        """,
        """
        CREATE TRIGGER turn_deleted AFTER DELETE ON turns BEGIN
            INSERT INTO words (words, rowid, prompt, text) VALUES ('delete', old.id, old.prompt, old.text);
        END
        """,
        "INSERT INTO words (words) VALUES ('rebuild')",
    ),
    3: (
        """
        CREATE TABLE conversations (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            name TEXT,
            created_at TEXT NOT NULL
        )
        """,
        # What was kept of a session so far is one conversation.
        """
        INSERT INTO conversations (id, created_at)
        SELECT session, min(started_at) FROM turns GROUP BY session ORDER BY min(id)
        """,
    ),
}


def _added(version: int) -> list[str]:
    """The statements for the columns of a turn that `version` brought."""
    added = (column for column in COLUMNS if 1 < column.since == version)
    return [f"ALTER TABLE turns ADD COLUMN {column.name} {column.kind.sql}" for column in added]


VERSION: Final = max(*_STATEMENTS, *(column.since for column in COLUMNS))
#: version → all statements that lead to it from the version before.
MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    version: (*_added(version), *_STATEMENTS.get(version, ())) for version in range(1, VERSION + 1)
}
#: How the index of this version takes texts apart.
TOKENIZER: Final = "unicode61 remove_diacritics 2"

# Creating the file opens and closes it, and closing any descriptor of a file drops this process's POSIX locks on it,
# SQLite's too (sqlite.org/howtocorrupt.html, 2.2): nobody else may connect in between.
_opening = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection that knows which file it has open, whatever lies there by now."""

    path: Path
    identity: Identity | None = None
    watch: Watch

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one at its place."""
        try:
            return identity(self.path) == self.identity
        except OSError:
            return True  # Nothing can be known, and nothing can be done: what is open stays open.

    def close(self) -> None:
        """Let go of the file. A second call does nothing."""
        # Closed all the same when somebody holds the place for seconds: SQLite looks itself whether the file has moved.
        with suppress(TimeoutError), locked_place(self.path, exclusive=False):
            super().close()
        super().close()


def open_file(path: Path, *, create: bool) -> Connection:
    """A connection to the file at `path`, up to date.

    Raises UsageError for one of a later version, `Damaged` and `NotOurs` (sqlite3.Errors), other sqlite3.Errors, OSError.
    """
    is_link = os.path.islink(path)
    path = Path(os.path.realpath(path))  # `Path.resolve` fails where links go round.
    if create:
        make_private(path.parent)
    # SQLite opens -wal and -shm with the first statement.
    with locked_place(path, exclusive=False):
        with _opening:
            if create:
                with suppress(FileExistsError):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            _look_at(path, is_link=is_link)
            connection = _connected(path)
        connection.path, connection.identity = path, identity(path)
        try:
            with connection.watch.ended():
                _require_ours(connection, path)
                _prepare(connection, path)
        except BaseException as error:
            sqlite3.Connection.close(connection)
            if isinstance(error, (sqlite3.Error, UnicodeDecodeError)) and is_damage(error):
                raise Damaged(str(error), connection.identity) from error
            raise
    return connection


def _look_at(path: Path, *, is_link: bool) -> None:
    """Make the file private; before that, look whether it is another program's, which is not to be touched at all.

    What a link leads to lies elsewhere: there, tables of another name are another program's also while they are empty.

    SQLite itself changes what it opens: it takes in a -wal, and leaves a -shm. A file that is called immutable is read as it
    is, with no lock. That is no way to find a file sound or damaged, as another process may be writing it.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise NotOurs("it is not a regular file")
    if 0 < status.st_size < _SMALLEST:
        # SQLite takes a file of a few bytes for an empty one, and writes over them.
        raise Damaged("file is not a database", identity(path))
    if status.st_size:
        look = _connected(f"{path.as_uri()}?immutable=1")
        try:
            with look.watch.ended():
                _require_ours(look, path)
                if is_link and not has_turns(look):
                    raise NotOurs("it is a database of another program")
        except NotOurs:
            raise
        except (sqlite3.Error, UnicodeDecodeError):
            return  # Damaged, or half written: whoever has it open under its locks will see.
        finally:
            sqlite3.Connection.close(look)
    if status.st_mode & 0o077:
        # Only the owner may read, however generous the umask is; SQLite gives its -wal and -shm files the same mode. Where
        # it cannot be changed (another's file, a FAT disk), it stays.
        with suppress(PermissionError):
            path.chmod(0o600)


def _connected(place: Path | str) -> Connection:
    """A connection to a path or a URI, to which signals get through, and in which no schema is trusted."""
    connection = sqlite3.connect(
        place,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
        uri=isinstance(place, str),
    )
    connection.watch = Watch(connection)
    connection.row_factory = sqlite3.Row
    # A damaged byte in an answer is no reason not to show the others.
    connection.text_factory = _text
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    """UsageError for a file of a later version, `NotOurs` for one that no version of this program made."""
    with transaction(connection, "BEGIN"):
        if not has_turns(connection) and not is_new(connection):
            raise NotOurs("it is a database of another program")
        version = _check_version(connection, path)
        if version == 0 and is_new(connection):
            return
        if not 0 < version <= VERSION:
            raise NotOurs(f"its format is {version}, which no version of this program has written")
        made = [statement for earlier in range(1, version + 1) for statement in MIGRATIONS[earlier]]
        if found := difference(connection, made):
            raise NotOurs(found)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file up to date and make it ready to be read and written."""
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -256")  # KiB: what is written is not read again
    if not _done(connection, "PRAGMA journal_mode = WAL"):
        raise sqlite3.OperationalError("database is locked")
    _migrate(connection, path)
    try:
        connection.execute("EXPLAIN DELETE FROM turns")  # which carries nothing out
    except sqlite3.DatabaseError:
        # Older versions of SQLite (3.40 is one) let no trigger write to FTS5 but in a trusted schema. By now this one is
        # known, word for word. A damaged index fails here too: whoever uses it will see.
        connection.execute("PRAGMA trusted_schema = ON")


def _text(stored: bytes) -> str:
    return stored.decode(errors="replace")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise UsageError(
            f"the history was written by a later version of streaming-chat (format {version}, here {VERSION})",
            f"update streaming-chat, or leave {path} alone with --no-history",
        )
    return version


def _done(connection: sqlite3.Connection, statement: str) -> bool:
    """Carry out `statement`; False when others kept it from its work for `BUSY_TIMEOUT`. Other sqlite3.Errors are raised.

    SQLite does not wait for every lock: not where two processes switch to WAL, nor for a checkpoint that is running.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            row = connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        else:
            if row is None or row[0] != 1:  # what a checkpoint says that others kept from its work
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _check_version(connection, path) == VERSION:
        return
    with transaction(connection, "BEGIN IMMEDIATE"):
        # Asked again under the lock: another process may have been first.
        for version in range(_check_version(connection, path) + 1, VERSION + 1):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")


def shrink(connection: sqlite3.Connection) -> tuple[bool, bool]:
    """After a deletion: whether what was deleted is gone from the disk, and whether the file is as small as it can be.

    `secure_delete` has written zeros over it, but into the -wal, whose older parts hold the text itself. Neither is done
    where another process reads or writes for longer than `BUSY_TIMEOUT`; VACUUM also takes room for a copy.
    """
    try:
        is_small = _is_done(connection, "VACUUM")
    finally:
        # After a Ctrl-C too: what was deleted is to be gone.
        is_gone = _is_done(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    return is_gone, is_small


def _is_done(connection: sqlite3.Connection, statement: str) -> bool:
    """`_done`; False on a full disk too, as the turns are deleted all the same."""
    try:
        return _done(connection, statement)
    except sqlite3.OperationalError as error:
        if is_interrupt(error):
            raise
        return False


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """All of what is done inside, or nothing."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (a full disk), and then refuses.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
