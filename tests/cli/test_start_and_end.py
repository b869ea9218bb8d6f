"""Ctrl-C while the program starts, and while it ends: status 130, and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conftest import ROOT, World

STARTS = {
    "python -m": ["-m", "streaming_chat"],
    "the script": ["-c", "from streaming_chat.__main__ import main; main()"],
    "the launcher": [str(ROOT / "projects/02-streaming-chat/streaming_chat.py")],
}

#: A module that never gets ready: what a Ctrl-C may meet at any time, in slow motion. Short sleeps, because Python heeds
#: a signal that comes right before a sleep only after it.
_ENDLESS = "import time; print('WAITING', flush=True); [time.sleep(0.01) for _ in range(6000)]"


@pytest.fixture
def _signals_as_a_shell_leaves_them() -> Iterator[None]:
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


def interrupted(world: World, *python: str) -> tuple[int, str]:
    """Status and standard error of a program that got a Ctrl-C when it said that it waits."""
    with subprocess.Popen(
        [sys.executable, *python],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=world.folder,
        env={**world.environment, "PYTHONPATH": f"{world.folder / 'first'}:{ROOT / 'src'}"},
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"WAITING\n"
        program.send_signal(signal.SIGINT)
        stderr = program.communicate(timeout=60)[1]
    return program.returncode, stderr.decode()


@pytest.mark.usefixtures("_signals_as_a_shell_leaves_them")
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("module", ["pathlib", "typing", "argparse", "urllib"])
def test_ctrl_c_during_the_imports(world: World, start: str, module: str) -> None:
    (world.folder / "first").mkdir()
    (world.folder / "first" / f"{module}.py").write_text(_ENDLESS)
    assert interrupted(world, *STARTS[start]) == (130, "")


@pytest.mark.usefixtures("_signals_as_a_shell_leaves_them")
def test_ctrl_c_while_the_last_output_is_written(world: World) -> None:
    slow = f"""
import sys
from streaming_chat.__main__ import main

class Slow:
    def write(self, text): pass
    def flush(self):
        sys.stdout = sys.__stdout__
        {_ENDLESS}

sys.stdout, sys.argv = Slow(), ["streaming-chat", "--version"]
main()
"""
    assert interrupted(world, "-c", slow) == (130, "")
