"""A damaged file makes room for a new one: it is set aside beside it, never deleted.

Damage is what SQLite calls so: a file that is no database, pages that contradict one another or are missing. A lock, a full
disk, missing rights and a failing device are none; the file may be sound, and is left where it is.

Several processes may find the damage at once. Only the first one moves the file: the others see, under the lock, that
another one lies there. Those that have the file open and have found nothing yet see it before they write the next time.

Only this program's own file is moved. What lies under its name in its folder is its own, whatever damage has made of it,
and moving it changes neither its content nor its mode. Two things are not, and are reported and left as they are, unread
and unwritten (`NotOurs`): what a link of that name leads to, unless it is sound; and a sound database of another program
(schema_check.py), a device, a pipe, a folder.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from streaming_chat.history.place import Identity, identity, locked_place

#: sqlite.org/rescode.html: SQLITE_CORRUPT, SQLITE_NOTADB.
_CORRUPT: Final = 11
_CODES: Final = (_CORRUPT, 26)
#: What belongs to a file, behind its name; the file itself comes last. Were the program killed before that, the file would
#: still lie there, damaged, for the next one to set aside. The other way round, SQLite would delete a -wal without a file.
_ENDINGS: Final = ("-shm", "-wal", "-journal", "")


class Damaged(sqlite3.DatabaseError):
    """The file `identity` was found damaged when it was opened."""

    def __init__(self, reason: str, found: Identity | None) -> None:
        super().__init__(reason)
        self.identity = found


class NotOurs(sqlite3.DatabaseError):
    """What lies at the place of the file is not this program's: it is neither written nor moved."""


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether `error` says that the file is damaged.

    UnicodeDecodeError comes where SQLite quotes a schema that is not text any more.
    """
    if isinstance(error, (Damaged, UnicodeDecodeError)):
        return True
    # Python 3.10 gives no codes. It has this very class, and none of those below it, for the two.
    code: int = getattr(error, "sqlite_errorcode", _CORRUPT)
    return type(error) is sqlite3.DatabaseError and code & 0xFF in _CODES


def set_aside(path: Path, found: Identity | None) -> Path | None:
    """Move the file at `path`, which was `found` damaged, and what belongs to it; where it is now.

    None when another process has done so. Nothing in this process may have the file open. OSError when it cannot be moved,
    `NotOurs` when `path` is a link.
    """
    if path.is_symlink():
        raise NotOurs(f"it is a link to {os.path.realpath(path)}, which is damaged or no history at all")
    path = Path(os.path.realpath(path))  # A folder may be a link, and the file keeps its place.
    with locked_place(path, exclusive=True):
        if found is None or identity(path) != found:
            return None
        aside = _free_name(path)
        for ending in _ENDINGS:
            moved = _with_ending(path, ending)
            if moved.exists():
                moved.rename(_with_ending(aside, ending))
    return aside


def _free_name(path: Path) -> Path:
    """A name beside `path` that nothing has, and none of what belongs to it."""
    stem = f"{path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while True:
        name = path.with_name(f"{stem}{path.suffix}" if number == 1 else f"{stem}-{number}{path.suffix}")
        if not any(_with_ending(name, ending).exists() for ending in _ENDINGS):
            return name
        number += 1


def _with_ending(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
