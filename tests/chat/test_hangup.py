"""A chat that waits at its prompt, and is ended from outside: by a signal, or because its terminal is closed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import KEY, World
from server import Server

#: Both readers, and how the prompt looks once it waits.
READERS = [
    pytest.param("xterm-256color", re.compile(rb"You: .*\x1b\[\?25h", re.DOTALL), id="prompt_toolkit"),
    pytest.param("dumb", re.compile(rb"You: "), id="input()"),
]


class Chat:
    """A chat that leads its terminal's session, as one does that a terminal window was opened for."""

    def __init__(self, world: World, server: Server, term: str, ignored: int | None = None, **env: str) -> None:
        self.errors: Path = world.folder / "errors.txt"
        environment = {**world.environment, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "TERM": term, **env}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # Whoever runs the tests in the background may have had signals ignored.
            for number in (signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)
            with suppress(OSError):
                os.chdir(world.folder)
                os.dup2(os.open(self.errors, os.O_WRONLY | os.O_CREAT), 2)
                os.execvpe(sys.executable, [sys.executable, "-m", "streaming_chat"], environment)
            os._exit(127)

    def wait_for(self, prompt: re.Pattern[bytes]) -> None:
        shown = b""
        while not prompt.search(shown):
            assert select.select([self.terminal], [], [], 60)[0], shown
            shown += os.read(self.terminal, 1024)

    def close_terminal(self) -> None:
        os.close(self.terminal)

    def status(self) -> int:
        """The exit status; a chat that has not ended after a minute is killed, which is a status too."""
        killing = threading.Timer(60, os.kill, (self.pid, signal.SIGKILL))
        killing.start()
        status = os.waitpid(self.pid, 0)[1]
        killing.cancel()
        return os.waitstatus_to_exitcode(status)

    def said(self) -> list[str]:
        """What went to standard error, without the header."""
        return [line for line in self.errors.read_text().partition("/quit\n")[2].splitlines() if line]


@pytest.mark.parametrize(("term", "prompt"), READERS)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("closed", [False, True], ids=["", "and its terminal is closed"])
def test_a_signal_at_the_prompt_is_the_status(
    world: World, server: Server, term: str, prompt: re.Pattern[bytes], number: int, closed: bool
) -> None:
    chat = Chat(world, server, term)
    chat.wait_for(prompt)
    os.kill(chat.pid, number)
    if closed:
        chat.close_terminal()
    # A closed terminal is a SIGHUP of its own; of two signals at once, either may come first.
    assert chat.status() in ({128 + number, 129} if closed else {128 + number})
    assert chat.said() == []


@pytest.mark.parametrize(("term", "prompt"), READERS)
def test_a_terminal_that_is_closed_at_the_prompt_ends_the_chat(
    world: World, server: Server, term: str, prompt: re.Pattern[bytes]
) -> None:
    chat = Chat(world, server, term)
    chat.wait_for(prompt)
    chat.close_terminal()
    assert chat.status() == 129
    assert chat.said() == []


@pytest.mark.parametrize(("term", "prompt"), READERS)
def test_where_the_hangup_is_ignored_a_closed_terminal_is_the_end_of_the_input(
    world: World, server: Server, term: str, prompt: re.Pattern[bytes]
) -> None:
    chat = Chat(world, server, term, ignored=signal.SIGHUP)
    chat.wait_for(prompt)
    chat.close_terminal()
    assert chat.status() == 0
    assert chat.said() == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, None])
def test_a_chat_whose_editor_is_still_being_imported(world: World, server: Server, number: signal.Signals | None) -> None:
    # The prompt is there before the editor, and so may be the end.
    for _ in range(5):
        chat = Chat(world, server, "xterm-256color", ignored=signal.SIGHUP if number is None else None)
        chat.wait_for(re.compile(rb"You: "))
        if number is None:
            chat.close_terminal()
        else:
            os.kill(chat.pid, number)
        assert chat.status() == (0 if number is None else 128 + number)
        assert chat.said() == []


#: Once the editor is imported, the program's look whether there still is a terminal waits for the test with its answer.
_AT_THE_LAST_MOMENT = """
import os, pathlib, sys, time
isatty, folder = os.isatty, pathlib.Path(__file__).parent

def late(fd):
    answer = isatty(fd)
    if fd == 0 and "prompt_toolkit" in sys.modules:
        (folder / "looked").touch()
        while not (folder / "closed").exists():
            time.sleep(0.005)
    return answer

os.isatty = late
"""


def test_a_terminal_that_is_closed_while_the_editor_is_made(world: World, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_AT_THE_LAST_MOMENT)
    chat = Chat(world, server, "xterm-256color", ignored=signal.SIGHUP, PYTHONPATH=str(folder))
    chat.wait_for(re.compile(rb"You: "))
    deadline = time.monotonic() + 60
    while not (folder / "looked").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    chat.close_terminal()
    (folder / "closed").touch()
    assert chat.status() == 0
    assert chat.said() == []
