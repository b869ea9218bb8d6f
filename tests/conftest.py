"""What the tests share: a world without keys, folders of its own, and the program run in it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from screen import Screen
from server import Server

ROOT = Path(__file__).resolve().parents[1]
#: No six of its characters stand in a path or a word: tests look for pieces of it where paths are shown.
KEY = "sk-Zk7QxW3vTnR9pLhJ2cdef"


# No limit of time for an example: a busy machine is slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many tests `make test` runs at once: most of a test's time is spent waiting for a process.

    With two for each core the suite took 170 s where one for each took 275 s (two cores, others at work too). More than
    sixteen would spend their time on being started.
    """
    return min(2 * (os.cpu_count() or 1), 16)


@dataclass(frozen=True)
class World:
    """Where the program runs: folders of its own, and an environment that holds nothing of this machine's."""

    folder: Path
    environment: dict[str, str]
    open_screens: ExitStack

    @property
    def state(self) -> Path:
        return Path(self.environment["XDG_STATE_HOME"]) / "streaming-chat"

    @property
    def config_file(self) -> Path:
        return Path(self.environment["XDG_CONFIG_HOME"]) / "streaming-chat" / "config.toml"

    def configure(self, toml: str) -> None:
        """Write config.toml."""
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(toml, encoding="utf-8")

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        program: Sequence[str] = (sys.executable, "-m", "streaming_chat"),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end, with pipes. Without `stdin` it has none (/dev/null)."""
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(
            [*program, *arguments],
            capture_output=True,
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            timeout=timeout,
            check=False,
            **given,
        )

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **more: object) -> subprocess.Popen[bytes]:
        """Start the program with pipes; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "streaming_chat", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            **{"stdin": subprocess.DEVNULL, **more},
        )

    def screen(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "streaming_chat"),
        **size: int,
    ) -> Screen:
        """Run the program in a terminal; it is closed when the test ends."""
        screen = Screen([*program, *arguments], env={**self.environment, **(env or {})}, cwd=self.folder, **size)
        return self.open_screens.enter_context(screen)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "work"
    folder.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    environment = {
        **kept,
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TERM": "xterm-256color",
        # The tests' own warnings are errors; the program's should be seen too.
        "PYTHONWARNINGS": "default",
    }
    with ExitStack() as screens:
        yield World(folder, environment, screens)


@pytest.fixture
def server() -> Iterator[Server]:
    """A scripted server on loopback; `server.play(...)` tells it what to answer."""
    with Server() as running:
        yield running


@pytest.fixture
def ask(world: World, server: Server) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the program against `server`, with a key."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, **more: object) -> subprocess.CompletedProcess[bytes]:
        return world.run(*arguments, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, **(env or {})}, **more)

    return run


@pytest.fixture
def chat(world: World, server: Server) -> Callable[..., Screen]:
    """Open a chat against `server` in a terminal, and wait for its prompt."""

    def open_chat(*arguments: str, env: Mapping[str, str] | None = None, **more: object) -> Screen:
        screen = world.screen(
            *arguments, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, **(env or {})}, **more
        )
        screen.wait_for("You:")
        return screen

    return open_chat
