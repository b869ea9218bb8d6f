"""What Ctrl-C, SIGTERM and SIGHUP do."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def end_on_termination() -> None:
    """Let SIGTERM, and SIGHUP when the terminal is closed, end the program by way of every `finally`: status 128 + n."""

    def leave(number: int, _frame: FrameType | None) -> None:
        # SystemExit and not an exception of ours: no `except Exception` on the way, the SDK's least of all, takes it.
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` asks for SIGHUP to be ignored, and a program keeps to that.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """The first Ctrl-C is a KeyboardInterrupt; further ones do nothing until this is left.

    So that an impatient second one does not keep an interrupted answer from being closed, marked and saved.
    """

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _nothing)
        raise KeyboardInterrupt

    with _handled_by(first):
        yield


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Ctrl-C does nothing, except inside `interruptible()` and `one_interrupt()`."""
    with _handled_by(_nothing):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, each time."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    previous = signal.getsignal(signal.SIGINT)
    if previous in (signal.SIG_IGN, None):
        yield  # Somebody wants Ctrl-C ignored: `nohup`, or a shell's background job.
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
