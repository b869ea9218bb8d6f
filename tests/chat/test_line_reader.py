"""The chat where `prompt_toolkit` is missing, and where the terminal shows the prompts but not the answers."""

from __future__ import annotations

import re
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from screen import Screen
from server import Hang, answer, http_error

PROMPT = re.compile(r"^You:\Z", re.MULTILINE)
LATENCY = r"\(first token: \d+\.\d{3}s · total: \d+\.\d{3}s\)"


@pytest.fixture
def plain_chat(chat, tmp_path: Path) -> Callable[..., Screen]:
    """A chat in a world without prompt_toolkit."""
    package = tmp_path / "packages" / "prompt_toolkit"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").write_text("raise ImportError('not installed')\n")

    def open_chat(*arguments: str, **more: object) -> Screen:
        return chat(*arguments, env={"PYTHONPATH": str(package.parent)}, **more)

    return open_chat


def ask(screen: Screen, question: str) -> str:
    start = len(screen.text)
    screen.line(question)
    end = screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))
    return screen.text[start : end.start()]


def interrupt(screen: Screen) -> None:
    """Press Ctrl-C once the program waits for keys: CPython loses a signal that comes right before readline's select()."""

    def waits() -> bool:
        raw = not screen.tty_attributes()[3] & termios.ICANON
        return raw and Path(f"/proc/{screen.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    deadline = time.perf_counter() + 60
    while not waits():
        assert time.perf_counter() < deadline, screen.drawing()
    screen.key("ctrl-c")


def test_without_prompt_toolkit_there_is_a_chat_all_the_same(plain_chat, server):
    server.play(answer(["one ", "whole answer"]), http_error(400), answer(["雪"]))
    screen = plain_chat("--retries", "0")
    assert re.search(rf"\(streaming\.\.\.\):\none whole answer\n{LATENCY}\n\n\Z", ask(screen, "hi"))
    assert "error:" in ask(screen, "fail")
    assert "雪" in ask(screen, "3 lines:\\\rtwo \\ and\\\r三")
    assert "...  two \\ and\\\n...  三\n" in screen.text
    assert "model: gpt-4o-mini" in ask(screen, "/model")
    ask(screen, "")
    assert [request.json["messages"][0]["content"] for request in server.chats] == [
        "hi",
        "fail",
        "3 lines:\ntwo \\ and\n三",
    ]
    # readline: the lines before, and nothing that prompt_toolkit draws.
    screen.key("up")
    screen.wait_for(re.compile(r"You: /model\Z"))
    screen.send("\x15")
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert screen.tty_attributes() == screen.tty_attributes_at_start
    assert "prompt_toolkit" not in screen.text


def test_ctrl_c_without_prompt_toolkit(plain_chat, server):
    server.play([*answer(["half"], finish_reason=None, done=False)[:-1], Hang()], answer(["whole"]))
    screen = plain_chat()
    screen.line("hi")
    seen = screen.wait_for("half")
    screen.key("ctrl-c")
    seen = screen.wait_for(PROMPT, after=screen.wait_for("notice: interrupted", after=seen))
    server.wait_for_close(server.exchanges[0])

    # At the prompt: the line goes, the chat stays.
    screen.send("abc")
    screen.wait_for("You: abc")
    interrupt(screen)
    screen.wait_for(PROMPT, after=screen.wait_for("You: abc"))
    assert "whole" in ask(screen, "def")
    assert server.chats[1].json["messages"][0]["content"] == "def"

    # Once, then something typed, then once more: that is not twice in a row.
    for typed in ("", "ghi", "jkl\\\rmno"):
        start = len(screen.text)
        screen.send(typed)
        screen.wait_for(re.compile(rf"{typed[-3:]}\Z"))
        interrupt(screen)
        screen.wait_for(PROMPT, after=screen.wait_for("Ctrl-C again", after=start))
    interrupt(screen)
    assert screen.wait_for_exit() == 0
    assert screen.tty_attributes() == screen.tty_attributes_at_start
    assert "Traceback" not in screen.text


def test_only_answers_go_into_a_file(chat, world, server):
    server.play(answer(["one\x1b[1m"]), answer(["two\n"], finish_reason="length"), http_error(400), answer(["three"]))
    redirected = ["sh", "-c", 'exec "$0" -m streaming_chat "$@" >answers.txt', sys.executable]
    screen = chat("--retries", "0", program=redirected)
    screen.send("hi\\\r")
    screen.wait_for(re.compile(r"^\.\.\.\Z", re.MULTILINE))
    ask(screen, "there")
    assert "notice:" in ask(screen, "hi")
    assert "error:" in ask(screen, "hi")
    assert re.search(rf"Assistant \(streaming\.\.\.\):\n{LATENCY}\n", ask(screen, "hi"))
    assert "/retry" in ask(screen, "/help")
    assert server.chats[0].json["messages"][0]["content"] == "hi\nthere"
    assert "...  there" in screen.text
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert (world.folder / "answers.txt").read_bytes() == b"one\x1b[1m\ntwo\nthree\n"
    assert b"one\x1b[1m" not in screen.raw
    assert screen.tty_attributes() == screen.tty_attributes_at_start


def test_ctrl_c_with_the_answers_in_a_file(chat, server):
    server.play([*answer(["half"], finish_reason=None, done=False)[:-1], Hang()])
    screen = chat(program=["sh", "-c", 'exec "$0" -m streaming_chat "$@" >answers.txt', sys.executable])
    screen.line("hi")
    server.wait_for_requests(1)
    label = screen.wait_for("Assistant")
    screen.key("ctrl-c")
    prompt = screen.wait_for(re.compile(r"^You:\Z", re.MULTILINE), after=screen.wait_for("notice: interrupted", after=label))
    screen.key("ctrl-c")
    again = screen.wait_for(re.compile(r"Ctrl-C again.*\n\nYou:\Z"), after=prompt)
    assert again
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == 0
    assert screen.tty_attributes() == screen.tty_attributes_at_start
