"""The file while it is in use: opened when it is needed, and again when another one lies at its place.

One that turns out to be damaged is repaired where only its index of words is, and else set aside (damage.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from streaming_chat.history.damage import Damaged, is_damage, set_aside
from streaming_chat.history.open_file import Connection, open_file
from streaming_chat.history.search import mend_index

_T = TypeVar("_T")


class SoundFile:
    """The file at `path`. `leave` is called when it is left for another one, `tell` with a line about damage."""

    def __init__(self, path: Path, *, leave: Callable[[], None], tell: Callable[[str], None]) -> None:
        self.connection: Connection | None = None
        self._path = path
        self._leave = leave
        self._tell = tell
        self._closed = False

    def do(self, work: Callable[[sqlite3.Connection], _T], *, create: bool) -> _T | None:
        """What `work` gives; None when there is no file and none is to be made.

        When the file turns out to be damaged, `work` is done again after that. Raises sqlite3.Error and OSError, and
        UsageError for a file of a later version.
        """
        for cure in (self._repair, self._set_aside, None):
            try:
                connection = self._open(create=create)
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

    def close(self) -> None:
        """Close the file. It is not opened again."""
        self._closed = True
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _open(self, *, create: bool) -> Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("it is closed")
        if self.connection is not None and not self.connection.is_current:
            self._let_go()
        if self.connection is None:
            self.connection = open_file(self._path, create=create)
        return self.connection

    def _repair(self, error: Exception) -> None:
        try:
            repaired = False
            if self.connection is not None:
                with self.connection.watch.ended():
                    repaired = mend_index(self.connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as worse:
            if not is_damage(worse):
                raise
            repaired = False
        if repaired:
            self._tell("the index of the history was damaged and is made anew; no turn is lost")
        else:
            self._set_aside(error)

    def _set_aside(self, error: Exception) -> None:
        opened = error if isinstance(error, Damaged) else self.connection
        found = opened.identity if opened is not None else None
        self._let_go()
        try:
            aside = set_aside(self._path, found)
        except OSError:
            raise error from None  # It lies where nothing can be moved, and stays there.
        if aside is not None:
            self._tell(f"the history was damaged and is set aside as {aside}; a new one is begun")

    def _let_go(self) -> None:
        connection, self.connection = self.connection, None
        self._leave()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
