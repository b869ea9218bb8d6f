"""An interactive shell in a real pseudo-terminal, with job control, in which `ask` is this program.

    with Shell(world, server, "dash") as shell:
        assert shell.run("ask hi > answer.txt; echo $?") == "0"

The shell is the foreground job of its terminal (tests/support/screen.py), and starts jobs of its own as for a person.
Every call of `termios.tcsetattr` in the program is written down (`Shell.changes`), so that a test can tell "never" from
"put back".
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from conftest import KEY, World
from screen import Screen
from server import Server

T = TypeVar("T")

#: Every wait is for an event, and this is how long one may take on a busy machine.
PATIENCE = 60.0

_PROMPT = "READY>"
# After a program that was ended it may stand on the last row of its output.
_AT_PROMPT = re.compile(rf"{_PROMPT}\Z")

#: Run by the interpreter before the program: notes each change of a terminal's settings.
_WITNESS = """\
import os, termios
_set = termios.tcsetattr
def tcsetattr(*arguments):
    with open(os.environ["CHANGES"], "a") as file:
        file.write(f"{os.tcgetpgrp(0) == os.getpgrp()}\\n")
    _set(*arguments)
termios.tcsetattr = tcsetattr
"""

#: As `less` does it: takes the terminal by its own name, sets its modes, waits for a key, and puts them back.
_PAGER = """\
import os, sys, termios
tty = os.open("/dev/tty", os.O_RDWR)
found = termios.tcgetattr(tty)
own = [*found]
own[3] &= ~(termios.ICANON | termios.ECHO)
termios.tcsetattr(tty, termios.TCSADRAIN, own)
os.write(tty, os.read(0, 100) + b"\\r\\n(END)")
while os.read(tty, 1) != b"q":
    pass
# What another program does to the terminal meanwhile is seen here, as it is by less.
spoiled = termios.tcgetattr(tty)[:4] != own[:4]
termios.tcsetattr(tty, termios.TCSADRAIN, found)
os.write(tty, b"\\r\\nSPOILED\\r\\n" if spoiled else b"\\r\\nquit\\r\\n")
"""


class Shell:
    """A shell at its prompt. `ask` asks `server` with a key, `pager` is one like `less`, `py` is this Python."""

    def __init__(self, world: World, server: Server, name: str = "bash", **environment: str) -> None:
        self.folder = world.folder
        self.changes_file = world.folder / "changes.txt"
        programs, first = world.folder / "bin", world.folder / "first"
        programs.mkdir()
        first.mkdir()
        (first / "sitecustomize.py").write_text(_WITNESS)
        (first / "pager.py").write_text(_PAGER)
        _program(programs / "ask", f'PYTHONPATH="{first}" exec "{sys.executable}" -m streaming_chat "$@"')
        _program(programs / "py", f'exec "{sys.executable}" "$@"')
        _program(programs / "pager", f'exec "{sys.executable}" "{first}/pager.py"')
        flags = ["--norc", "--noediting", "-i"] if name == "bash" else ["-i"]
        self.screen: Screen = world.screen(
            program=[shutil.which(name) or name, *flags],
            env={
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_KEY": KEY,
                "CHANGES": str(self.changes_file),
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PS1": f"{_PROMPT} ",
                "ENV": "/dev/null",
                **environment,
            },
            columns=100,
            lines=50,
        )
        self.wait_for_prompt()
        # A core dump is for the system to make, not for the tests' folder.
        self.run("ulimit -c 0")
        self.found = self.screen.tty_attributes()

    @property
    def changes(self) -> list[bool]:
        """For each change of the terminal's settings, whether the program was in the foreground."""
        text = self.changes_file.read_text() if self.changes_file.exists() else ""
        return [line == "True" for line in text.splitlines()]

    def type(self, line: str) -> int:
        """Type a command and Enter; the place in the screen's text after it."""
        start = len(self.screen.text)
        self.screen.line(line)
        echo = re.compile(re.escape(line.rstrip()) + r"(\n|\Z)")
        return self.screen.wait_for(echo, PATIENCE, after=start - len(_PROMPT)).end()

    def wait_for_prompt(self, after: int = 0) -> int:
        """Wait until the shell waits for a command; the place in the screen's text where its prompt is."""
        return self.screen.wait_for(_AT_PROMPT, PATIENCE, after=after).start()

    def run(self, line: str) -> str:
        """Type a command, wait for the prompt; what came in between."""
        start = self.type(line)
        end = self.wait_for_prompt(start)
        return self.screen.text[start:end].strip()

    def wait_for(self, wanted: str | re.Pattern[str], after: int = 0) -> int:
        """Wait for a text on the screen; the place after it."""
        return self.screen.wait_for(wanted, PATIENCE, after=after).end()

    def is_as_found(self) -> bool:
        """Whether the terminal is as it was before the first command: settings, paste, cursor."""
        modes = self.screen._terminal.mode
        return self.screen.tty_attributes() == self.found and not self.screen.cursor_hidden and 2004 << 5 not in modes


def wait_until(condition: Callable[[], T], what: str = "it") -> T:
    """Wait until something outside of the screen is so."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.01)
    return result


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
