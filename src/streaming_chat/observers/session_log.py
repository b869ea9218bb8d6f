"""The log of a session (`--log-dir`): a header, then a line an entry, flushed at once.

    [2025-12-10T17:34:32] USER: Explain streaming

Times are local. A backslash, a newline or another control character inside an entry is written as its escape, so that
every entry is one line. The file is for the user alone (0600), and the key is never in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from streaming_chat.config.folders import SESSION_NAME, create_private
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.text.figures import latency_line
from streaming_chat.text.secret import without_secret


class SessionLog(TurnObserver):
    """A log in the making. It takes turns as a renderer does."""

    def __init__(
        self,
        folder: Path,
        *,
        header: Mapping[str, Any],
        secret: str | None,
        notice: Callable[[str], None],
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._descriptor: int | None = None
        self._secret = secret
        self._notice = notice
        self._now = now
        started = now()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, self._descriptor = create_private(folder, started.strftime(SESSION_NAME), ".log")
        except OSError as problem:
            raise UsageError(f"no log can be written into {folder}: {problem.strerror}", kind=Kind.LOG_UNWRITABLE) from None
        lines = [f"# {name}: {self._safe(str(value))}" for name, value in header.items()]
        self._write("\n".join([*lines, f"# start: {started.isoformat(timespec='seconds')}"]))

    def user(self, text: str) -> None:
        """The user asked."""
        self._entry("USER", text)

    def command(self, text: str) -> None:
        """The user gave a command."""
        self._entry("COMMAND", text)

    def error(self, text: str) -> None:
        """Something failed."""
        self._entry("ERROR", text)

    def end(self, turn: Turn) -> None:
        """The answer, whole or not, and its figures."""
        self._entry("ASSISTANT", turn.text or turn.refusal)
        if turn.error is not None:
            self.error(turn.error.message)
        elif turn.outcome is not Outcome.COMPLETE:
            self.error(f"the answer is not whole: {turn.outcome.value}")
        self._entry("LATENCY", latency_line(turn.timing))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _entry(self, kind: str, text: str) -> None:
        self._write(f"[{self._now().isoformat(timespec='seconds')}] {kind}: {self._safe(text)}")

    def _safe(self, text: str) -> str:
        return _escaped(without_secret(text, self._secret))

    def _write(self, lines: str) -> None:
        if self._descriptor is None:
            return
        try:
            # Unbuffered, so that a killed process loses nothing.
            os.write(self._descriptor, (lines + "\n").encode(errors="replace"))
        except OSError as problem:
            self._notice(f"the log {self.path} ends here: {problem.strerror}")
            self.close()


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if escaped.isprintable():
        return escaped
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in escaped)
