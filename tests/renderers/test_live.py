"""Markdown in a real terminal: formatted while it streams, raw when asked for, and kept as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conftest import KEY, World
from screen import Screen
from server import Server, answer

ANSWER = ["# Ti", "tle\n\n", "It is **str", "ong** and `co", "de`.\n\n- one\n- t", "wo\n\n```python\nx = ", "1\n```\n"]
SHOWN = ["Title", "", "It is strong and code.", "", "• one", "• two", "", "python", "x = 1"]


def on_screen(screen: Screen) -> list[str]:
    """The rows of the answer."""
    rows = screen.text.splitlines()
    last = max(place for place, row in enumerate(rows) if row.startswith("(first token:"))
    first = next((place + 1 for place, row in enumerate(rows) if row.startswith("Assistant")), 0)
    return [row.rstrip() for row in rows[first:last]]


@pytest.fixture
def ask_on_terminal(world: World, server: Server) -> Callable[..., Screen]:
    def ask(*arguments: str, env: dict[str, str] | None = None, **size: int) -> Screen:
        where = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, **(env or {})}
        screen = world.screen(*arguments, "hi", env=where, **size)
        screen.wait_for("(first token:")
        return screen

    return ask


def test_an_answer_is_formatted(server: Server, ask_on_terminal: Callable[..., Screen]) -> None:
    server.play(answer(ANSWER))
    screen = ask_on_terminal()
    assert on_screen(screen) == SHOWN
    assert b"\x1b[1mong" in screen.raw or b"\x1b[1mstrong" in screen.raw


@pytest.mark.parametrize(
    ("arguments", "env"),
    [(["--no-color"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})],
    ids=["flag", "NO_COLOR", "dumb"],
)
def test_without_colour_the_structure_stays(
    server: Server, ask_on_terminal: Callable[..., Screen], arguments: list[str], env: dict[str, str]
) -> None:
    server.play(answer(ANSWER))
    screen = ask_on_terminal(*arguments, env=env)
    assert on_screen(screen) == SHOWN
    assert b"\x1b[" not in screen.raw


def test_raw_is_as_it_came(server: Server, ask_on_terminal: Callable[..., Screen]) -> None:
    server.play(answer(ANSWER))
    assert "\n".join(on_screen(ask_on_terminal("--raw"))) == "".join(ANSWER).rstrip("\n")


def test_a_pipe_gets_markdown(server: Server, ask: Callable[..., Any]) -> None:
    server.play(answer(ANSWER))
    assert ask("hi").stdout.decode() == "".join(ANSWER)


def test_raw_and_md_switch_in_the_chat_and_the_text_is_kept_as_it_came(
    server: Server, chat: Callable[..., Screen], world: World
) -> None:
    server.play(answer(["**a** `b`"]))
    screen = chat(lines=40)
    for command, shown in ((None, "a b"), ("/raw", "**a** `b`"), ("/md", "a b")):
        if command:
            screen.line(command)
            screen.wait_for("/md formats them" if command == "/raw" else "/raw shows them")
        before = screen.text.count("(first token:")
        screen.line("hi")
        screen.wait_until(lambda before=before: screen.text.count("(first token:") > before)
        assert on_screen(screen)[-1] == shown
    assert b"**a** `b`" in world.run("history", "show", "1").stdout


def test_hyperlinks_and_a_theme_can_be_asked_for(server: Server, ask_on_terminal: Callable[..., Screen]) -> None:
    server.play(answer(["[a](https://example.com) `b`"]))
    assert b"\x1b]8" not in ask_on_terminal().raw
    screen = ask_on_terminal("--hyperlinks", "--theme", "light")
    assert b"\x1b]8;;https://example.com\x1b\\a\x1b]8;;\x1b\\" in screen.raw
    assert b"\x1b[34mb" in screen.raw


def test_an_answer_that_is_interrupted_leaves_the_terminal_as_it_was(server: Server, chat: Callable[..., Screen]) -> None:
    server.play(answer(["Some **strong", "** text"], delay=60))
    screen = chat()
    screen.line("hi")
    screen.wait_for("strong")
    assert screen.attributes_of("strong").bold
    screen.send(b"\x03")
    screen.wait_for("interrupted")
    # What nothing has closed is text.
    assert "Some **strong" in screen.text
    assert not screen.attributes_of("interrupted").bold
