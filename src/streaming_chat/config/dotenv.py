"""The `.env` file: where it is, who can have written it, and what it says. What it may decide: config/trust.py.

Rule: the folder and the file are opened once each, and everything is judged by what was opened, never by a name: a file that
is swapped for another one meanwhile is not read. What is not read is told, with the reason.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from streaming_chat.config.folders import reason_others_may_replace, reason_others_may_write

NAME: Final = ".env"
#: Bytes. A longer one is none that a person wrote.
LONGEST: Final = 64 << 10
#: Seconds in which a named pipe has to deliver: password managers serve secrets in this way (1Password: a local .env file).
_PIPE_TIMEOUT: Final = 1.0
#: Without O_NONBLOCK, opening a pipe waits for its writer. Windows lacks these flags, and has no such files.
_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")
)
#: python-dotenv needs the square of the length of such a run.
_LONG_BLANK: Final = re.compile(r"[^\S\r\n]{64,}")
#: Line numbers that a notice about unreadable lines gives.
_MOST_LINES: Final = 3


class NotRead(Exception):
    """A `.env` is there and is not read; the text says why, after "is not read: "."""


@dataclass(frozen=True)
class DotenvFile:
    """A `.env` as it was read: `content` to recognise it by, `values` for each variable that has one."""

    path: Path
    content: bytes
    values: Mapping[str, str]


def nearest_dotenv(folder: Path, notice: Callable[[str], None]) -> DotenvFile | None:
    """The nearest `.env` from `folder` upward; None where there is none, or, after a notice, where it is not read."""
    for place in (folder, *folder.parents):
        try:
            found = read_dotenv(place / NAME, notice)
        except NotRead as problem:
            notice(f"{place / NAME} is not read: {problem}")
            return None
        if found is not None:
            return found
    return None


def read_dotenv(path: Path, notice: Callable[[str], None]) -> DotenvFile | None:
    """The `.env` at `path`; None where there is none. Lines that cannot be read are told by `notice`.

    Raises `NotRead` for a file that others may write or that is no text of at most `LONGEST` bytes.
    """
    descriptor = _opened(path)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return None  # A virtual environment may have this name.
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
            raise NotRead("it is not a regular file")
        if reason := reason_others_may_write(status):
            raise NotRead(reason)
        content = _piped(descriptor) if stat.S_ISFIFO(status.st_mode) else _read(descriptor)
    except OSError as problem:
        raise NotRead(problem.strerror or "it cannot be read") from None
    finally:
        os.close(descriptor)
    return DotenvFile(path, content, _parsed(path, content, notice))


def _opened(path: Path) -> int | None:
    """A descriptor of the file, in a folder whose files no other user can replace; None where there is no file.

    A link leads to another `.env` or nowhere: one in a repository could lead to any file of the user's, or to its input.
    """
    target = path
    if os.path.islink(path):
        try:
            target = Path(os.path.realpath(path))
        except OSError as problem:  # It is no link any more: somebody swaps it.
            raise NotRead(problem.strerror or "it cannot be opened") from None
        if not os.path.exists(path) and not os.path.lexists(target):
            return None
        if target.name != NAME and not target.name.startswith(f"{NAME}."):
            raise NotRead(f"it is a link to a file that is not called {NAME}")
    if os.open not in os.supports_dir_fd:
        return _opened_in(None, target)
    try:
        # O_PATH: a folder may be searched without being readable. Where there is no O_PATH, it has to be readable.
        folder = os.open(target.parent, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None  # A folder on the way up that cannot be looked into, or is gone.
    try:
        descriptor = _opened_in(folder, target)
        if descriptor is not None and (reason := reason_others_may_replace(os.fstat(folder))):
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            os.close(descriptor)
            if is_folder:
                return None
            raise NotRead(f"its folder is not safe: {reason}")
        return descriptor
    finally:
        os.close(folder)


def _opened_in(folder: int | None, path: Path) -> int | None:
    try:
        return os.open(path if folder is None else path.name, _FLAGS, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        # What is no error of the file is one of the folder: there may be no file at all.
        with suppress(OSError):
            os.stat(path if folder is None else path.name, dir_fd=folder, follow_symlinks=False)
            raise NotRead(problem.strerror or "it cannot be opened") from None
        return None


def _read(descriptor: int) -> bytes:
    content = bytearray()
    while piece := os.read(descriptor, LONGEST + 1 - len(content)):
        content += piece
        _check_length(content)
    return bytes(content)


def _piped(descriptor: int) -> bytes:
    """What a writer puts into a named pipe until it closes it; NotRead when that takes too long."""
    content = bytearray()
    deadline = time.monotonic() + _PIPE_TIMEOUT
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(1000 * left):
            break
        piece = os.read(descriptor, LONGEST + 1 - len(content))
        if not piece:
            return bytes(content)
        content += piece
        _check_length(content)
    raise NotRead(f"it is a named pipe, and its writer did not finish within {_PIPE_TIMEOUT:g} s")


def _check_length(content: bytearray) -> None:
    if len(content) > LONGEST:
        raise NotRead(f"it is larger than {LONGEST >> 10} KiB")


def _parsed(path: Path, content: bytes, notice: Callable[[str], None]) -> dict[str, str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotRead("it is not UTF-8") from None
    if "\0" in text:
        raise NotRead("it is not text: it holds NUL bytes")
    import logging

    from dotenv import dotenv_values

    unreadable: list[object] = []

    class _ToList(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            unreadable.extend(record.args or ())

    # python-dotenv reports a line that it cannot parse through logging, whose last resort is standard error.
    logger = logging.getLogger("dotenv.main")
    handler = _ToList()
    logger.addHandler(handler)
    try:
        # Not interpolated: `${OPENAI_API_KEY}` would put the user's key wherever the file likes.
        values = dotenv_values(stream=StringIO(_LONG_BLANK.sub(" " * 64, text)), interpolate=False)
    finally:
        logger.removeHandler(handler)
    if unreadable:
        more = len(unreadable) - _MOST_LINES
        lines = ", ".join(f"line {line}" for line in unreadable[:_MOST_LINES]) + (f" and {more} more" if more > 0 else "")
        notice(f"{path}: skipped what cannot be parsed: {lines}")
    return {name: value for name, value in values.items() if value is not None}
