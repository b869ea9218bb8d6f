"""A program in a real pseudo-terminal, with the screen that a person would see.

    with Screen([sys.executable, "-m", "streaming_chat"], env=environment) as screen:
        screen.wait_for("You:")
        screen.line("Hello")
        screen.wait_for(re.compile(r"first token: \\d"))
        screen.key("ctrl-d")
        assert screen.wait_for_exit() == 0
    assert screen.tty_attributes() == screen.tty_attributes_at_start  # also possible after the end

Three parts: a *keeper* process plays the shell's part (see `_KEEPER`), one thread owns the terminal's outer end (reads,
draws, answers, writes what the test types), and `Terminal` draws. All waiting is on a condition variable that is
notified after every read. The clock is `time.perf_counter`. Linux only.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import marshal
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyte
from pyte import modes
from pyte.screens import Char, StaticDefaultDict
from wcwidth import wcwidth

T = TypeVar("T")

Row = StaticDefaultDict[int, Char]

# When the leader of a terminal's session ends, the system hangs the terminal up and resets its modes: a test that then
# looks whether a program left the modes as it found them would always succeed. So the leader is a small process that
# outlives the program, as a shell does. Like a shell it starts the program in a process group of its own, in the
# foreground, with default signals (whoever ran pytest may have had SIGINT ignored). It is started without preexec_fn,
# which is unsafe beside threads and a warning from Python 3.12 on. The answers are the program's id and later its exit
# status; the program is reaped only at the end, so that until then its id cannot belong to anyone else.
_KEEPER = """\
import fcntl, marshal, os, signal, sys, termios

control = int(sys.argv[1])
with open(control, "rb", closefd=False) as file:
    argv, environment = marshal.load(file)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # tcsetpgrp() from the background would stop its caller.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
program = os.fork()
if not program:
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for number in (signal.SIGTTOU, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
            signal.signal(number, signal.SIG_DFL)
        os.write(control, b"%d\\n" % os.getpid())
        os.set_inheritable(control, False)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}".encode())
    os._exit(127)
ended = os.waitid(os.P_PID, program, os.WEXITED | os.WNOWAIT)
os.write(control, b"%d\\n" % (ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status))
os.read(control, 1)
os._exit(0)  # Faster than the end of an interpreter.
"""

KEYS = {
    "alt-enter": "\x1b\r",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "down": "\x1b[B",
    "end": "\x1b[F",
    "enter": "\r",
    "escape": "\x1b",
    "home": "\x1b[H",
    "insert": "\x1b[2~",
    "left": "\x1b[D",
    "page-down": "\x1b[6~",
    "page-up": "\x1b[5~",
    "right": "\x1b[C",
    "shift-tab": "\x1b[Z",
    "space": " ",
    "tab": "\t",
    "up": "\x1b[A",
    "ctrl-left": "\x1b[1;5D",
    "ctrl-right": "\x1b[1;5C",
    "ctrl-\\": "\x1c",
    **{f"ctrl-{chr(code + 0x60)}": chr(code) for code in range(1, 27)},
}
"""What a terminal sends for a key; `alt-x` is escape and x."""

_BRACKETED_PASTE = 2004 << 5  # pyte keeps private modes shifted.


class Terminal(pyte.Screen):
    """pyte's screen with a scrollback, and without its differences to real terminals that matter here.

    The scrollback is kept here and not in `pyte.HistoryScreen`, which wraps every event in two more calls and counts
    rows that a scrolling region lost. Weak spots: the alternate screen is drawn over the main one, a resize does not
    re-wrap, and the width of an emoji sequence is the sum of its parts.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.scrollback: list[Row] = []
        self.replies: list[str] = []
        self._scrollback_text: list[str] = []
        self._screen_text: list[str] = [""] * lines
        self._stream: pyte.Stream | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        super().__init__(columns, lines)
        self._stream = pyte.Stream(self)

    def feed(self, data: bytes) -> None:
        """Draw."""
        assert self._stream is not None
        self._stream.feed(self._decoder.decode(data))

    def rows_text(self, since: int = 0) -> list[str]:
        """Return the rows of scrollback (from `since` on) and screen as text, without spaces at their ends."""
        for y in self.dirty:
            if y < self.lines:
                self._screen_text[y] = _row_text(self.buffer[y])
        self.dirty.clear()
        for row in self.scrollback[len(self._scrollback_text) :]:
            self._scrollback_text.append(_row_text(row))
        return self._scrollback_text[since:] + self._screen_text

    def row(self, y: int) -> Row:
        """Return a row; those of the scrollback count from -1 upwards."""
        return self.buffer[y] if y >= 0 else self.scrollback[y]

    def draw(self, data: str) -> None:
        """Draw text; pyte drops the rest of a run after a joiner, and half of a wide character at the right margin."""
        if data.isascii():
            super().draw(data)
            return
        for char in data:
            width = wcwidth(char)
            if width > 0:
                if width == 2 and self.cursor.x == self.columns - 1 and modes.DECAWM in self.mode:
                    self.cursor.x = self.columns
                super().draw(char)
            elif width == 0 and self.cursor.x:
                line = self.buffer[self.cursor.y]
                x = self.cursor.x - (2 if self.cursor.x > 1 and not line[self.cursor.x - 1].data else 1)
                line[x] = line[x]._replace(data=unicodedata.normalize("NFC", line[x].data + char))
                self.dirty.add(self.cursor.y)

    def index(self) -> None:
        """Go down a line; a line that leaves at the very top goes into the scrollback."""
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom and top == 0:
            self.scrollback.append(self.buffer[0])
        super().index()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        """Erase; 3 means the scrollback alone."""
        if how == 3:
            self.scrollback.clear()
            self._scrollback_text.clear()
        else:
            super().erase_in_display(how, *args, **kwargs)

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """Set colours; a private sequence (key reporting) that ends in m is none."""
        if not private:
            super().select_graphic_rendition(*attrs)

    def report_device_status(self, mode: int, **kwargs: Any) -> None:
        """Answer; a cursor behind the last column is in it."""
        if not kwargs.get("private"):
            x, self.cursor.x = self.cursor.x, min(self.cursor.x, self.columns - 1)
            super().report_device_status(mode)
            self.cursor.x = x

    def write_process_input(self, data: str) -> None:
        """Keep an answer for whoever owns the connection to the program."""
        self.replies.append(data)

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size: rows that the cursor needs go into the scrollback, rows under it get lost."""
        lines, columns = lines or self.lines, columns or self.columns
        surplus = max(0, self.cursor.y - lines + 1)
        rows = [self.buffer[y] for y in range(self.lines)]
        self.scrollback += rows[:surplus]
        self.buffer.clear()
        self.buffer.update(enumerate(rows[surplus : surplus + lines]))
        for row in self.buffer.values():
            for x in [x for x in row if x >= columns]:
                del row[x]
        self.tabstops.update(range(8, columns, 8))
        self.lines, self.columns = lines, columns
        self.margins = None
        self.cursor.y -= surplus
        self.cursor.x = min(self.cursor.x, columns - 1)
        self._screen_text = [""] * lines
        self.dirty.update(range(lines))


def _row_text(row: Row) -> str:
    # A wide character is followed by an empty cell.
    return "".join([row[x].data for x in range(max(row) + 1)]).rstrip() if row else ""


def _check_wanted(wanted: str | re.Pattern[str]) -> None:
    if isinstance(wanted, str) and wanted.endswith(" "):
        raise ValueError(f"{wanted!r} ends in a space: rows have none at their ends")


@dataclass(frozen=True)
class _Size:
    columns: int
    lines: int


class Screen:
    """A program in a pseudo-terminal of its own, as the foreground job of its own session.

    `env` is the program's whole environment (None: this process's, without LINES and COLUMNS, which would hide the real
    size); TERM is xterm-256color unless `env` says otherwise. A program that cannot be started has the status 127 and
    leaves the reason on the screen, as in a shell. Keys typed before the program reads them wait in the terminal.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        columns: int = 80,
        lines: int = 24,
    ) -> None:
        self._argv = [os.fspath(part) for part in argv]
        inherited = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        environment = {"TERM": "xterm-256color", **env} if env is not None else {**inherited, "TERM": "xterm-256color"}
        self._start_size = _Size(columns, lines)
        self._terminal = Terminal(columns, lines)
        self._log: list[tuple[float, bytes | _Size]] = []
        self._outbox = bytearray()
        self._status: int | None = None
        self._broken: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._outer, self._inner = os.openpty()
        self._wake, self._waker = os.pipe()
        for fd in (self._outer, self._wake, self._waker):
            os.set_blocking(fd, False)
        self._set_window(columns, lines)
        self._attributes: list[Any] | None = None
        self.tty_attributes_at_start = self.tty_attributes()
        """The terminal's modes before the program was started."""
        self._control, theirs = socket.socketpair()
        self._answers = self._control.makefile("rb", buffering=0)  # Unbuffered: the descriptor is polled as well.
        try:
            with theirs:
                self._keeper = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _KEEPER, str(theirs.fileno())],
                    stdin=self._inner,
                    stdout=self._inner,
                    stderr=self._inner,
                    cwd=cwd,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:  # No such folder, for one.
            self._close_files()
            raise
        self._control.sendall(marshal.dumps((self._argv, environment)))
        self.pid = int(self._answers.readline())
        """The program's process id, which is also its process group's."""
        self._thread = threading.Thread(target=self._run, name="test screen", daemon=True)
        self._thread.start()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Typing -----------------------------------------------------------------------------------------------------------

    def send(self, text: str | bytes) -> None:
        """Type; returns at once, the bytes follow as fast as the terminal takes them."""
        assert not self._closed, "the screen is closed"
        with self._changed:
            self._outbox += text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        self._wake_up()

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(text + "\r")

    def key(self, name: str) -> None:
        """Press a key: a name from `KEYS`, or `alt-` and a character."""
        self.send(KEYS[name] if name in KEYS else "\x1b" + name.removeprefix("alt-"))

    def paste(self, text: str) -> None:
        """Paste: line ends become carriage returns, and brackets are put around if the program asked for them."""
        with self._changed:
            bracketed = _BRACKETED_PASTE in self._terminal.mode
        text = text.replace("\r\n", "\r").replace("\n", "\r")
        self.send(f"\x1b[200~{text}\x1b[201~" if bracketed else text)

    def resize(self, columns: int, lines: int) -> None:
        """Change the window's size; the program gets SIGWINCH."""
        with self._changed:
            self._log.append((time.perf_counter(), _Size(columns, lines)))
            self._terminal.resize(lines, columns)
            self._set_window(columns, lines)
            self._changed.notify_all()

    # Looking ----------------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """Scrollback and screen, without spaces at the ends of rows and without empty rows at the end."""
        with self._changed:
            self._check()
            return "\n".join(self._terminal.rows_text()).rstrip("\n")

    @property
    def display(self) -> list[str]:
        """The rows of the screen alone, without spaces at their ends."""
        with self._changed:
            self._check()
            return self._terminal.rows_text()[-self._terminal.lines :]

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the cursor, from 0; the column is the screen's width after a full row."""
        with self._changed:
            return self._terminal.cursor.y, self._terminal.cursor.x

    @property
    def cursor_hidden(self) -> bool:
        """Whether the program has hidden the cursor."""
        with self._changed:
            return self._terminal.cursor.hidden

    @property
    def reads(self) -> list[tuple[float, bytes]]:
        """All that was read from the program, with the time of each read."""
        with self._changed:
            return [(at, entry) for at, entry in self._log if isinstance(entry, bytes)]

    @property
    def raw(self) -> bytes:
        """All bytes that the program wrote (and the terminal's echo)."""
        return b"".join(data for _, data in self.reads)

    def attributes_at(self, row: int, column: int) -> Char:
        """Return a cell: `.data .fg .bg .bold .italics .underscore .strikethrough .reverse`.

        Row 0 is the first of the screen, row -1 the last of the scrollback.
        """
        with self._changed:
            return self._terminal.row(row)[column]

    def attributes_of(self, text: str) -> Char:
        """Return the cell in which the last appearance of a text on the screen begins."""
        with self._changed:
            self._check()
            for y, row in reversed(list(enumerate(self._terminal.rows_text()[-self._terminal.lines :]))):
                if (start := row.rfind(text)) >= 0:
                    column = 0
                    cells = self._terminal.buffer[y]
                    while start > 0:
                        start -= len(cells[column].data)
                        column += 1
                    return cells[column]
        raise AssertionError(f"{text!r} is not on the screen:\n{self.drawing()}")

    def first_seen(self, text: str) -> float:
        """Return when the screen (or its scrollback) first contained a text: the time of the read that completed it.

        Nothing is looked for while the program runs, which would cost the time that is measured: the record is played
        again on a second terminal. What one read both drew and erased was never seen.
        """
        _check_wanted(text)
        terminal = Terminal(self._start_size.columns, self._start_size.lines)
        overlap = text.count("\n")
        with self._changed:
            log = list(self._log)
        for at, entry in log:
            before = max(0, len(terminal.scrollback) - overlap)
            if isinstance(entry, _Size):
                terminal.resize(entry.lines, entry.columns)
            else:
                terminal.feed(entry)
            if text in "\n".join(terminal.rows_text(min(before, len(terminal.scrollback)))):
                return at
        raise AssertionError(f"{text!r} was never on the screen:\n{self.drawing()}")

    def drawing(self) -> str:
        """Return a picture of the screen for messages."""
        with self._changed:
            rows = self._terminal.rows_text()
            frame = "-" * self._terminal.columns
            state = "running" if self._status is None else f"ended with {self._status}"
            cursor = self._terminal.cursor
            return "\n".join(
                [f"+{frame}+", *(f"|{row}" for row in rows), f"+{frame}+", f"cursor {cursor.y},{cursor.x}; {state}"]
            )

    def tty_attributes(self) -> list[Any]:
        """Return the terminal's modes as `termios.tcgetattr` does; after `close`, what they were then."""
        return termios.tcgetattr(self._inner) if self._attributes is None else self._attributes

    def set_tty_attributes(self, attributes: list[Any]) -> None:
        """Set the terminal's modes, as another program would."""
        termios.tcsetattr(self._inner, termios.TCSANOW, attributes)

    def stop_output(self) -> None:
        """Let the terminal take nothing, as Ctrl-S does."""
        termios.tcflow(self._inner, termios.TCOOFF)

    def resume_output(self) -> None:
        """Let it take what comes again, as Ctrl-Q does."""
        termios.tcflow(self._inner, termios.TCOON)

    # Waiting ----------------------------------------------------------------------------------------------------------

    def wait_until(self, condition: Callable[[], T], timeout: float = 60.0, what: str = "it") -> T:
        """Wait until a condition is true, and return what it returned; it is tried after every read.

        Fails at once when the program has ended and all it wrote has been drawn.
        """
        deadline = time.perf_counter() + timeout
        with self._changed:
            while True:
                self._check()
                if result := condition():
                    return result
                left = deadline - time.perf_counter()
                if self._status is not None or left <= 0 or self._closed:
                    raise AssertionError(f"waited {timeout} s for {what} in vain:\n{self.drawing()}")
                self._changed.wait(left)

    def wait_for(
        self, wanted: str | re.Pattern[str], timeout: float = 60.0, after: re.Match[str] | int | None = None
    ) -> re.Match[str]:
        """Wait until `text` contains a text or a pattern, and return the match.

        With `after`, an earlier match or a position in `text` (such as `len(screen.text)`), only what comes behind it
        counts.
        """
        _check_wanted(wanted)
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        start = after.end() if isinstance(after, re.Match) else after or 0
        found = self.wait_until(lambda: pattern.search(self.text, start), timeout, repr(wanted))
        assert found is not None
        return found

    def wait_for_exit(self, timeout: float = 60.0) -> int:
        """Wait until the program has ended and its output is drawn, and return its exit status.

        A program ended by signal n has the status -n (a shell would show 128 + n); one that catches Ctrl-C and ends by
        itself with 130 has the status 130.
        """
        with self._changed:
            assert self._changed.wait_for(lambda: self._status is not None, timeout), (
                f"still running after {timeout} s:\n{self.drawing()}"
            )
            assert self._status is not None
            return self._status

    # The end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill the program with its process group and give everything back; never hangs."""
        if self._closed:
            return
        self._closed = True
        groups = {self.pid}
        with contextlib.suppress(OSError):
            # A program that is a shell itself may have put another group into the foreground.
            groups.add(os.tcgetpgrp(self._outer))
        groups -= {self._keeper.pid, 0}
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._wake_up()
        self._thread.join()
        self._attributes = self.tty_attributes()
        self._control.shutdown(socket.SHUT_RDWR)  # The keeper ends.
        try:
            self._keeper.wait(5)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._close_files()
        with self._changed:
            self._changed.notify_all()

    def _close_files(self) -> None:
        self._answers.close()
        self._control.close()
        for fd in (self._outer, self._inner, self._wake, self._waker):
            os.close(fd)

    # The thread that owns the terminal's outer end -------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while not self._closed:
            with self._changed:
                typing = bool(self._outbox)
            poll.register(self._outer, select.POLLIN | (select.POLLOUT if typing else 0))
            ready = dict(poll.poll())
            if self._wake in ready:
                os.read(self._wake, 4096)
            if ready.get(self._outer, 0) & select.POLLIN:
                self._read()
            if ready.get(self._outer, 0) & select.POLLOUT:
                self._write()
            if self._control.fileno() in ready:
                poll.unregister(self._control)
                # The program has written its last, and poll() flushes what is under way inside the terminal.
                while self._readable():
                    self._read()
                status = self._answers.readline()
                with self._changed:
                    self._status = int(status) if status else -signal.SIGKILL  # Without a status the keeper was killed.
                    self._changed.notify_all()

    def _readable(self) -> bool:
        poll = select.poll()
        poll.register(self._outer, select.POLLIN)
        return bool(poll.poll(0))

    def _read(self) -> None:
        data = os.read(self._outer, 1 << 16)
        at = time.perf_counter()
        with self._changed:
            self._log.append((at, data))
            try:
                self._terminal.feed(data)
            except Exception as error:  # noqa: BLE001 # Given to the test by _check().
                self._broken = self._broken or error
            self._outbox += "".join(self._terminal.replies).encode()
            self._terminal.replies.clear()
            self._changed.notify_all()

    def _write(self) -> None:
        with self._changed, contextlib.suppress(BlockingIOError):
            del self._outbox[: os.write(self._outer, self._outbox)]

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # A full pipe wakes as well.
            os.write(self._waker, b".")

    def _set_window(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _check(self) -> None:
        if self._broken is not None:
            raise AssertionError(f"pyte cannot draw what the program wrote: {self._broken!r}") from self._broken
