"""The program when the machine fails it in mid-answer: signals, a closed terminal, a full disk, a folder that is read-only.

What was shown stays shown, what is not saved is said, the exit status is the documented one, and the history opens.
"""

from __future__ import annotations

import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from conftest import KEY, World
from server import Gate, Hang, Server, Step, answer
from streaming_chat.core.events import Outcome
from streaming_chat.history import History, StoredTurn

Program = subprocess.Popen[bytes]
PROGRAM = (sys.executable, "-m", "streaming_chat")


def begun(*tokens: str) -> list[Step]:
    """An answer that has begun and goes on."""
    return answer(tokens, finish_reason=None, done=False)[:-1]


def rest(*tokens: str) -> list[Step]:
    """What comes of an answer after `begun`."""
    return answer(tokens, role_first=False)[1:]


@pytest.fixture
def before(ask: Callable[..., subprocess.CompletedProcess[bytes]], server: Server) -> None:
    """A turn that is over and kept before anything goes wrong."""
    server.play(answer(["kept"]))
    assert ask("earlier").returncode == 0


@pytest.fixture
def environment(world: World, server: Server) -> dict[str, str]:
    return {**world.environment, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}


@pytest.fixture
def _signals_as_a_shell_leaves_them() -> Iterator[None]:
    """Whoever runs the tests in the background may have had signals ignored, which children inherit."""
    found = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    found[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


def start(world: World, environment: dict[str, str], *wrapper: str, **more: object) -> Program:
    return subprocess.Popen(
        [*wrapper, *PROGRAM, "hi"],
        env=environment,
        cwd=world.folder,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )


def turns(world: World) -> list[StoredTurn]:
    """The turns in the history, which is a sound file."""
    path = world.state / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(History(path, pytest.fail)) as history:
        found = [history.turn(summary.number) for summary in history.turns()]
    return [turn for turn in found if turn is not None]


def told(stderr: bytes) -> list[str]:
    """The notices and errors. Whatever happened, there is no traceback."""
    text = stderr.decode()
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith(("notice: ", "error: "))]


# Signals --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("before", "_signals_as_a_shell_leaves_them")
@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        pytest.param([signal.SIGTERM], 143, id="SIGTERM"),
        pytest.param([signal.SIGHUP], 129, id="SIGHUP"),
        pytest.param([signal.SIGINT], 130, id="SIGINT"),
        pytest.param([signal.SIGINT, signal.SIGINT], 130, id="SIGINT twice"),
    ],
)
def test_a_signal_in_mid_answer_keeps_the_turn_as_interrupted(
    world: World, server: Server, environment: dict[str, str], numbers: list[signal.Signals], status: int
) -> None:
    server.play([*begun("Half of it"), Hang()])
    with start(world, environment) as program:
        assert program.stdout is not None
        assert program.stdout.read(10) == b"Half of it"
        for number in numbers:
            program.send_signal(number)
        after, stderr = program.communicate(timeout=60)
    assert (program.returncode, after) == (status, b"\n")
    assert any("interrupted" in line for line in told(stderr))
    earlier, turn = turns(world)
    assert (earlier.text, earlier.outcome) == ("kept", Outcome.COMPLETE)
    assert (turn.text, turn.outcome) == ("Half of it", Outcome.INTERRUPTED)


@pytest.mark.usefixtures("before", "_signals_as_a_shell_leaves_them")
def test_a_killed_program_leaves_a_history_that_opens(world: World, server: Server, environment: dict[str, str]) -> None:
    server.play([*begun("Half of it"), Hang()])
    with start(world, environment) as program:
        assert program.stdout is not None
        assert program.stdout.read(10) == b"Half of it"
        program.kill()
        program.communicate(timeout=60)
    assert program.returncode == -signal.SIGKILL
    earlier, turn = turns(world)
    assert (earlier.text, earlier.outcome) == ("kept", Outcome.COMPLETE)
    # It was killed before the next periodic save, or after it.
    assert turn.outcome is None
    assert turn.text in ("", "Half of it")


@pytest.mark.usefixtures("before", "_signals_as_a_shell_leaves_them")
def test_a_closed_terminal_ends_the_program_and_keeps_the_turn(
    world: World, server: Server, environment: dict[str, str]
) -> None:
    server.play([*begun("Half of it"), Hang()])
    # The program leads the terminal's session, as one does that a terminal window was opened for.
    pid, terminal = pty.fork()
    if pid == 0:
        with suppress(OSError):
            os.chdir(world.folder)
            os.execvpe(PROGRAM[0], [*PROGRAM, "hi"], environment)
        os._exit(127)
    shown = b""
    while b"Half of it" not in shown:
        shown += os.read(terminal, 1024)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    server.wait_for_close(server.exchanges[-1])
    earlier, turn = turns(world)
    assert (earlier.text, earlier.outcome) == ("kept", Outcome.COMPLETE)
    assert (turn.text, turn.outcome) == ("Half of it", Outcome.INTERRUPTED)
    assert status == 129


#: Runs the program, and gives it a SIGTERM as one that comes right before a wait arrives: seen, without interrupting it.
_UNHEEDED = """
import _thread, os, signal, sys, threading

def trip():
    os.read({0}, 1)
    _thread.interrupt_main(signal.SIGTERM)

threading.Thread(target=trip, daemon=True).start()
from streaming_chat.__main__ import main
main()
"""


@pytest.mark.usefixtures("_signals_as_a_shell_leaves_them")
@pytest.mark.parametrize("shown", [b"Half of it", b""], ids=["in mid-answer", "before it"])
def test_a_signal_right_before_a_wait_for_data_is_heeded_all_the_same(
    world: World, server: Server, environment: dict[str, str], shown: bytes
) -> None:
    server.play([*(begun(shown.decode()) if shown else []), Hang()])
    theirs, ours = os.pipe()
    command = [sys.executable, "-c", _UNHEEDED.format(theirs), "--timeout", "60", "hi"]
    with subprocess.Popen(
        command, env=environment, cwd=world.folder, pass_fds=[theirs], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as program:
        os.close(theirs)
        assert program.stdout is not None
        assert program.stdout.read(len(shown)) == shown
        server.wait_for_requests(1)
        # Until it waits. If it does not yet, the signal is heeded the sooner.
        threading.Event().wait(0.2)
        os.close(ours)
        program.communicate(timeout=60)
    assert program.returncode == 143
    (turn,) = turns(world)
    assert (turn.text, turn.outcome) == (shown.decode(), Outcome.INTERRUPTED)


# The state folder -----------------------------------------------------------------------------------------------------

#: Runs the rest of its arguments with no file longer than so many bytes.
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
os.execvp(sys.argv[1], sys.argv[1:])
"""
BIG = "x" * 20_000


@pytest.mark.usefixtures("before")
def test_a_full_disk_costs_the_record_and_not_the_answer(world: World, server: Server, environment: dict[str, str]) -> None:
    # The log of SQLite grows past the limit once there is much to save.
    server.play(answer(["Half ", *[BIG] * 20, "and all"]))
    with start(world, environment, sys.executable, "-c", _LIMITED.format(100_000)) as program:
        stdout, stderr = program.communicate(timeout=60)
    assert program.returncode == 0
    assert stdout.decode() == "Half " + BIG * 20 + "and all\n"
    (notice,) = told(stderr)
    assert notice.startswith("notice: the history does not keep this session from here on")
    earlier, turn = turns(world)
    assert (earlier.text, earlier.outcome) == ("kept", Outcome.COMPLETE)
    assert turn.outcome is None


@pytest.fixture
def small_disk(world: World) -> Iterator[Path]:
    """The state folder on a file system of 200 KB."""
    mount = shutil.which("mount")
    world.state.mkdir(parents=True, mode=0o700)
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", world.state], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield world.state
    subprocess.run(["umount", world.state], check=True)


def test_a_disk_that_fills_up_in_mid_answer_costs_the_record_and_not_the_answer(
    world: World, server: Server, environment: dict[str, str], small_disk: Path
) -> None:
    full = threading.Event()
    server.play([*begun("Half "), Gate(full), *rest(*[BIG] * 20, "and all")])
    with start(world, environment) as program:
        assert program.stdout is not None
        shown = program.stdout.read(5)
        with suppress(OSError), (small_disk / "somebody else's").open("wb", buffering=0) as other:
            while other.write(bytes(1024)):
                pass
        full.set()
        after, stderr = program.communicate(timeout=60)
    assert (program.returncode, (shown + after).decode()) == (0, "Half " + BIG * 20 + "and all\n")
    (notice,) = told(stderr)
    assert notice.startswith("notice: the history does not keep this session from here on")
    (small_disk / "somebody else's").unlink()
    (turn,) = turns(world)
    assert (turn.prompt, turn.outcome) == ("hi", None)


def without_privileges() -> list[str]:
    """A wrapper in which modes hold for root too, whom otherwise none keeps out."""
    if os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root without setpriv may write everywhere")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("kept", [False, True], ids=["empty", "with a history"])
def test_a_read_only_state_folder_costs_the_record_and_not_the_answer(
    world: World,
    server: Server,
    environment: dict[str, str],
    request: pytest.FixtureRequest,
    kept: bool,
) -> None:
    wrapper = without_privileges()
    if kept:
        request.getfixturevalue("before")
    world.state.mkdir(parents=True, exist_ok=True)
    for path in (*world.state.iterdir(), world.state):
        path.chmod(0o500 if path.is_dir() else 0o400)
    server.play(answer(["All ", "of it"]))
    with start(world, environment, *wrapper) as program:
        stdout, stderr = program.communicate(timeout=60)
    for path in (world.state, *world.state.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert (program.returncode, stdout) == (0, b"All of it\n"), stderr
    (notice,) = told(stderr)
    assert notice.startswith("notice: the history does not keep this session from here on")
    if kept:
        assert [(turn.text, turn.outcome) for turn in turns(world)] == [("kept", Outcome.COMPLETE)]


@pytest.mark.usefixtures("before")
def test_a_state_folder_that_becomes_read_only_in_mid_answer_does_no_harm(
    world: World, server: Server, environment: dict[str, str]
) -> None:
    go_on = threading.Event()
    server.play([*begun("Half "), Gate(go_on), *rest("and all")])
    with start(world, environment, *without_privileges()) as program:
        assert program.stdout is not None
        shown = program.stdout.read(5)
        files = [path for path in world.state.iterdir() if path.is_file()]
        for path in (*files, world.state):
            path.chmod(0o500 if path.is_dir() else 0o400)
        go_on.set()
        after, stderr = program.communicate(timeout=60)
    world.state.chmod(0o700)
    for path in world.state.iterdir():
        path.chmod(0o600)
    assert (program.returncode, shown + after) == (0, b"Half and all\n"), stderr
    notices = told(stderr)
    earlier, turn = turns(world)
    assert (earlier.text, earlier.outcome) == ("kept", Outcome.COMPLETE)
    # What is open stays open: the turn is kept, or it is said that it is not.
    if notices:
        assert notices[0].startswith("notice: the history does not keep this session from here on")
    else:
        assert (turn.text, turn.outcome) == ("Half and all", Outcome.COMPLETE)


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        ((signal.SIGINT, signal.SIGTERM), {143, 130}),  # Merged by the system, or one behind the other.
        ((signal.SIGTERM, signal.SIGTERM), {143}),
        ((signal.SIGHUP, signal.SIGTERM), {129}),
        ((signal.SIGTERM, signal.SIGINT), {143, 130}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.002])
@pytest.mark.usefixtures("_signals_as_a_shell_leaves_them")
def test_of_two_signals_the_first_ends_it_and_the_turn_is_marked(
    world: World, server: Server, environment: dict[str, str], signals: tuple[int, int], status: set[int], pause: float
) -> None:
    server.play([*begun("Hello"), Hang()])
    with start(world, environment) as program:
        assert program.stdout is not None
        assert program.stdout.read(5) == b"Hello"
        for number in signals:
            program.send_signal(number)
            threading.Event().wait(pause)
        program.communicate(timeout=60)
    assert program.returncode in status
    (turn,) = turns(world)
    assert (turn.outcome, turn.text) == (Outcome.INTERRUPTED, "Hello")
