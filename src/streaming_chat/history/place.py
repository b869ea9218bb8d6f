"""The place where the file lies: which file is there now, and a lock against its being moved while it is opened.

SQLite finds -wal and -shm by the name of the file. A process that opened one file and then took the -wal of the next one
would spoil both (sqlite.org/howtocorrupt.html, 2.5), and so would one that deletes a -wal that is not its own, as the
last one to close a file does. So opening and closing are done under a shared lock on the folder, moving under an exclusive
one. Locking the folder leaves no lock file behind. A file that is open may be moved: whoever has it open sees by
`identity` that another one lies there now.

Where there is no `flock` (Windows, some network file systems) there is no lock. Windows does not move what is open.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

#: Seconds to wait for another process that is opening or moving the file, which takes milliseconds.
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.005

#: Device and number of a file: another one of the same name has others, as long as the first one exists.
Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """Which file is at `path`; None when there is none. OSError where that cannot be known."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def locked_place(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Nobody moves the file at `path`; `exclusive`: nobody opens it either. TimeoutError when others do not let go.

    For the length of an opening: whoever waits, waits for all who hold it.
    """
    descriptor = _locked(path.parent, exclusive=exclusive)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path, *, exclusive: bool) -> int | None:
    """A descriptor that holds the lock until it is closed; None where there are no such locks."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None  # A folder that may not be read, or is none: opening the file in it says what is wrong.
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise TimeoutError(errno.ETIMEDOUT, "another process is opening or moving it") from None
            time.sleep(_PAUSE)
        except OSError:
            os.close(descriptor)
            return None
        else:
            return descriptor
