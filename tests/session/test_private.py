"""A private session keeps nothing: no history, no typed lines, nothing of what models do not take, no log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import KEY, World
from screen import Screen
from server import Server, answer, http_error

REFUSED = {
    "error": {"message": "Unsupported parameter: 'temperature' is not supported.", "param": "temperature", "code": None}
}


def written(world: World) -> list[Path]:
    """Every file below the world's folders."""
    return sorted(path for path in world.folder.parent.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "toml", ["", "private = true\nlog_dir = 'logs'\nexport_dir = 'out'\n"], ids=["by its flag", "by the config file"]
)
def test_an_answer_leaves_nothing_behind(ask: Callable[..., Any], server: Server, world: World, toml: str) -> None:
    world.configure(toml)
    before = written(world)
    server.play(http_error(400, REFUSED), answer(["Hello"]))
    done = ask("hi", "--temperature", "0.5", *([] if toml else ["--private"]))
    assert (done.returncode, done.stdout) == (0, b"Hello\n")
    assert written(world) == before


def test_a_chat_leaves_nothing_behind_and_says_so(chat: Callable[..., Screen], server: Server, world: World) -> None:
    before = written(world)
    server.play(http_error(400, REFUSED), answer(["Hello"]))
    screen = chat("--private", "--temperature", "0.5", columns=120)
    header = screen.text.splitlines()
    assert "private: nothing of this chat is kept" in header
    assert "settings: temperature 0.5" in header
    for count, line in enumerate(["hi", "/config", "/usage"], 2):
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count)
    assert re.search(r"^history +none$", screen.text, re.MULTILINE)
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert written(world) == before


def test_a_private_session_goes_on_from_the_history_and_adds_nothing(
    ask: Callable[..., Any], server: Server, world: World
) -> None:
    server.play(answer(["1."]), answer(["2."]))
    ask("One?")
    before = {path: path.read_bytes() for path in written(world)}
    assert ask("Two?", "--continue", "--private").returncode == 0
    assert [message["content"] for message in server.chats[-1].json["messages"]] == ["One?", "1.", "Two?"]
    assert {path: path.read_bytes() for path in written(world)} == before
    # What there is can be looked at.
    lines = ask("--private", "history", "--json").stdout.splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["One?"]


def test_private_and_a_log_exclude_each_other(ask: Callable[..., Any], server: Server, world: World) -> None:
    done = ask("hi", "--private", "--log-dir", "logs")
    assert done.returncode == 2
    assert b"error: --log-dir and --private exclude each other" in done.stderr
    assert not server.chats
    done = ask("hi", "--private", env={"STREAMING_CHAT_LOG_DIR": "logs"})
    assert done.returncode == 0
    assert b"notice: log_dir (from STREAMING_CHAT_LOG_DIR in the environment) is not heeded" in done.stderr
    assert not (world.folder / "logs").exists()


def test_the_key_is_in_no_file_whoever_wrote_it_into_a_text(
    chat: Callable[..., Screen], ask: Callable[..., Any], server: Server, world: World
) -> None:
    flags = ("--log-dir", "logs", "--export-dir", "out", "--export-format", "all")
    server.play(answer([f"Your key is {KEY[:9]}", f"{KEY[9:]}."]), answer(["Yes."]))
    everywhere = ("--system", f"I have {KEY}", "--param", f"user={KEY}", "--param", f"metadata=[{json.dumps(KEY)}]")
    assert ask(*flags, *everywhere, "--model", f"m-{KEY}", f"Is {KEY} mine?").returncode == 0
    screen = chat(*flags)
    screen.line(f"And {KEY}?")
    screen.wait_for("total:")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    files = written(world)
    assert {path.suffix for path in files} >= {".db", ".log", ".md", ".html", ".json", ".cast", ".svg"}
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []
    # What the server got is what was written.
    assert f"And {KEY}?" in server.chats[-1].json["messages"][-1]["content"]
    assert f"…{KEY[-4:]}" in ask("history", "show", "1").stdout.decode()
