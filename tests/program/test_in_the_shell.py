"""Everyday use in a shell with job control: background, Ctrl-Z, pagers, signals. The terminal stays as it was found."""

from __future__ import annotations

import os
import re
import shutil
import signal
import termios
import threading
from pathlib import Path

import pytest

from conftest import World
from screen import KEYS
from server import Gate, Hang, Server, Step, answer
from shell import Shell, wait_until

SHELLS = [name for name in ("bash", "dash") if shutil.which(name)] or ["sh"]
REAL_PAGERS = ["less"] if shutil.which("less") else []


def held(gate: threading.Event, tokens: tuple[str, ...] = ("one", " two")) -> list[Step]:
    """An answer that waits for the gate after its first token."""
    script = answer(tokens)
    script.insert(3, Gate(gate))
    return script


def endless(text: str = "one") -> list[Step]:
    """An answer that begins and never ends."""
    return [*answer([text], finish_reason=None, done=False)[:-1], Hang()]


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


# In the background ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("tostop", ["tostop", "-tostop"])
def test_in_the_background_an_answer_goes_into_its_file(world: World, server: Server, shell_name: str, tostop: str) -> None:
    shell = Shell(world, server, shell_name)
    shell.run(f"stty {tostop}")
    shell.run("ask q > out 2> err &")
    assert "over" in shell.run("wait; echo over").splitlines()
    assert "Stopped" not in shell.screen.text
    assert (world.folder / "out").read_text() == "Hello, world!\n"
    assert "error" not in (world.folder / "err").read_text()
    assert shell.changes == []


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("streams", ["> out 2> err", "> out", "2> err", ""])
def test_a_job_that_is_stopped_and_continued_in_the_background_runs_to_its_end(
    world: World, server: Server, shell_name: str, streams: str, go: threading.Event
) -> None:
    server.play(held(go))
    shell = Shell(world, server, shell_name)
    start = shell.type(f"ask q {streams}")
    wait_until(lambda: server.exchanges and len(server.exchanges[0].sent) >= 3)
    if "> out" in streams:
        wait_until(lambda: (world.folder / "out").read_bytes() == b"one")
    else:
        shell.wait_for("one", after=start)
        assert not shell.screen.tty_attributes()[3] & termios.ECHO
    shell.screen.key("ctrl-z")
    shell.wait_for("Stopped", after=start)
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    start = len(shell.screen.text)
    changes = len(shell.changes)
    shell.screen.line("bg")
    shell.wait_for_prompt(start)
    go.set()
    start = len(shell.screen.text)
    shell.screen.line("wait; echo over")
    shell.wait_for(re.compile("^over$", re.MULTILINE), after=start)
    assert "tty output" not in shell.screen.text
    if "> out" in streams:
        assert (world.folder / "out").read_text() == "one two\n"
    else:
        assert "two" in shell.screen.text
    assert "error" not in shell.screen.text
    assert len(shell.changes) == changes
    assert shell.is_as_found()


@pytest.mark.parametrize("shell_name", SHELLS)
def test_in_the_background_an_answer_on_the_terminal_leaves_its_settings_alone(
    world: World, server: Server, shell_name: str, go: threading.Event
) -> None:
    server.play(held(go))
    shell = Shell(world, server, shell_name)
    start = shell.type("ask q &")
    shell.wait_for("one", after=start)
    assert shell.is_as_found()
    go.set()
    shell.wait_for("(first token", after=start)
    shell.screen.line("wait; echo over")
    shell.wait_for(re.compile("^over$", re.MULTILINE), after=start)
    assert shell.changes == []


@pytest.mark.parametrize("shell_name", SHELLS)
def test_after_a_stop_an_answer_in_the_foreground_keeps_keys_to_itself_again(
    world: World, server: Server, shell_name: str, go: threading.Event
) -> None:
    server.play(held(go))
    shell = Shell(world, server, shell_name)
    start = shell.type("ask q")
    shell.wait_for("one", after=start)
    silent = shell.screen.tty_attributes()
    assert not silent[3] & (termios.ECHO | termios.ICANON)
    shell.screen.key("ctrl-z")
    shell.wait_for("Stopped", after=start)
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    # What is set meanwhile counts from then on.
    shell.run("stty -ixon")
    shell.screen.line("fg")
    wait_until(lambda: not shell.screen.tty_attributes()[3] & termios.ECHO)
    go.set()
    start = shell.wait_for("(first token", after=start)
    shell.wait_for_prompt(start)
    assert shell.run("echo $?") == "0"
    expected = [*shell.found]
    expected[0] &= ~termios.IXON
    assert shell.screen.tty_attributes() == expected
    assert all(shell.changes)


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("tostop", ["tostop", "-tostop"])
def test_in_a_group_of_its_own_it_answers(world: World, server: Server, shell_name: str, tostop: str) -> None:
    shell = Shell(world, server, shell_name)
    shell.run(f"stty {tostop}")
    assert shell.run('x=$(timeout 60 ask q 2> err); echo "<$x>"') == "<Hello, world!>"
    assert shell.changes == []


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("tostop", ["tostop", "-tostop"])
def test_in_a_group_of_its_own_sigterm_ends_it(world: World, server: Server, shell_name: str, tostop: str) -> None:
    server.play(endless())
    shell = Shell(world, server, shell_name)
    shell.run(f"stty {tostop}")
    # With its notices on the terminal, where `tostop` would stop whoever writes from the background.
    start = shell.type('x=$(timeout 3 ask q); echo $? "<$x>"')
    shell.wait_for("124 <one>", after=start)
    assert shell.changes == []


def test_a_chat_in_the_background_waits_until_it_is_in_the_foreground(world: World, server: Server) -> None:
    shell = Shell(world, server)
    start = shell.type("ask &")
    # The shell tells of it before its next prompt.
    wait_until(lambda: "Stopped" in shell.run("jobs"))
    assert "commands:" not in shell.screen.text
    assert shell.changes == []
    shell.screen.line("fg")
    start = shell.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=start)
    shell.screen.line("hi")
    start = shell.wait_for("Hello, world!", after=start)
    # Stopped at its prompt, and continued where it may not read.
    start = shell.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=start)
    shell.screen.key("ctrl-z")
    start = shell.wait_for("Stopped", after=start)
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    shell.screen.line("bg")
    wait_until(lambda: "Stopped" in shell.run("jobs").rpartition("bg")[2])
    assert shell.is_as_found()
    start = len(shell.screen.text)
    shell.screen.line("fg")
    start = shell.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=start)
    shell.screen.key("ctrl-d")
    shell.wait_for_prompt(start)
    assert shell.run("echo $?") == "0"
    assert shell.is_as_found()
    assert all(shell.changes)


# Another program has the terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("pager", ["pager", "(sleep 1; pager)", *REAL_PAGERS, *[f"(sleep 1; {one})" for one in REAL_PAGERS]])
@pytest.mark.parametrize("errors", ["", "2>&1"])
def test_a_pager_has_the_terminal_to_itself(
    world: World, server: Server, shell_name: str, pager: str, errors: str, go: threading.Event
) -> None:
    tokens = ("one\n", *(f"more {number}\n" for number in range(2000)))
    server.play(held(go, tokens))
    shell = Shell(world, server, shell_name)
    start = shell.type(f"ask q {errors} | {pager}")
    shell.wait_for("one", after=start)
    wait_until(lambda: not shell.screen.tty_attributes()[3] & termios.ICANON)
    # In mid-answer.
    shell.screen.send("q")
    go.set()
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    assert shell.changes == []
    assert "SPOILED" not in shell.screen.text
    assert "error" not in shell.screen.text[start:]


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("rest", ["| head -n 1", "| cat", "> out", "2>&1 | cat > out", "</dev/null", "< list", "<&-"])
def test_what_is_not_shown_on_the_terminal_leaves_it_alone(world: World, server: Server, shell_name: str, rest: str) -> None:
    (world.folder / "list").write_text("a\nb\n")
    shell = Shell(world, server, shell_name)
    shell.run(f"ask q {rest}")
    assert shell.is_as_found()
    assert shell.changes == []


@pytest.mark.parametrize("shell_name", SHELLS)
def test_without_job_control_the_terminal_is_somebody_elses(world: World, server: Server, shell_name: str) -> None:
    # In a session of its own, which has no terminal.
    alone = "import subprocess\nsubprocess.run(['ask', 'q'], start_new_session=True)\n"
    (world.folder / "alone.py").write_text(alone)
    shell = Shell(world, server, shell_name)
    assert "Hello, world!" in shell.run("py alone.py")
    assert shell.is_as_found()
    assert shell.changes == []


@pytest.mark.parametrize("arguments", ["-", ""])
def test_a_terminal_that_nobody_can_give_back_is_no_input(world: World, server: Server, arguments: str) -> None:
    # A process group in the background whose parent has gone: the system neither stops it nor lets it read.
    (world.folder / "orphan.py").write_text(
        "import os, pathlib, subprocess, sys, time\n"
        "parent = os.getpid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.setpgid(0, 0)\n"
        "while os.getppid() == parent: time.sleep(0.01)\n"
        "done = subprocess.run(['ask', *sys.argv[1:]], stderr=subprocess.PIPE)\n"
        "pathlib.Path('writing').write_text(f'{done.returncode} {done.stderr.decode()}')\n"
        "os.rename('writing', 'result')\n"
    )
    shell = Shell(world, server)
    shell.run(f"py orphan.py {arguments}".rstrip())
    wait_until((world.folder / "result").exists)
    result = (world.folder / "result").read_text()
    if arguments:
        assert result.startswith("2 ")
        assert "error: standard input cannot be read" in result
    else:
        assert result == "0 "
    assert shell.changes == []


def test_ctrl_z_and_ctrl_backslash_leave_the_terminal_as_it_was_while_an_answer_is_replayed(
    world: World, server: Server
) -> None:
    shell = Shell(world, server, SHELLS[-1])
    shell.run("ask q")
    start = shell.type("ask history replay 1 --speed 0.01")
    wait_until(lambda: not shell.screen.tty_attributes()[3] & termios.ECHO)
    shell.screen.key("ctrl-z")
    shell.wait_for("Stopped", after=start)
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    start = shell.type("fg")
    wait_until(lambda: not shell.screen.tty_attributes()[3] & termios.ECHO)
    shell.screen.send(KEYS["ctrl-\\"])
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    assert shell.run("echo $?") == "131"


def test_what_another_program_sets_meanwhile_stays(world: World, server: Server, go: threading.Event) -> None:
    server.play(held(go))
    shell = Shell(world, server, SHELLS[-1])
    start = shell.type("ask q")
    shell.wait_for("one", after=start)
    changed = shell.screen.tty_attributes()
    changed[0] ^= termios.IXANY
    changed[1] ^= termios.ONLCR
    changed[1] ^= termios.ONLCR
    changed[6] = [*changed[6]]
    changed[6][termios.VINTR] = b"\x18"
    shell.screen.set_tty_attributes(changed)
    go.set()
    start = shell.wait_for("(first token", after=start)
    shell.wait_for_prompt(start)
    expected = [*shell.found]
    expected[0] ^= termios.IXANY
    expected[6] = [*expected[6]]
    expected[6][termios.VINTR] = b"\x18"
    assert shell.screen.tty_attributes() == expected


def test_echo_that_another_program_switched_on_meanwhile_stays_on(world: World, server: Server, go: threading.Event) -> None:
    server.play(held(go))
    shell = Shell(world, server, SHELLS[-1])
    shell.run("stty -echo")
    start = len(shell.screen.text)
    shell.screen.line("ask q")
    shell.wait_for("one", after=start)
    shell.screen.set_tty_attributes(shell.found)
    go.set()
    start = shell.wait_for("(first token", after=start)
    shell.wait_for_prompt(start)
    assert shell.is_as_found()


# Signals --------------------------------------------------------------------------------------------------------------


def process_of(shell: Shell) -> int:
    """The program that runs in the foreground: it leads the group that the terminal is given to."""
    return os.tcgetpgrp(shell.screen._outer)


#: How to get there: the command, what is typed then, and what is on the screen in the end.
PLACES = {
    "an answer": ("ask q", None, "one"),
    "an answer as JSON": ("ask --json q", None, '"text": "one"'),
    "an answer in a chat": ("ask", "q", "one"),
    "the prompt of a chat": ("ask", None, re.compile(r"^You:\Z", re.MULTILINE)),
    "a typed line": ("ask", "typed\\", re.compile(r"^\.\.\.\Z", re.MULTILINE)),
    "a plain answer": ("TERM=dumb ask q", None, "one"),
    "a plain answer in a chat": ("TERM=dumb ask", "q", "one"),
    "the prompt of a plain chat": ("TERM=dumb ask", None, re.compile(r"^You:\Z", re.MULTILINE)),
    "a plain typed line": ("TERM=dumb ask", "typed\\", re.compile(r"^\.\.\.\Z", re.MULTILINE)),
}
ONE_SHOT = ("an answer", "an answer as JSON", "a plain answer")


def at(shell: Shell, place: str) -> int:
    """Bring the program to a place; where its command is in the screen's text."""
    command, typed, wanted = PLACES[place]
    start = shell.type(command)
    if typed is not None:
        shell.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=start)
        shell.screen.line(typed)
    shell.wait_for(wanted, after=start)
    if "typed" in place or "prompt" in place:
        # The prompt is there before keys are read.
        flag = termios.ICANON if "plain" in place else termios.IEXTEN
        wait_until(lambda: not shell.screen.tty_attributes()[3] & flag)
    return start


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("place", PLACES)
def test_ctrl_backslash_ends_the_program_and_leaves_the_terminal_as_it_was(
    world: World, server: Server, shell_name: str, place: str
) -> None:
    server.play(endless())
    shell = Shell(world, server, shell_name)
    start = at(shell, place)
    shell.screen.send(KEYS["ctrl-\\"])
    shell.wait_for_prompt(start)
    assert shell.is_as_found()
    assert shell.run("echo $?") == str(128 + signal.SIGQUIT)
    assert all(shell.changes)


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_that_ends_the_program_leaves_the_terminal_as_it_was(world: World, server: Server, place: str) -> None:
    server.play(endless())
    shell = Shell(world, server, SHELLS[-1])
    for name in ("SIGQUIT", "SIGABRT", "SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGXCPU"):
        number = getattr(signal, name)
        start = at(shell, place)
        os.kill(process_of(shell), number)
        expected = 128 + number
        if number == signal.SIGINT and place not in ONE_SHOT:
            # It ends the answer or the line there, and Ctrl-D the chat.
            told = shell.wait_for(re.compile("interrupted|Ctrl-C again"), after=start)
            shell.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=told)
            wait_until(lambda: not shell.screen.tty_attributes()[3] & termios.ICANON)
            shell.screen.key("ctrl-d")
            expected = 0
        shell.wait_for_prompt(start)
        assert shell.is_as_found(), name
        assert shell.run("echo $?") == str(expected), name
    assert all(shell.changes)


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_z_gives_the_shell_a_terminal_as_it_was(world: World, server: Server, place: str) -> None:
    server.play(endless())
    shell = Shell(world, server, SHELLS[-1])
    start = at(shell, place)
    changed = shell.screen.tty_attributes()
    shell.screen.key("ctrl-z")
    # By the key, and then by the signal alone.
    for _ in range(3):
        shell.wait_for("Stopped", after=start)
        shell.wait_for_prompt(start)
        assert shell.is_as_found()
        start = shell.type("fg")
        wait_until(lambda: shell.screen.tty_attributes() == changed)
        os.kill(process_of(shell), signal.SIGTSTP)


def test_the_program_ends_when_the_terminal_takes_nothing(world: World, server: Server) -> None:
    server.play(endless())
    shell = Shell(world, server, SHELLS[-1])
    start = at(shell, "an answer in a chat")
    shell.screen.stop_output()
    program = process_of(shell)
    os.kill(program, signal.SIGQUIT)
    wait_until(lambda: not Path(f"/proc/{program}").exists())
    shell.screen.resume_output()
    shell.wait_for_prompt(start)
    assert shell.screen.tty_attributes() == shell.found
