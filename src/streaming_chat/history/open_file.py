"""The file: how it is opened, brought up to date (schema.py) and written."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from streaming_chat.config.folders import make_private
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.history.damage import Damaged, NotOurs, is_damage
from streaming_chat.history.interrupts import Watch, is_interrupt
from streaming_chat.history.place import Identity, identity, locked_place
from streaming_chat.history.schema import MIGRATIONS, VERSION
from streaming_chat.history.schema_check import difference, has_turns, is_new

#: Seconds to wait for another process that is writing. Transactions take milliseconds; only a hung one longer.
BUSY_TIMEOUT = 5.0
#: Bytes of the smallest page (sqlite.org/fileformat2.html).
_SMALLEST: Final = 512

# Creating the file opens and closes it, and closing any descriptor of a file drops this process's POSIX locks on it,
# SQLite's too (sqlite.org/howtocorrupt.html, 2.2): nobody else may connect in between.
_opening = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection that knows which file it has open, whatever lies there by now."""

    path: Path
    identity: Identity | None = None
    #: Whether it is a copy in memory, of a file that cannot be written.
    is_copy = False
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

    Without `create`, a file that cannot be written is read all the same: it is copied into memory, and brought up to date
    there. Raises UsageError for one of a later version, `Damaged` and `NotOurs` (sqlite3.Errors), other sqlite3.Errors,
    OSError.
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
                try:
                    _require_ours(connection, path)
                    _prepare(connection, path)
                except sqlite3.OperationalError as error:
                    if create or not _is_read_only(error):
                        raise
                    connection = _copied(connection)
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
    connection.execute("PRAGMA cache_size = -256")  # KiB: what is written is not read again
    if not _done(connection, "PRAGMA journal_mode = WAL"):
        raise sqlite3.OperationalError("database is locked")
    _bring_up_to_date(connection, path)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA temp_store = MEMORY")
    _migrate(connection, path)
    try:
        connection.execute("EXPLAIN DELETE FROM turns")  # which carries nothing out
    except sqlite3.DatabaseError:
        # Older versions of SQLite (3.40 is one) let no trigger write to FTS5 but in a trusted schema. By now this one is
        # known, word for word. A damaged index fails here too: whoever uses it will see.
        connection.execute("PRAGMA trusted_schema = ON")


def _is_read_only(error: sqlite3.OperationalError) -> bool:
    """Whether SQLite may not write the file, or nothing beside it. Python 3.10 gives no codes."""
    return "readonly" in str(error)


def _copied(unwritable: Connection) -> Connection:
    """A copy of the file in memory, up to date; `unwritable` is closed."""
    path = unwritable.path
    copy = _connected("file::memory:")
    copy.path, copy.identity = path, unwritable.identity
    try:
        try:
            unwritable.backup(copy)
        except sqlite3.OperationalError as error:
            if not _is_read_only(error):
                raise
            # In a folder that cannot be written, SQLite reads a file in WAL mode only as one that nobody changes; what a
            # killed process has left in a -wal is missing then.
            with closing(_connected(f"{path.as_uri()}?immutable=1")) as unchanging:
                unchanging.path = path
                unchanging.backup(copy)
        _require_ours(copy, path)
        _bring_up_to_date(copy, path)
        copy.is_copy = True
    except BaseException:
        sqlite3.Connection.close(copy)
        raise
    finally:
        sqlite3.Connection.close(unwritable)
    return copy


def _text(stored: bytes) -> str:
    return stored.decode(errors="replace")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise UsageError(
            f"the history was written by a later version of streaming-chat (format {version}, here {VERSION})",
            kind=Kind.HISTORY_TOO_NEW,
            path=str(path),
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
    """All of what is done inside, or nothing. `BEGIN IMMEDIATE` is for changes: sqlite3.Error in a copy."""
    if begin == "BEGIN IMMEDIATE" and isinstance(connection, Connection) and connection.is_copy:
        raise sqlite3.OperationalError("attempt to write a readonly database")
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (a full disk), and then refuses.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
