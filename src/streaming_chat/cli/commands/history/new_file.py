"""A text in a file: all of it or none, and in the place of another one only when that is wanted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streaming_chat.core.errors import UsageError


def write_file(path: Path, text: str, *, force: bool) -> None:
    """Write `text` to `path`. UsageError when that is impossible; then what was there is as it was.

    A file that is there is replaced with `force`, and is a UsageError without it, also where it appears meanwhile. A new
    file gets the mode that the umask leaves, one that is replaced keeps its own; a link stays one, and what it leads to is
    meant. What is no file (a device, a pipe) is written to.
    """
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            # By its own name: that of a pipe (/dev/stdout) leads nowhere.
            path.write_text(text, encoding="utf-8")
        elif force:
            with _beside(Path(os.path.realpath(path)), text, mode) as (beside, target):
                beside.replace(target)
        elif mode is not None:
            raise FileExistsError
        else:
            with _beside(Path(os.path.realpath(path)), text, mode) as (beside, target):
                _put(beside, target)
    except FileExistsError as error:
        raise UsageError(f"{path} exists", "--force overwrites it; or name another file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise UsageError(
            f"{path} cannot be written: {reason or error}", "name a file in a folder that you may write to"
        ) from error


@contextmanager
def _beside(target: Path, text: str, mode: int | None) -> Iterator[tuple[Path, Path]]:
    """A new file with `text` beside `target`, because only inside one file system is a file put into place in one step."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
            if mode is not None:
                beside.chmod(stat.S_IMODE(mode))
            file.write(text)
        yield beside, target
    finally:
        with suppress(OSError):
            beside.unlink()


def _put(beside: Path, target: Path) -> None:
    """Give the file `beside` the name `target`; FileExistsError when something has it."""
    try:
        os.link(beside, target)
    except FileExistsError:
        raise
    except (OSError, AttributeError):
        # A file system, or a system, without links: the name is taken first, and the text put into its place.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        beside.replace(target)
