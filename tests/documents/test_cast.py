"""Turns as a recording: what a terminal was sent, when it was, and played by asciinema's own player."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from conftest import World
from server import Server, answer
from streaming_chat.core.arrivals import Arrival
from streaming_chat.core.events import Outcome
from streaming_chat.documents.cast import cast
from turns import stored

ANSWER = "# Title\n\nSome **strong** text, 日本語 and 🙂.\n\n- an item\n\n```python\nx = 'y'\n```\n"


def parts(text: str) -> tuple[dict[str, object], list[tuple[float, str, str]]]:
    header, *events = map(json.loads, text.splitlines())
    return header, [tuple(event) for event in events]


def test_it_is_of_the_second_version_of_the_format() -> None:
    header, events = parts(cast([stored(ANSWER, "Why?\x1b[2J")]))
    assert header == {
        "version": 2,
        "width": 80,
        "height": 24,
        "timestamp": 1765388072,
        "title": "Why?^[[2J",
        "env": {"TERM": "xterm-256color"},
    }
    assert {kind for _, kind, _ in events} == {"o"}
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    assert "".join(text for _, _, text in events).replace("\r\n", "").count("\n") == 0


def test_each_piece_comes_when_it_came_and_the_next_turn_behind_it() -> None:
    arrivals = (Arrival(0.5, "text", 4), Arrival(2.25, "text", 5))
    turn = stored("one two", arrivals=arrivals, reasoning="")
    _, events = parts(cast([turn, stored("end", "Next?", number=2)]))
    at = {text: when for when, _, text in events}
    assert next(when for text, when in at.items() if "one" in text) == 0.5
    assert next(when for text, when in at.items() if "two" in text) == 2.25
    second = next(when for text, when in at.items() if "Next?" in text)
    assert second > 3
    assert next(when for text, when in at.items() if "end" in text) == pytest.approx(second + 0.4)


def test_how_it_ended_is_told() -> None:
    text = "".join(text for _, _, text in parts(cast([stored("cut", outcome=Outcome.LENGTH, finish_reason="length")]))[1])
    assert "the answer is cut" in text
    assert "(first token: 0.400s · total: 0.600s)" in text


def test_nothing_of_a_server_gets_through() -> None:
    attack = "a\x1b]52;c;eA==\x07b\x1b[2J\x9b31m"
    text = "".join(text for _, _, text in parts(cast([stored(attack, attack, reasoning=attack, finish_reason=attack)]))[1])
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert "\x07" not in text


def test_asciinemas_player_ends_with_the_screen_of_the_answer(world: World, server: Server) -> None:
    server.play(answer([ANSWER[place : place + 3] for place in range(0, len(ANSWER), 3)]))
    live = world.screen("--base-url", server.base_url, "Why?", columns=80, lines=40)
    assert live.wait_for_exit() == 0
    assert world.run("history", "export", "1", "-o", "answer.cast").returncode == 0
    player = (sys.executable, "-m", "asciinema", "play", "-s", "50", "answer.cast")
    played = world.screen(program=player, columns=80, lines=40)
    assert played.wait_for_exit() == 0
    head, _, rest = played.text.partition("Assistant (streaming...):\n")
    assert "You: Why?" in head
    assert rest.rstrip() == live.text.rstrip()
    assert Path(world.folder / "answer.cast").stat().st_mode & 0o600 == 0o600
