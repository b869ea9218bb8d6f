"""What Ctrl-C, SIGTERM and SIGHUP do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
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
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # Somebody wants Ctrl-C ignored: `nohup`, or a shell's background job.
        return

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: None)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
