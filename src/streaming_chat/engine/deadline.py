"""The end that the user has set for a turn (`--max-time`), as whoever waits inside it sees it.

Strategy: a context variable, because those who wait (a socket, the resolver, a lock, the pause before a retry) stand below
two libraries that pass on nothing but a time for each single wait. Each thread has its own, and nothing is left of it once
the turn is over: there is no timer that could fire into the next one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import TimedOut

#: The end of a turn on `time.monotonic()`, and how many seconds before it the turn began.
End: TypeAlias = tuple[float, float]

_end: Final[ContextVar[End | None]] = ContextVar("end of the turn", default=None)


def end_of(seconds: float | None) -> End | None:
    """Return the end of a turn that begins now and may take `seconds`; None for no end."""
    return None if seconds is None else (time.monotonic() + seconds, seconds)


@contextmanager
def until(end: End | None) -> Iterator[None]:
    """What waits inside, in this thread, waits until `end` at most; None for no end."""
    token = _end.set(end)
    try:
        yield
    finally:
        _end.reset(token)


def at_most(seconds: float | None) -> AbstractContextManager[None]:
    """What waits inside, in this thread, waits until `seconds` from now at most; None for no end."""
    return until(end_of(seconds))


def left() -> float | None:
    """Seconds until the end, at least 0; None when there is none."""
    end = _end.get()
    return None if end is None else max(0.0, end[0] - time.monotonic())


def capped(seconds: float | None) -> float | None:
    """A wait of `seconds`, or without a limit, as the end allows it. TimedOut when the end has come."""
    rest = left()
    if rest is None:
        return seconds
    if not rest:
        raise out_of_time()
    return rest if seconds is None else min(seconds, rest)


def check() -> None:
    """TimedOut when the end has come."""
    if left() == 0:
        raise out_of_time()


def out_of_time(last: str | None = None) -> TimedOut:
    """The error for a turn that was not over in time. `last` says what came of the attempt before."""
    end = _end.get()
    seconds = "the time allowed" if end is None else f"{end[1]:g} s"
    if last:
        return TimedOut(f"no time for another attempt within {seconds}; {last}", kind=Kind.NO_TIME_TO_RETRY)
    return TimedOut(f"no complete answer within {seconds}", kind=Kind.TIME_LIMIT)
