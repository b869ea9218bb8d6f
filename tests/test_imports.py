"""What each way through the program imports: nothing that it does not need. docs/performance.md says what that is worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import pytest

from conftest import KEY, World
from server import Server

#: Of this package, what arguments, settings and errors need: rooms, and modules of other rooms.
BASE = {
    *("cli", "cli.argument_parser", "cli.commands", "cli.context", "cli.help_pages", "cli.hints", "cli.main", "cli.parser"),
    *("cli.prompt", "config", "core", "engine", "engine.deadline", "engine.protocols", "observers"),
    *("observers.adaptations", "terminal", "terminal.notices", "terminal.output", "terminal.signals"),
    *("terminal.standard_input", "text", "wire"),
}
#: What one answer needs.
ASKING = BASE | {
    *("cli.commands.ask", "cli.connect", "cli.open_session", "engine.loop", "engine.observers", "history"),
    *("observers.session_log", "providers", "renderers", "session", "session.session", "terminal.keyboard"),
}
#: Rooms that may come whole.
WHOLE = {"config", "core", "history", "providers", "renderers", "text", "wire"}
#: The SDK's client, without the types of the endpoints.
SDK = {"openai", "pydantic", "pydantic_core", "annotated_types", "typing_inspection", "typing_extensions", "distro"}
HTTP = {"httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi", "httpx_aiohttp", "jiter"}
#: Whatever environment the tests run in.
NOT_OURS = {"sitecustomize", "usercustomize", "_distutils_hack", "coverage"}


def imported(stderr: str) -> set[str]:
    """What `-X importtime` told of, and is there: it tells of failures too."""
    names = {line.split("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:") and "|" in line}
    tops = {name for name in {name.partition(".")[0] for name in names} if name.isidentifier() and find_spec(name)}
    return {name for name in names if name.partition(".")[0] in tops - NOT_OURS - set(sys.stdlib_module_names)} | (
        names & set(sys.stdlib_module_names)
    )


def program(*flags: str) -> Sequence[str]:
    return [sys.executable, "-X", "importtime", "-m", "streaming_chat", *flags]


def ours(names: set[str]) -> set[str]:
    found = {name.partition(".")[2] for name in names if name.startswith("streaming_chat.")}
    return {room if (room := name.partition(".")[0]) in WHOLE else name for name in found}


def libraries(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names} - {"streaming_chat"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--no-such-flag"]])
def test_help_version_and_wrong_usage_need_no_library(world: World, arguments: list[str]) -> None:
    done = world.run(*arguments, program=program())
    names = imported(done.stderr.decode())
    assert "streaming_chat.cli.main" in names
    assert ours(names) <= BASE
    assert libraries(names) == set()
    assert not names & {"asyncio", "email", "http", "logging", "socket", "sqlite3", "ssl", "uuid"}


@pytest.mark.parametrize("given", [{}, {"stdin": b"hi"}], ids=["one shot", "pipe"])
def test_an_answer_needs_the_client_of_the_sdk_and_no_more(world: World, server: Server, given: dict[str, Any]) -> None:
    arguments = ["--base-url", server.base_url, "--no-history", *([] if given else ["hi"])]
    done = world.run(*arguments, program=program(), env={"OPENAI_API_KEY": KEY}, **given)
    assert done.returncode == 0
    names = imported(done.stderr.decode())
    assert ours(names) <= ASKING
    assert libraries(names) <= SDK | HTTP | {"platformdirs", "dotenv"}
    assert {name for name in names if name.startswith(("openai.types", "openai.resources", "openai.lib"))} == set()


def test_a_prompt_is_there_before_the_editor_and_the_sdk(world: World, server: Server) -> None:
    screen = world.screen(
        "--base-url", server.base_url, program=program(), env={"OPENAI_API_KEY": KEY}, columns=200, lines=60
    )
    screen.wait_until(lambda: b"You:" in screen.raw)
    names = imported(screen.raw.decode(errors="replace").replace("\r", "").partition("You:")[0])
    assert "streaming_chat.chat.repl" in names
    chat = {"cli.commands.chat", "chat", "chat.commands", "chat.repl", "chat.line_reader", "chat.editor", "chat.usage_lines"}
    assert ours(names) <= ASKING | chat
    assert libraries(names) <= {"platformdirs", "dotenv"}
    # The editor comes behind it, and the SDK when that is drawn.
    screen.wait_until(lambda: b"prompt_toolkit.application" in screen.raw)


def test_whoever_asks_for_the_package_gets_it(world: World) -> None:
    code = (
        "import sys; from streaming_chat.providers.sdk_import import import_sdk; parts = import_sdk();"
        "assert 'openai.types' not in sys.modules; import openai; from openai import OpenAI;"
        "assert OpenAI is parts.OpenAI; assert openai.types.CompletionUsage; print(openai.__version__)"
    )
    done = world.run(program=[sys.executable, "-c", code])
    assert done.stdout.decode().strip() == __import__("openai").__version__, done.stderr.decode()


def test_where_the_parts_lie_elsewhere_the_package_is_imported(world: World) -> None:
    code = (
        "import streaming_chat.providers.sdk_import as s; s._PARTS = {**s._PARTS, 'Stream': 'openai._elsewhere'};"
        "sdk = s.import_sdk(); import openai; assert sdk is openai; print(sdk.OpenAI.__name__)"
    )
    done = world.run(program=[sys.executable, "-c", code])
    assert done.stdout.decode().strip() == "OpenAI", done.stderr.decode()


def test_without_the_sdk_it_is_told(world: World, ask: Callable[..., Any]) -> None:
    hidden = world.folder / "openai.py"
    hidden.write_text("raise ModuleNotFoundError('No module', name='openai')")
    done = ask("hi", env={"PYTHONPATH": str(world.folder)})
    assert done.returncode == 2
    assert b"the OpenAI SDK is not installed" in done.stderr


def test_where_python_imports_lazily_the_program_does(world: World) -> None:
    # There is no Python 3.15 in reach of this test: it shows that the switches are used, not what they do.
    code = (
        "import os, sys; calls = []; sys.set_lazy_imports = calls.append; importers = ('streaming_chat.cli.main', 'openai');"
        "sys.set_lazy_imports_filter = lambda wants: calls.extend(wants(name, 'json', None) for name in importers);"
        "sys.version_info = (3, 15, 0, 'final', 0);"
        "os._exit = lambda status: print(calls, status); sys.argv = ['x', '--version'];"
        "from streaming_chat.__main__ import main; main()"
    )
    done = world.run(program=[sys.executable, "-c", code])
    assert done.stdout.decode().splitlines()[-1] == "[True, False, 'all'] 0", done.stderr.decode()
