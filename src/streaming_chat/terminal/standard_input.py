"""Standard input as text: what is piped in, or typed for `-`.

Rule: it is read when it is asked for, by the system's own calls, and by nothing else; where it is left alone, never.
What cannot be read (closed, opened for writing only as by `nohup`) is no input, unless it was asked for by `-`.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError

#: Seconds without its end before the user is told what the program waits for.
_PATIENCE: Final = 2.0

#: Byte order mark → encoding (Unicode, chapter 23.8). UTF-32's begins as UTF-16's does, so it is looked for first.
_MARKS: Final = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
_LONGEST_MARK: Final = 4


class StandardInput:
    """Standard input. `notice` is told when it takes long, and when it is not all text.

    With `left_alone` it is never read. `how_to_leave` says, in the notice about a long wait, how the user has it left alone.
    """

    def __init__(self, notice: Callable[[str], None], *, left_alone: bool = False, how_to_leave: str = "") -> None:
        self._notice = notice
        self._how_to_leave = f"; {how_to_leave}" if how_to_leave else ""
        self._left_alone = left_alone

    @property
    def is_terminal(self) -> bool:
        """Whether a person can be asked there."""
        return not self._left_alone and os.isatty(0)

    def piped(self) -> str:
        """What is piped in; "" from a terminal, where there is nothing to read, and with --no-stdin. UsageError: no text."""
        if self._left_alone or self.is_terminal:
            return ""
        try:
            content = self._content()
        except OSError:
            return ""
        return self._decoded(content)

    def text(self) -> str:
        """All of it, from a terminal too: the user named it. UsageError when it cannot be read, or is not text."""
        return self._decoded(self.read())

    def read(self) -> bytes:
        """The same as bytes; what is known not to be text may end before its end."""
        if self._left_alone:
            raise UsageError("`-` is standard input, which is left alone", kind=Kind.INPUT_LEFT_ALONE)
        if sys.stdin is None:
            raise _unreadable("it is closed")
        try:
            return self._content()
        except OSError as problem:
            raise _unreadable(problem.strerror or "unknown reason") from None

    def line(self) -> str:
        """What is typed up to Enter, as an answer to a question."""
        line = b""
        while not line.endswith(b"\n") and (more := os.read(0, 1 << 12)):
            line += more
        return line.decode(errors="replace")

    def _decoded(self, content: bytes) -> str:
        mark, encoding = _encoding(content)
        content = content[len(mark) :]
        is_damaged = False
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            text, is_damaged = content.decode(encoding, errors="replace"), True
        text = without_nul(text, "standard input")
        if is_damaged:
            self._notice(f"the piped input is not {encoding[:6]} throughout: the rest is sent as U+FFFD")
        return text

    def _content(self) -> bytes:
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        """What is read, until its end, or until it is known to be no text."""
        deadline: float | None = time.monotonic() + _PATIENCE
        if self.is_terminal:
            self._notice("reading standard input; Ctrl-D ends it")
            deadline = None
        head = b""
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and (left <= 0 or not _is_ready(left)):
                self._notice(f"reading standard input until it ends (Ctrl-D on a terminal){self._how_to_leave}")
                deadline = None
            try:
                piece = os.read(0, 1 << 16)
            except BlockingIOError:  # Somebody who shares the file has made it so.
                _is_ready(left if deadline else None)
                continue
            if not piece:
                return
            yield piece
            head = head if len(head) >= _LONGEST_MARK else head + piece
            # A device or a disk image need not have an end.
            if len(head) >= _LONGEST_MARK and _encoding(head)[1] == "UTF-8" and b"\0" in piece:
                return


def _unreadable(reason: str) -> UsageError:
    return UsageError(f"standard input cannot be read: {reason}", kind=Kind.INPUT_UNREADABLE)


def without_nul(text: str, what: str) -> str:
    """`text`, unless it holds NUL characters, as a binary file does: UsageError then, in which `what` is its name."""
    if "\0" in text:
        raise UsageError(
            f"{what} holds NUL characters: it is not text",
            kind=Kind.NOT_TEXT,
        )
    return text


def _encoding(content: bytes) -> tuple[bytes, str]:
    """The byte order mark at the beginning of `content`, and the encoding it stands for; UTF-8 without one."""
    return next(((mark, encoding) for mark, encoding in _MARKS if content.startswith(mark)), (b"", "UTF-8"))


def _is_ready(seconds: float | None) -> bool:
    """Wait until there is something to read, or the end, for so many seconds at most."""
    try:
        return bool(select.select([0], [], [], seconds)[0])
    except (OSError, ValueError):
        return True  # What cannot be waited for (Windows), or not be read: reading it says so.
