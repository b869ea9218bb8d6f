"""Signals while SQLite works: Ctrl-C and SIGTERM end a query at once, whatever it computes.

Python runs the handlers of signals between two steps of Python code, and SQLite's work is one step. So SQLite calls back now
and then. An exception that a handler raises in there is dropped by the sqlite3 module, which only says "interrupted": it is
kept here, and takes that error's place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Steps of SQLite's machine between two calls: about a millisecond. A thousand would cost a third of its time.
_STEPS: Final = 20_000
#: What SQLite says for SQLITE_INTERRUPT; Python 3.10 gives no codes.
_INTERRUPTED: Final = "interrupted"


def is_interrupt(error: sqlite3.OperationalError) -> bool:
    """Whether a signal made SQLite stop."""
    return str(error) == _INTERRUPTED


class Watch:
    """Lets signals through to one connection's work."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._raised: list[BaseException] = []
        calls = self._calls()
        next(calls)
        connection.set_progress_handler(calls.__next__, _STEPS)

    def _calls(self) -> Iterator[int]:
        """Each call's answer: whether SQLite has to stop.

        A generator, because it is entered inside its `try`: a function would be entered before it, and that is where Python
        looks for signals.
        """
        must_stop = 0
        while True:
            try:
                while True:
                    yield must_stop
                    must_stop = 0
            except GeneratorExit:
                return
            except BaseException as raised:  # noqa: BLE001 # it is raised again by `ended`
                self._raised.append(raised)
                must_stop = 1

    @contextmanager
    def ended(self) -> Iterator[None]:
        """What a signal raised while SQLite worked is raised here. Nothing else interrupts a query."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if not is_interrupt(error):
                raise
            raise (self._raised.pop() if self._raised else KeyboardInterrupt()) from None
