"""A TOML file → its table, and where in the file each key stands, which the parser does not tell."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streaming_chat.config.folders import reason_others_may_replace
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError


def read_toml(path: Path) -> tuple[dict[str, Any], Callable[..., str]]:
    """What is in the file at `path`, nothing where there is none, and `where(key, ...)`: the place of a key in it.

    UsageError when it cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            _require_own(path, os.fstat(file.fileno()))
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        content = b""
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}", kind=Kind.FILE_UNREADABLE) from None

    def where(*keys: str) -> str:
        return f"{path}, line {_line_of(keys, content)}"

    return _parsed(content, path) if content else {}, where


def _require_own(path: Path, status: os.stat_result) -> None:
    """UsageError where somebody else may have written the settings, and with them where the key goes."""
    for place, found in ((path, status), (path.parent, path.parent.stat())):
        # Root may own them: a system that is configured as a whole puts a link here.
        if reason := reason_others_may_replace(found):
            raise UsageError(f"{path} is not read: {place}: {reason}", kind=Kind.FILE_UNSAFE)


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise UsageError(
                f"{path} cannot be read: Python 3.10 has no TOML parser of its own", kind=Kind.TOML_PARSER_MISSING
            ) from None
    try:
        table: dict[str, Any] = tomllib.loads(content.decode())
        return table
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", kind=Kind.FILE_ENCODING) from None
    except tomllib.TOMLDecodeError as problem:
        # The parser's own words end in "(at line 3, column 5)", but for a text that breaks off.
        where = str(problem).replace("at end of document", f"at the end, line {len(content.splitlines())}")
        raise UsageError(f"{path} is not valid TOML: {where}", kind=Kind.INVALID_TOML) from None


def _line_of(keys: Sequence[str], content: bytes) -> int:
    """The line on which the last of `keys` is set inside those before it, as far as it is found."""
    lines = content.decode().splitlines()
    found = 0
    for depth, key in enumerate(keys):
        # Inside a table, a key may stand further on: [prices."m"], or "m" = { prompt = 1 }.
        before = r"(.*[\s.,{\[])?" if depth else r"\s*(\[\s*)?"
        pattern = re.compile(rf"{before}[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
        found = next((number for number in range(found, len(lines)) if pattern.match(lines[number])), found)
    return found + 1
