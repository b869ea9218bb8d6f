"""A document → a file, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from streaming_chat.core.errors import UsageError


def write_document(text: str, path: Path) -> None:
    """Write `text` to `path`, in place of what was there. UsageError where that cannot be."""
    data = text.encode(errors="replace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # A pipe or a device; of a folder the system says what is wrong.
            return
        _replace(path.resolve(), data)
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}", "choose another file with -o") from None


def _replace(path: Path, data: bytes) -> None:
    """Write beside it first: whatever fails, what was there is there."""
    umask = os.umask(0)
    os.umask(umask)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask
    number, beside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        os.chmod(beside, mode)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
