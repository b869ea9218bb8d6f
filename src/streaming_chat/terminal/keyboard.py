"""What the terminal does with keys: the one place where its settings are changed, and put back.

Rule: they are changed only while this program has the terminal: standard input and standard output are the terminal that
controls it, and the shell has put it into the foreground. With standard output in a pipe, a pager has the terminal; in the
background, whatever is in the foreground has it.

Strategy: nothing is kept longer than needed. Each change begins with a look at the settings in force; of those, what this
program changed is put back to what it found, and all else stays: another program may have set it meanwhile (`stty`, after
a Ctrl-Z). The result counts as found from then on. `signals.terminal_in_order` does the same before a signal stops the
program or ends it where it stands.

Weak spots: SIGKILL and SIGSTOP cannot be handled. A job that a shell moves from the background to the foreground without
stopping it in between is not told, and echoes keys until its next answer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from streaming_chat.terminal.output import Output, in_foreground
from streaming_chat.terminal.signals import terminal_in_order, untorn

#: As `termios.tcgetattr` gives them: four numbers of flags, two speeds, and the list of special characters.
_Settings = list[Any]
_INPUT_FLAGS, _LOCAL_FLAGS, _CHARACTERS = 0, 3, 6

#: Bracketed paste off, the cursor shown: whatever an editor had got to.
_UNDRAWN = b"\x1b[?2004l\x1b[?25h"
_BRACKETED_PASTE = b"\x1b[?2004h"
_NO_STYLE = b"\x1b[0m"


class _Keys(NamedTuple):
    """How keys are treated: the flags that are off then, of input and of the local modes (termios(3))."""

    input: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    #: Keys are read now, which a program in the background may not do.
    is_read: bool = False
    #: A library may change the settings too, and puts them back by itself, unless a signal ends the program.
    is_shared: bool = False


_AS_FOUND = _Keys()
_LINES = _Keys(is_read=True, is_shared=True)
# Without ICANON too: a Ctrl-D would otherwise be eaten by the line discipline.
_SILENT = _Keys(local=("ECHO", "ICANON"))
_QUEUED = _Keys(input=("ICRNL",), local=("ECHO", "ICANON", "ISIG"), is_read=True)
# As prompt_toolkit sets them.
_RAW = _Keys(input=("IXON", "IXOFF", "ICRNL", "INLCR", "IGNCR"), local=("ECHO", "ICANON", "IEXTEN", "ISIG"), is_read=True)


class Keyboard:
    """How the terminal on which `output` is shown treats keys. Where this program does not have it, nothing happens."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._keys = _AS_FOUND
        #: The settings as they were found, and as they were changed to.
        self._change: tuple[_Settings, _Settings] | None = None
        #: Of a library that shares the terminal: its settings when a signal stopped the program.
        self._librarys: _Settings | None = None
        #: Whether an editor draws on the terminal: it switches bracketed paste on, and hides the cursor now and then.
        self.is_drawn_on = False

    @property
    def is_ours(self) -> bool:
        """Whether this program has the terminal."""
        return bool(in_foreground(0) and self._output.is_in_foreground)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Keys are not echoed into what is being written; they wait for the next prompt. Ctrl-C stays a signal."""
        with terminal_in_order(self._leave, self._take_again), self._treated_as(_SILENT):
            yield

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Keys wait as they are, for a program that reads each by itself; Ctrl-C and Enter are keys like others."""
        with self._treated_as(_QUEUED):
            yield

    @contextmanager
    def raw(self) -> Iterator[None]:
        """Each key is read as it is, by an editor."""
        with self._treated_as(_RAW):
            yield

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Keys are treated as before the program began, for `input()`, which may change that for itself."""
        with self._treated_as(_LINES):
            yield

    @contextmanager
    def as_found(self) -> Iterator[None]:
        """Keys are treated as before the program began, for another program, which has the terminal now."""
        with self._treated_as(_AS_FOUND):
            yield

    def wait_for_foreground(self) -> None:
        """Be stopped, as every program is that wants keys in the background, until the shell gives it the terminal.

        EOFError where no shell can: in a process group that has lost its parent.
        """
        if in_foreground(0) is not False:
            return
        import termios

        while in_foreground(0) is False:
            try:
                # Of a process in the background the system does not even let this happen: it stops its group (SIGTTOU).
                termios.tcdrain(0)
            except termios.error as problem:
                if problem.args[0] == errno.EINTR:
                    continue  # It was stopped, and a handler of SIGCONT has run.
                raise EOFError from None
            if in_foreground(0) is False:
                return  # SIGTTOU is ignored: the program is about to end.

    @contextmanager
    def _treated_as(self, keys: _Keys) -> Iterator[None]:
        before = self._keys
        try:
            self._treat_as(keys)
            yield
        finally:
            self._treat_as(before)

    def _treat_as(self, keys: _Keys) -> None:
        if keys.is_read:
            self.wait_for_foreground()
        was_shared, self._keys = self._keys.is_shared, keys
        # Between the look and the change nothing may stop the program: it could continue in the background.
        with untorn():
            if (now := self._settings()) is None:
                return
            if was_shared and self._change is not None:
                self._change = (self._change[0], now)
            found = now if self._change is None else _carried(now, *reversed(self._change))
            # Noted first: if an interrupt comes in between, the settings in force are not the changed ones, and stay.
            self._change = (found, _with_off(found, keys))
            self._put(now, self._change[1])

    def _leave(self) -> None:
        """A signal is about to stop the program, or to end it: leave the terminal as it was found."""
        keys = self._keys
        if keys is _AS_FOUND or not self.is_ours:
            return
        if self._output.has_color:
            self._output.write_unless_stuck(_NO_STYLE)
        if (self.is_drawn_on or keys.is_shared) and os.environ.get("TERM") != "dumb":
            self._output.write_unless_stuck(_UNDRAWN + (b"\r\n" if self.is_drawn_on else b""))
        self._librarys = self._settings() if keys.is_shared else None
        self._treat_as(_AS_FOUND)
        # What is found afterwards may be the shell's, or another program's.
        self._keys, self._change = keys, None

    def _take_again(self) -> None:
        """The program continues after a stop."""
        keys = self._keys
        if keys is _AS_FOUND or not self.is_ours:
            return
        librarys, self._librarys = self._librarys, None
        if keys.is_shared and librarys is None:
            return  # After a SIGSTOP, the library's settings are not known.
        self._treat_as(keys)
        if self.is_drawn_on:
            self._output.write_unless_stuck(_BRACKETED_PASTE)
        if librarys is not None and self._change is not None and (now := self._settings()) is not None:
            self._put(now, _carried(now, self._change[0], librarys))

    def _settings(self) -> _Settings | None:
        """The terminal's settings; None where this program does not have it."""
        if not self.is_ours:
            return None
        import termios

        try:
            return termios.tcgetattr(0)
        except termios.error:  # It has been closed.
            return None

    def _put(self, now: _Settings, wanted: _Settings) -> None:
        import termios

        if wanted != now:
            # At once: what was typed ahead is kept, and a terminal that takes no output (Ctrl-S) is not waited for.
            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, wanted)


def _with_off(settings: _Settings, keys: _Keys) -> _Settings:
    """`settings` with the flags switched off that are off for `keys`."""
    import termios

    changed = [*settings]
    for place, names in ((_INPUT_FLAGS, keys.input), (_LOCAL_FLAGS, keys.local)):
        for name in names:
            changed[place] &= ~getattr(termios, name)
    if "ICANON" in keys.local and keys.is_read:
        # A key at a time, at once. `stty min 0` would let reads end with nothing, which is the end of the input.
        changed[_CHARACTERS] = [*settings[_CHARACTERS]]
        changed[_CHARACTERS][termios.VMIN] = 1
        changed[_CHARACTERS][termios.VTIME] = 0
    return changed


def _carried(now: _Settings, before: _Settings, after: _Settings) -> _Settings:
    """`now`, with all in which `before` and `after` differ, and that is still as in `before`, made as in `after`."""
    result = [*now]
    for place in range(_LOCAL_FLAGS + 1):
        flags = (before[place] ^ after[place]) & ~(now[place] ^ before[place])
        result[place] = now[place] & ~flags | after[place] & flags
    characters = zip(now[_CHARACTERS], before[_CHARACTERS], after[_CHARACTERS], strict=True)
    # Their form depends on ICANON: number or byte.
    result[_CHARACTERS] = [
        then if _number(first) != _number(then) and _number(one) == _number(first) else one
        for one, first, then in characters
    ]
    return result


def _number(character: int | bytes) -> int:
    return character if isinstance(character, int) else character[0]
