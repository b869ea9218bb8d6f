"""Files in the working folder are not run, whatever they are called; `python -m` would put that folder first."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import KEY, ROOT, World
from server import Server, answer

LAUNCHER = str(ROOT / "projects/02-streaming-chat/streaming_chat.py")
WAYS = {
    "python -m": (sys.executable, "-m", "streaming_chat"),
    "the launcher": (sys.executable, LAUNCHER),
    "the script": (sys.executable, "-c", "import sys; del sys.path[0]; from streaming_chat.__main__ import main; main()"),
}
if sys.version_info >= (3, 11):
    WAYS["python -P -m"] = (sys.executable, "-P", "-m", "streaming_chat")
LIBRARIES = {"openai", "httpx", "dotenv", "platformdirs", "prompt_toolkit", "wcwidth", "pygments", "sitecustomize", "cli"}


def plant(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(
            "import sys; sys.stderr.write(f'RUN {__name__}\\n'); sys.stderr.flush()\nraise SystemExit(99)\n"
        )


def of_runpy() -> set[str]:
    """What Python itself has imported before the first line of a module that `-m` runs."""
    script = "import runpy, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_working_folder_is_run(world: World, server: Server, way: str) -> None:
    names = {name for name in sys.stdlib_module_names if not name.startswith("_")} | LIBRARIES
    plant(world.folder, names - (of_runpy() if way == "python -m" else set()))
    server.play(answer(["All of it"]))
    flags = ("--base-url", server.base_url, "hi")
    done = world.run(*flags, program=WAYS[way], env={"OPENAI_API_KEY": KEY})
    assert (done.returncode, done.stdout, done.stderr.count(b"RUN")) == (0, b"All of it\n", 0), done.stderr.decode()
    assert b"hi" in world.run("history", program=WAYS[way]).stdout


@pytest.mark.parametrize("way", WAYS)
def test_a_chat_there_is_safe_too(world: World, server: Server, way: str) -> None:
    plant(world.folder, {"json", "argparse", "logging", "readline", "asyncio", "prompt_toolkit", "openai", "platformdirs"})
    server.play(answer(["All of it"]))
    screen = world.screen("--base-url", server.base_url, program=WAYS[way], env={"OPENAI_API_KEY": KEY})
    screen.wait_for("You:")
    screen.line("hi")
    screen.wait_for("All of it")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert "RUN" not in screen.text


def with_path(world: World, value: str, program: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return world.run("--version", program=program, env={"PYTHONPATH": value})


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_pythonpath_names_stays(world: World, way: str) -> None:
    plant(world.folder, {"argparse"})
    done = with_path(world, str(world.folder), WAYS[way])
    assert (done.returncode, done.stderr) == (99, b"RUN argparse\n")


def test_the_package_may_lie_in_the_working_folder(world: World) -> None:
    shutil.copytree(
        ROOT / "src" / "streaming_chat", world.folder / "streaming_chat", ignore=shutil.ignore_patterns("__pycache__")
    )
    plant(world.folder, {"argparse"})
    done = world.run("--version", program=(sys.executable, "-m", "streaming_chat"))
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_working_folder_may_be_gone(world: World) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && "$0" -m streaming_chat --version'
    done = world.run(program=("bash", "-c", script, sys.executable))
    assert (done.returncode, done.stderr) == (0, b"")
