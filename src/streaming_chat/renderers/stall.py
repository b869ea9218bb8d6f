"""The live hint of a stall: `no data for 12s · Ctrl-C ends the answer`, at the cursor, until the next data arrives.

Strategy: a thread draws the hint and takes the cursor back at once, in one write, so the cursor always stands where the
text goes on, and what takes the hint away does no harm when it is written twice. That is what a Ctrl-C needs, which may
interrupt the main thread after any of its steps; the drawing thread gets none.

Rule: nothing is drawn between `make_way`, before a text is written, and `handle`, when all of an event has been shown.
Whoever is interrupted in between leaves the hint switched off.

All that is written besides the words, and SGR 2 and 0 around them where there is colour (`Output.styled`):

    CR         to the start of the row, where the line is empty
    CSI n D    cursor left by the length of the hint, elsewhere
    CSI K      erase to the end of the row

They cannot go up a row, so the hint is only shown where it surely fits into the rest of the row.

Weak spots: a chunk that brings nothing (a keep-alive, an empty delta) makes no event, and the count goes on. A terminal
made narrower while a hint is shown may keep a part of it. A notice that another thread writes meanwhile overwrites it.
"""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress

from streaming_chat.core.errors import OutputClosed
from streaming_chat.core.events import Event, Finished, Retrying, Sent
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import Display
from streaming_chat.terminal.output import Output

#: Seconds without data before the hint. A first token rarely takes longer, and a person begins to doubt at about ten
#: (Nielsen, Usability Engineering, 1993, chapter 5).
PATIENCE = 10.0

_LEFT = "\x1b[{}D"
_ERASE = "\x1b[K"


def terminal_columns() -> int:
    """The width of the terminal that standard output is, now; 0 when it does not say."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


class StallHint(Display):
    """The hint of one turn: a renderer that stands behind the one whose text it must not disturb.

    That one calls `make_way` before each write. `output` is where it writes; `aside` is to be standard error on the same
    terminal, where the hint is drawn: it is not the answer, and nobody is to wait for it. As long as the terminal has yet to
    take some of the answer, there is no silence that anybody sees. Nothing is drawn while `may_draw` says no.
    """

    def __init__(  # noqa: PLR0913 # tests pass in the clock and the terminal
        self,
        output: Output,
        aside: Output,
        *,
        patience: float = PATIENCE,
        tick: float = 1.0,
        columns: Callable[[], int] = terminal_columns,
        clock: Callable[[], float] = time.perf_counter,
        may_draw: Callable[[], bool] = lambda: True,
    ) -> None:
        self._output = output
        self._may_draw = may_draw
        self._aside = aside
        self._patience = patience
        self._tick = tick
        self._columns = columns
        self._clock = clock
        # Plain locks and no Condition or Event: those are written in Python, and a Ctrl-C inside would leave them locked.
        self._lock = threading.Lock()  # Whoever holds it may draw, and change the four below.
        self._since: float | None = None  # When data last arrived; None while nothing may be drawn.
        self._shown = False
        self._line: list[str] = []  # What stands in the line of the cursor, in pieces.
        self._thread: threading.Thread | None = None
        self._over = threading.Lock()  # Released at the end: what the thread sleeps on.
        self._over.acquire()

    def make_way(self, text: str, row: str | None = None) -> None:
        """`text` is about to be written where the cursor is; `row` is what its row says then, where that is known better."""
        with self._lock:
            self._hide()
            if row is not None:
                self._line = [row]
                return
            _, newline, rest = text.rpartition("\n")
            if newline:
                self._line = []
            self._line.append(rest)

    def handle(self, event: Event) -> None:
        """All of `event` has been shown: from now on silence counts, unless the turn waits by itself or is over."""
        with self._lock:
            self._hide()
            if isinstance(event, Finished):
                return
            # The next attempt begins after the delay.
            self._since = self._clock() + (event.delay if isinstance(event, Retrying) else 0.0)
        if isinstance(event, Sent):
            self._thread = threading.Thread(target=self._run, name="stall hint", daemon=True)
            with suppress(RuntimeError):  # No more threads in this process: then there is no hint.
                self._thread.start()

    def end(self, turn: Turn) -> None:  # noqa: ARG002 # the renderers' common face
        """No hint any more."""
        self.close()

    def close(self) -> None:
        """Take the hint away and end the thread. May be called again, above all when it was interrupted."""
        with self._lock:
            self._hide()
        with suppress(RuntimeError):  # It was released before.
            self._over.release()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _hide(self) -> None:
        self._since = None
        if self._shown:
            # With the answer, and in its order: the terminal may be slow.
            self._output.write(_ERASE)
            # Only now: interrupted before, this is done again, and the cursor has not moved.
            self._shown = False

    # The thread -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # While data flows it wakes once in `patience` seconds, and nobody has to wake it but for the end.
        with suppress(OutputClosed):
            while not self._over.acquire(timeout=self._draw_if_due()):
                pass

    def _draw_if_due(self) -> float:
        """Draw the hint if it is time; the seconds until it may be time again."""
        with self._lock:
            since, line = self._since, "".join(self._line)
        if since is None:
            return self._tick
        silence = self._clock() - since
        if self._output.is_behind:
            with self._lock:
                if self._since is since:
                    self._since = self._clock()
            return self._tick
        if silence < self._patience:
            return self._patience - silence
        if not self._may_draw():
            return self._tick
        # Measured without the lock: a line may be long.
        hint = _fitting(int(silence), line, self._columns())
        with self._lock:
            if self._since is since:
                self._draw(hint, at_line_start=not line)
        return self._tick - silence % self._tick

    def _draw(self, hint: str, *, at_line_start: bool) -> None:
        if hint:
            back = "\r" if at_line_start else _LEFT.format(len(hint))
            before = _ERASE if self._shown else ""
            self._shown = True
            self._aside.write_if_ready(before + self._aside.styled("dim", hint) + back)
        elif self._shown:
            self._shown = not self._aside.write_if_ready(_ERASE)


def _fitting(seconds: int, line: str, columns: int) -> str:
    """The longest form of the hint that fits behind `line`; "" when none does."""
    column = most_columns(line, columns)
    if column is None:
        return ""
    short, long = f"no data for {seconds}s", f"no data for {seconds}s · Ctrl-C ends the answer"
    if line:
        # ASCII alone: the way back is counted in columns, and `·` has two on some East Asian terminals.
        short, long = f" {short}", f" {long}".replace("·", "-")
    # The last column stays free: behind a full row, terminals differ in where "left" starts.
    return next((form for form in (long, short) if column + len(form) + (not form.isascii()) < columns), "")


def most_columns(line: str, columns: int) -> int | None:
    """The column that the cursor is in behind `line`, at most; None where the row is not certain.

    Terminals do not agree on every character's width (emoji, marks, ambiguous ones), so each is counted at its widest,
    and a line that has wrapped is only trusted when all its characters are certain.
    """
    if line.isascii() and "\t" not in line:
        return len(line) if len(line) <= columns else (len(line) - 1) % columns + 1
    if len(line) > _LONGEST_LINE or columns < _SHORTEST_ROW:
        return None
    column, certain = 0, True
    for char in line:
        if char == "\t":
            if column == columns:
                return None  # Some terminals wrap first.
            column = min(column // 8 * 8 + 8, columns - 1)
            continue
        width = certain_width(char)
        certain = certain and width is not None
        width = width or 2
        if column + width > columns:
            if not certain:
                return None
            column = 0
        column += width
    return column


#: Longer ones are not measured: a paragraph has a tenth of it, and the interpreter is needed elsewhere.
_LONGEST_LINE = 10_000
#: Nothing is shown in so narrow a terminal.
_SHORTEST_ROW = 16


def certain_width(char: str) -> int | None:
    """1 or 2 where every terminal agrees, else None. No character is wider than 2.

    That is so for letters, digits, punctuation and symbols of the alphabets before Hangul's, and of East Asia's scripts.
    """
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char)[0] in "MC":
        return None
    breadth = unicodedata.east_asian_width(char)
    if char < "\u1100":
        return 1 if breadth in ("N", "Na") else None
    if "\u3001" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3" or "\uff01" <= char <= "\uff60":
        return 2 if breadth in ("W", "F") else None
    return None
