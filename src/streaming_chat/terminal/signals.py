"""What Ctrl-C, SIGTERM and SIGHUP do, and how the terminal is left when another signal stops or ends the program."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Seconds that the program may take to end once a signal has asked for it.
_LONGEST_END = 3.0

#: Signals that end a program where it stands, unless it handles them. Not those of a fault (SIGSEGV): after its handler,
#: the fault would come again.
_SUDDEN = (
    *("SIGQUIT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGTRAP", "SIGSYS"),
    *("SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT"),
)


class _State:
    """What signals have done so far. Python runs handlers in the main thread alone."""

    #: The signal by which the program is leaving: the first one has said how.
    leaving: int | None = None
    #: Something must not be torn: a signal that ends the program waits.
    finishing = False
    #: The signal that waits.
    pending: int | None = None
    #: Something of a moment must be done whole: every signal waits.
    untorn = False
    #: A Ctrl-C came during it.
    interrupted = False
    #: A Ctrl-C has come in this answer.
    hurried = False
    #: When a signal first asked for the end of the program, on the monotonic clock.
    asked_at: float | None = None
    #: A signal that stops the program or ends it where it stands came during it.
    sudden: int | None = None
    #: The program is about to be stopped, or has not taken the terminal again yet.
    stopping = False
    #: Leaves the terminal as it was found, and takes it again; None while nothing of it is changed.
    leave_terminal: Callable[[], None] | None = None
    take_terminal: Callable[[], None] | None = None


def end_on_termination() -> None:
    """Let SIGTERM, and SIGHUP when the terminal is closed, end the program by way of every `finally`: status 128 + n."""

    def leave(number: int, _frame: FrameType | None) -> None:
        _State.asked_at = _State.asked_at or time.monotonic()
        # The last words, written from the background to a terminal with `stty tostop`, would stop the program once more.
        if hasattr(signal, "SIGTTOU"):
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        if _State.leaving:
            return
        if _State.finishing or _State.untorn:
            _State.pending = _State.pending or number
            return
        _State.leaving = number
        # What is torn by leaving in the middle of something (an event loop that is being made) is nobody's concern.
        sys.unraisablehook = _nothing_unraisable
        # SystemExit and not an exception of ours: no `except Exception` on the way, the SDK's least of all, takes it.
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` asks for SIGHUP to be ignored, and a program keeps to that.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program where it stands: in an import, a SystemExit can get lost."""

    def leave(number: int, _frame: FrameType | None) -> None:
        _exit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    found = {number: signal.getsignal(number) for number in numbers}
    for number, handler in found.items():
        if callable(handler):  # Not one that is ignored.
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


@contextmanager
def terminal_in_order(leave: Callable[[], None], take: Callable[[], None]) -> Iterator[None]:
    """`leave` is called before a signal stops the program or ends it where it stands, `take` when it continues after a stop.

    For a terminal whose settings are changed. Both run in the main thread, and may be called several times. The program is
    stopped and ended by the signal itself all the same: the shell sees what it is used to, and the system dumps the core if
    it is set to. What is ignored stays ignored. In a thread other than the main one nothing happens: no signal goes there.
    """
    if threading.current_thread() is not threading.main_thread() or _State.leave_terminal is not None:
        yield
        return
    names = [*_SUDDEN, "SIGTSTP"]
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    found = {number: signal.SIG_DFL for number in numbers if signal.getsignal(number) == signal.SIG_DFL}
    _State.leave_terminal, _State.take_terminal = leave, take
    try:
        for number in found:
            signal.signal(number, _stop_or_end)
        with _continued(take):
            yield
    finally:
        for number in found:
            signal.signal(number, signal.SIG_DFL)
        _State.leave_terminal = _State.take_terminal = None


@contextmanager
def _continued(take: Callable[[], None]) -> Iterator[None]:
    """After a SIGSTOP, which no handler sees, there is a SIGCONT too: the shell has had the terminal meanwhile."""
    number = getattr(signal, "SIGCONT", None)
    if number is None:
        yield
        return

    def continued(_number: int, _frame: FrameType | None) -> None:
        # Whoever stopped it by a handler takes the terminal himself, once the handler is there again.
        if not _State.stopping:
            take()

    found = signal.signal(number, continued)
    try:
        yield
    finally:
        signal.signal(number, found)


def _stop_or_end(number: int, _frame: FrameType | None = None) -> None:
    if _State.untorn:
        _State.sudden = number
        return
    take = _State.take_terminal
    if _State.leave_terminal is not None:
        _State.leave_terminal()
    handler = signal.signal(number, signal.SIG_DFL)
    _State.stopping = True
    try:
        # To this very thread: with `os.kill` another one may take it, and this one would go on for a moment.
        signal.raise_signal(number)
    finally:
        # It was stopped, and continues; or it was not, as no shell could have continued it (an orphaned process group).
        signal.signal(number, handler)
        _State.stopping = False
        if take is not None:
            take()


def _exit(status: int) -> NoReturn:
    """End where the program stands, with the terminal as it was found."""
    if _State.leave_terminal is not None:
        _State.leave_terminal()
    os._exit(status)


def status_of_signal() -> int | None:
    """128 + n once a signal has ended the program, however the way out went: a closed terminal takes no last words."""
    return None if _State.leaving is None else 128 + _State.leaving


@contextmanager
def one_interrupt() -> Iterator[None]:
    """The first Ctrl-C is a KeyboardInterrupt; further ones do nothing until this is left.

    So that an impatient second one does not keep an interrupted answer from being closed, marked and saved.
    """

    def first(_number: int, _frame: FrameType | None) -> None:
        if _State.untorn:
            _State.interrupted = True
        else:
            _interrupt()

    try:
        with _handled_by(first):
            yield
    finally:
        _State.finishing = _State.hurried = False
    _leave_if_asked()


def _interrupt() -> None:
    _State.hurried = True
    if not _State.finishing and not _State.leaving:
        # A SIGTERM right behind it waits too, until the answer has been marked and saved.
        _State.finishing = True
        raise KeyboardInterrupt


@contextmanager
def untorn() -> Iterator[None]:
    """Signals that end an answer or the program wait until this is left: for a moment, they are not lost.

    For what has to be done and noted as done: an exception from a signal may come between any two calls.
    """
    if _State.untorn or threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.untorn = True
    try:
        yield
    finally:
        _State.untorn = False
        interrupted, _State.interrupted = _State.interrupted, False
        sudden, _State.sudden = _State.sudden, None
        if sudden is not None:
            _stop_or_end(sudden)
    if interrupted:
        _interrupt()
    if not _State.finishing:
        _leave_if_asked()


@contextmanager
def deferred() -> Iterator[None]:
    """Signals wait until this is left. In a thread other than the main one nothing happens, as signals do not go there."""
    if threading.current_thread() is not threading.main_thread() or _State.finishing:
        yield
        return
    _State.finishing = True
    try:
        yield
    finally:
        _State.finishing = False
    _leave_if_asked()


def must_wait() -> bool:
    """Whether a signal cannot interrupt what is being done now."""
    return _State.finishing


def is_hurried() -> bool:
    """Whether a signal has asked for the end of the answer, or of the program: nobody is to be waited for much longer."""
    return _State.hurried or _State.leaving is not None or _State.pending is not None


def _leave_if_asked() -> None:
    number, _State.pending = _State.pending, None
    if number is not None:
        _State.leaving = number
        raise SystemExit(128 + number)


@contextmanager
def heeded_in_time() -> Iterator[None]:
    """Signals are heeded at any time, half a second late at most: while data, a key or a lock is waited for, too.

    Only a signal that comes during such a wait interrupts it. One that comes right before, while the interpreter's lock
    is given up for another thread, would be heeded when the wait is over (beside two busy programs, one out of seven
    that came with the first token). So every wait is interrupted now and then.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    handler = signal.signal(signal.SIGALRM, _end_if_overdue)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


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


def _end_if_overdue(_number: int, _frame: FrameType | None) -> None:
    """Whoever asked for the end gets it, also where a terminal that takes nothing is written to without end."""
    if _State.asked_at is not None and time.monotonic() - _State.asked_at > _LONGEST_END:
        number = _State.leaving or _State.pending or signal.SIGTERM
        _exit(128 + number)


def _nothing_unraisable(_what: object) -> None:
    pass


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
