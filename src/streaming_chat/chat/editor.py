"""A text written in the user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from streaming_chat.core.errors import UsageError


def edit(text: str) -> str:
    """Open $VISUAL or $EDITOR (vi when there is neither) on `text`; what was saved. UsageError when it cannot be."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # The folder is for the user alone, and an editor's backup and swap files go away with it.
    with tempfile.TemporaryDirectory(prefix="streaming-chat-") as folder:
        file = Path(folder) / "message.md"
        file.write_text(text, encoding="utf-8")
        try:
            status = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603 # the user's own choice
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise UsageError(f"the editor {editor!r} cannot be started: {reason}", "set EDITOR") from None
        if status != 0:
            raise UsageError(
                f"the editor {editor!r} ended with status {status}; nothing is sent", "set EDITOR, or save and leave it"
            )
        try:
            return file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            raise UsageError("the editor left no file: nothing is sent", "save it, and leave the editor") from None
