"""The `.env` file: where it is, whether it may be trusted, and what it says."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def trusted_dotenv(folder: Path, notice: Callable[[str], None]) -> Path | None:
    """The nearest `.env` from `folder` upward; None, with a notice, when somebody else may have written it."""
    found = _nearest(folder)
    if found and (reason := _distrusted(found)):
        notice(f"{found} is not read: {reason}")
        return None
    return found


def _nearest(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        candidate = place / ".env"
        with suppress(OSError):  # A folder on the way up that may not be looked into.
            if candidate.is_file():
                return candidate
    return None


def _distrusted(path: Path) -> str | None:
    """Why the file is not read: whoever can write it could send prompts, and the key with them, to another place."""
    if not hasattr(os, "getuid"):
        return None
    found = path.stat()
    if found.st_uid != os.getuid():
        return "it belongs to another user"
    # The user's primary group may write: on many systems it has no other member, and the umask, 002, lets it.
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != os.getgid()):
        return "others may write it (chmod go-w mends that)"
    return None


def read_dotenv(path: Path, notice: Callable[[str], None]) -> dict[str, str]:
    """The variables in `.env`; the environment itself is not changed. What cannot be read is told by `notice`."""
    import logging

    from dotenv import dotenv_values

    class _ToNotice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notice(f"{path}: {record.getMessage()}")

    # python-dotenv tells of a line that it cannot read through logging, whose last resort is the bare stderr.
    logger = logging.getLogger("dotenv.main")
    handler = _ToNotice()
    logger.addHandler(handler)
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as problem:
        notice(f"{path} is not read: {getattr(problem, 'strerror', None) or 'it is not UTF-8'}")
        return {}
    finally:
        logger.removeHandler(handler)
