"""The program's outputs: what is written where, and how.

Rule: nothing else writes to standard output or standard error. Nothing here knows what the text means. Text from outside is
sanitised before it gets here, if a terminal will show it.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

from streaming_chat.core.errors import OutputClosed, OutputFailed
from streaming_chat.engine import deadline
from streaming_chat.terminal.signals import is_hurried, must_wait, untorn

#: The styles of this program, as the parameters of SGR (ECMA-48, 8.3.117); colours are of the user's own palette.
STYLES: Mapping[str, str] = {
    "you": "1;32",
    "assistant": "1;36",
    "error": "1;31",
    "hint": "36",
    "notice": "33",
    "dim": "2",
    "bold": "1",
}


#: Seconds that a device which takes nothing is waited for once a signal has come.
_LONGEST_LAST_WORDS = 1.0
#: Milliseconds after which it is asked whether one has.
_A_WHILE = 100


class Output:
    """Standard output or standard error. Every write is flushed: what has arrived is on the screen.

    One that is slow is not waited for inside `patient()`: what it does not take waits, until `take_up` finds the time. One
    that takes nothing does not keep the program from ending when a signal asks for it: what is left is dropped then.
    """

    def __init__(self, stream: BinaryIO | None, *, is_terminal: bool, color: bool) -> None:
        self._stream = stream
        self._number = _file_number(stream)
        #: What the device has not taken yet; None where it is waited for.
        self._backlog: bytearray | None = None
        self._device: int | None = None
        self._is_stuck = False
        self.is_terminal = is_terminal
        self.has_color = color
        #: Whether something was dropped, because a signal came and the device took nothing; since `patient` began.
        self.is_cut = False

    @classmethod
    def of(cls, name: str, *, color: bool) -> Output:
        """The output of the process that `sys` calls `name`. To one that was closed (`>&-`) nothing can be written."""
        text_stream = getattr(sys, name)
        if text_stream is None:
            return cls(None, is_terminal=False, color=False)
        is_terminal = text_stream.isatty()
        return cls(text_stream.buffer, is_terminal=is_terminal, color=color and is_terminal)

    def write(self, text: str) -> None:
        """Write and flush. OutputClosed when nobody reads any more, OutputFailed when it cannot be written."""
        if not text:
            return
        self._put(text.encode(errors="replace"))

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Do not wait for a slow device inside; all that is left then is written at the end."""
        self.is_cut = False
        self._device = self._without_waiting()
        if self._device is None:
            yield
            return
        self._backlog = bytearray()
        try:
            yield
        finally:
            device = self._device
            try:
                self.settle()
            finally:
                self._backlog = self._device = None
                os.close(device)

    def settle(self) -> None:
        """Write all that waits, however long that takes."""
        if self._backlog and self._device is not None:
            try:
                with self._failures_told():
                    self._write_out(self._device, self._backlog)
            finally:
                self.is_cut = self.is_cut or bool(self._backlog)
                self._backlog.clear()

    @property
    def is_in_foreground(self) -> bool | None:
        """As `in_foreground` tells it of a terminal; None for everything else."""
        return in_foreground(self._number) if self.is_terminal and self._number is not None else None

    def write_unless_stuck(self, data: bytes) -> None:
        """Write a few bytes past all that waits, if the device takes them at once; for a signal's handler."""
        if self._number is None:
            return
        with suppress(OSError, ValueError):
            if select.select([], [self._number], [], 0)[1]:
                os.write(self._number, data)

    @property
    def is_behind(self) -> bool:
        """Whether the device has yet to take something. For any thread."""
        return bool(self._backlog)

    def is_same_terminal(self, other: Output) -> bool:
        """Whether both are one terminal: then what is written to one of them has to wait for the other."""
        if self._number is None or other._number is None or not (self.is_terminal and other.is_terminal):
            return False
        return os.fstat(self._number).st_rdev == os.fstat(other._number).st_rdev

    def write_if_ready(self, text: str) -> bool:
        """Write a few characters if nobody has to wait for that; whether they were. For any thread."""
        if self._stream is None or self._backlog:
            return False
        if self._number is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self._number, select.POLLOUT)
            if not poll.poll(0):
                return False
        self.write(text)
        return True

    def take_up(self, source: int) -> None:
        """Write what waits, for as long as nothing is to be read from the file number `source`."""
        if not self._backlog or self._device is None:
            return
        both = select.poll()
        both.register(source, select.POLLIN)
        both.register(self._device, select.POLLOUT)
        while self._backlog:
            left = deadline.left()
            ready = dict(both.poll(None if left is None else left * 1000))
            if source in ready or not ready:
                return
            with self._failures_told():
                self._write_some(self._device, self._backlog)

    def _without_waiting(self) -> int | None:
        """The device once more, to be written to without waiting; None where there is no such thing.

        Opened anew, since others share the file that is open: a shell's would not wait any more, either.
        """
        number = self._number
        if number is None or not hasattr(select, "poll"):
            return None
        try:
            if not self.is_terminal and not stat.S_ISFIFO(os.fstat(number).st_mode):
                return None  # A file is never slow, and opened anew it would be written to in another place.
            name = os.ttyname(number) if self.is_terminal else f"/proc/self/fd/{number}"
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return None

    def _put(self, data: bytes) -> None:
        if self._stream is None:
            raise OutputFailed("it is closed")
        with self._failures_told():
            if self._backlog is not None and self._device is not None:
                self._backlog += data
                self._write_some(self._device, self._backlog)
            elif must_wait() and (device := self._without_waiting()) is not None:
                try:
                    self._write_out(device, bytearray(data))
                finally:
                    os.close(device)
            elif self._number is None:
                self._stream.write(data)
                self._stream.flush()
            else:
                self._stream.flush()
                _write_waiting(self._number, data)

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._give_up()
            raise OutputClosed from None
        except OSError as problem:
            self._give_up()
            raise OutputFailed(problem.strerror or "unknown reason") from None

    def _write_some(self, device: int, data: bytearray) -> None:
        """Write as much of `data` as the device takes."""
        # What it has taken is not offered again, whatever signal comes.
        with untorn(), suppress(BlockingIOError):
            while data:
                del data[: os.write(device, data)]
                self._is_stuck = False

    def _write_out(self, device: int, data: bytearray) -> None:
        """Write all of `data`, unless a signal has come and the device takes nothing."""
        poll = select.poll()
        poll.register(device, select.POLLOUT)
        deadline = None
        while True:
            self._write_some(device, data)
            if not data:
                return
            if is_hurried():
                deadline = deadline or time.monotonic() + _LONGEST_LAST_WORDS
                self._is_stuck = self._is_stuck or time.monotonic() >= deadline
                if self._is_stuck:
                    return
            poll.poll(_A_WHILE)

    def styled(self, style: str, text: str) -> str:
        """`text` in one of `STYLES`, where this output shows colour; always reset at its end."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.has_color else text

    def _give_up(self) -> None:
        # What is still in the buffer would be tried again when the interpreter closes the stream, and fail there, loudly.
        if self._stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def _write_waiting(number: int, data: bytes) -> None:
    """Write `data`, however long that takes. What a signal keeps from being written is dropped, not kept in a buffer."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:  # Somebody who shares the file has made it so.
            select.select([], [number], [])


def _file_number(stream: BinaryIO | None) -> int | None:
    """None where somebody reads what is written in this process."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def text_stream(name: str) -> TextIO:
    """The stream that `sys` calls `name`, for a library that draws on a terminal by itself."""
    stream: TextIO = getattr(sys, name)
    return stream


def in_foreground(number: int) -> bool | None:
    """Whether the shell has given the terminal with this file number to the process group that this program is in.

    None where `number` is not the terminal that controls this process, or the system has no such thing.
    """
    if not hasattr(os, "tcgetpgrp"):  # Windows
        return None
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:
        return None


def color_wanted(environment: Mapping[str, str], *, no_color: bool) -> bool:
    """Whether a terminal may be sent colours at all."""
    return not no_color and environment.get("TERM", "") != "dumb"
