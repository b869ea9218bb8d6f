"""A text in the place of a file: all of it or none."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from streaming_chat.core.errors import UsageError


def replace_file(path: Path, text: str) -> None:
    """Write `text` to `path`. UsageError when that is impossible; then what was there is as it was.

    A new file gets the mode that the umask leaves, one that is replaced keeps its own; a link stays one, and what it
    leads to is replaced. What is no file (a device, a pipe) is written to.
    """
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), text, mode)
        else:
            # By its own name: that of a pipe (/dev/stdout) leads nowhere.
            path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise UsageError(
            f"{path} cannot be written: {reason or error}", "name a file in a folder that you may write to"
        ) from error


def _replace(target: Path, text: str, mode: int | None) -> None:
    # Beside it, because only inside one file system is a file put into place in one step.
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
            if mode is not None:
                beside.chmod(stat.S_IMODE(mode))
            file.write(text)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
