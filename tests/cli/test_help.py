"""Help, and the registry that it is made of: one screen, groups, every option once, and commands that are a file each."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from conftest import KEY, ROOT, World
from server import Server
from streaming_chat.cli.commands import RESERVED, commands
from streaming_chat.config.options import GROUPS, OPTIONS

FLAGS = [flag for option in OPTIONS.values() for flag in option.flags]


def printed(world: World, *arguments: str, columns: int = 80) -> str:
    done = world.run(*arguments, env={"COLUMNS": str(columns)})
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_help_fits_on_a_screen(world: World, columns: int) -> None:
    text = printed(world, "--help", columns=columns)
    assert len(text.splitlines()) <= 45
    assert max(map(len, text.splitlines())) <= columns
    assert all(f"{title}:" in text for title in GROUPS.values())
    for flag in ("--model", "--temperature", "--top_p", "--max-tokens", "--system", "--no-color", "--help-all"):
        assert re.search(rf"{flag}\b", text)


def test_help_all_has_every_option_variable_and_status(world: World) -> None:
    text = printed(world, "--help-all")
    assert max(map(len, text.splitlines())) <= 80
    for flag in FLAGS:
        assert re.search(rf"(?<![\w-]){flag}(?![\w-])", text), flag
    for option in OPTIONS.values():
        assert not option.environment or option.environment in text
    for status in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 141):
        assert re.search(rf"^ +{status} ", text, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("help",), ("help", "history"), ("help", "history", "show"), ("help", "config")])
def test_help_is_a_command_too(world: World, arguments: tuple[str, ...]) -> None:
    assert printed(world, *arguments) == printed(world, *arguments[1:], "--help")


def test_help_of_what_is_no_command_is_an_error(world: World) -> None:
    for topic in (["nothing"], ["history", "nothing"], ["batch"]):
        done = world.run("help", *topic)
        assert done.returncode == 2
        assert done.stderr.startswith(b"error: ")


def test_every_command_is_in_help_and_has_a_page(world: World) -> None:
    text = printed(world, "--help")
    for one in commands():
        assert re.search(rf"^  {one.NAME} ", text, re.MULTILINE)
        assert f"usage: streaming-chat {one.NAME}" in printed(world, one.NAME, "--help")
    assert not {one.NAME for one in commands()} & set(RESERVED)


# Options before and after


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "history", "list"],
        ["history", "--json", "list"],
        ["history", "list", "--json"],
        ["history", "--json"],
        ["--quiet", "history", "-n", "list", "--json", "--no-color"],
        ["history", "--limit", "5", "--json", "list"],
    ],
)
def test_options_stand_before_and_after_a_command_and_its_action(world: World, server: Server, arguments: list[str]) -> None:
    world.run("hello", "--base-url", server.base_url)
    done = world.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'{"') or b'"number"' in done.stdout


def test_a_commands_own_option_wins_after_its_word(world: World, server: Server) -> None:
    world.run("hello", "--base-url", server.base_url, "--model", "one")
    assert b"hello" in world.run("--model", "other", "history", "list").stdout
    assert world.run("history", "list", "--model", "other").stdout == b""
    assert b"hello" in world.run("history", "--model", "one", "list").stdout


def test_the_endpoint_can_follow_the_command(world: World, server: Server) -> None:
    for arguments in (["models", "--base-url", server.base_url], ["--base-url", server.base_url, "models", "--json"]):
        done = world.run(*arguments, env={"OPENAI_API_KEY": KEY})
        assert (done.returncode, b"test-model" in done.stdout) == (0, True)


def test_repeated_options_before_and_after_add_up(world: World) -> None:
    done = world.run("--param", "a=1", "config", "--param", "b=2")
    assert b'{"a": 1, "b": 2}' in done.stdout


def test_version_and_all_options_can_be_asked_for_after_a_command(world: World) -> None:
    for before in ([], ["models"], ["history"], ["history", "list"]):
        assert printed(world, *before, "--version").startswith("streaming-chat ")
        assert printed(world, *before, "--help-all") == printed(world, "--help-all")
    assert world.run("history", "list", "--").returncode == 0


def test_help_man_and_completion_need_no_settings(world: World) -> None:
    world.configure("model = [[")
    for arguments in (["--help"], ["help", "models"], ["man"], ["completion", "bash"], ["history", "list", "--help"]):
        printed(world, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history", "list", "--limt", "3"], "did you mean --limit?"),
        (["models", "--base-rul", "x"], "did you mean --base-url?"),
        (["history", "nothing"], "--help"),
        (["history", "lst"], "did you mean list?"),
        (["history", "list", "--lim", "3"], "did you mean --limit?"),
        (["history", "list", "--nonsense"], "`streaming-chat history list --help`"),
        (["config", "nothing"], "takes no 'nothing'"),
    ],
)
def test_wrong_arguments_of_a_command_are_explained(world: World, arguments: list[str], message: str) -> None:
    done = world.run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 2


def test_names_of_modules_that_are_no_words_are_prompts(world: World, server: Server) -> None:
    for word in ("ask", "chat", "__init__", "_x", "os"):
        done = world.run(word, "me", "--base-url", server.base_url)
        assert done.returncode == 0
    assert len(server.chats) == 5


# One file a command


NEW = '''"""A new one."""

from __future__ import annotations

from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.context import Context

NAME = "greet"
HELP = "say hello"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--loud", action="store_true", help="in capitals")
    parser.add_argument("name", nargs="?", metavar="NAME", help="whom")


def run(context: Context) -> int:
    text = f"hello {context.options.name}"
    context.print(text.upper() if context.options.loud else text, str)
    return 0
'''


def test_a_new_command_is_one_file(world: World, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "streaming_chat" / "cli" / "commands" / "greet.py").write_text(NEW)

    def run(*arguments: str) -> str:
        code = f"import sys; sys.path[0] = {str(source)!r}; from streaming_chat.__main__ import main; main()"
        done = world.run(*arguments, program=[sys.executable, "-c", code])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    assert run("greet", "--loud", "you", "--quiet") == "HELLO YOU\n"
    assert "say hello" in run("--help")
    assert "--loud" in run("greet", "--help")
    assert all(
        "greet" in run("completion", shell) and "loud" in run("completion", shell) for shell in ("bash", "zsh", "fish")
    )
    assert "say hello" in run("man").lower()
    code = (
        f"import sys; sys.path[:1] = [{str(source)!r}]; from streaming_chat.cli.specification import specifications;"
        "print([one.words for one in specifications()])"
    )
    assert "greet" in world.run(program=[sys.executable, "-c", code]).stdout.decode()
