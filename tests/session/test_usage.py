"""Tokens and costs, as the user sees them: in the latency line, in `/usage`, at the end of a chat, and in the history."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from conftest import World
from screen import Screen
from server import Server, answer, http_error

PRICES = """
[prices."gpt-4o-mini"]
prompt = 1000
completion = 2000

[prices."served-*"]
prompt = 1
completion = 1
"""
PROMPT = re.compile(r"^You:\Z", re.MULTILINE)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 117}


def say(screen: Screen, line: str) -> str:
    """Type a line, wait for the next prompt, and return what is between the two."""
    start = len(screen.text)
    screen.line(line)
    end = screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))
    return screen.text[start : end.start()].partition("\n")[2].rstrip("\n")


def counted(prompt: int, completion: int, **more: Any) -> list[Any]:
    return answer(["a", "b"], delay=0.01, usage={"prompt_tokens": prompt, "completion_tokens": completion, **more})


def test_the_cost_comes_last_in_the_latency_line(ask: Callable[..., Any], server: Server, world: World) -> None:
    world.configure(PRICES)
    server.play(counted(1000, 117))
    assert re.search(rb" tokens/s \xc2\xb7 \$1\.23\)\n$", ask("hi").stderr)


@pytest.mark.parametrize(
    ("toml", "usage", "flags"),
    [
        ("", USAGE, []),
        (PRICES, None, []),
        (PRICES, USAGE, ["--model", "another"]),
        (PRICES, {"prompt_tokens": 1000}, []),
    ],
    ids=["no prices", "no counts", "no price of the model", "half the counts"],
)
def test_without_a_price_or_without_counts_there_is_no_cost(
    ask: Callable[..., Any], server: Server, world: World, toml: str, usage: Any, flags: list[str]
) -> None:
    world.configure(toml)
    server.play(answer(["Hi"], usage=usage))
    assert b"$" not in ask("hi", *flags).stderr
    end = json.loads(ask("hi", "--json", *flags).stdout.splitlines()[-1])
    assert end["cost"] is None


def test_the_name_that_the_server_gives_a_model_has_a_price_too(
    ask: Callable[..., Any], server: Server, world: World
) -> None:
    world.configure(PRICES.replace("gpt-4o-mini", "another"))
    server.play(answer(["Hi"], usage={"prompt_tokens": 10_000, "completion_tokens": 2_000}, model="served-2"))
    end = json.loads(ask("hi", "--json").stdout.splitlines()[-1])
    assert end["cost"] == pytest.approx(0.012)


def test_usage_shows_the_last_turn_and_the_session(chat: Callable[..., Screen], server: Server, world: World) -> None:
    world.configure(PRICES)
    screen = chat(columns=120)
    assert re.match(r"error: there is no answer yet\nhint: ", say(screen, "/usage"))
    server.play(
        counted(100, 10, prompt_tokens_details={"cached_tokens": 60}),
        answer(["not counted"]),
        counted(900, 107),
    )
    say(screen, "one")
    assert say(screen, "/usage").splitlines() == [
        "               last turn  session (1 turn)",
        "  prompt             100  100",
        "    cached            60  60",
        "  completion          10  10",
        "    reasoning          –  –",
        "  cost             $0.12  $0.12",
    ]
    say(screen, "two")
    assert re.search(r"^  prompt +–  100 \(1 of 2 turns\)$", say(screen, "/usage"), re.MULTILINE)
    say(screen, "three")
    assert say(screen, "/usage").splitlines() == [
        "               last turn  session (3 turns)",
        "  prompt             900  1,000 (2 of 3 turns)",
        "    cached             –  60 (1 of 3 turns)",
        "  completion         107  117 (2 of 3 turns)",
        "    reasoning          –  –",
        "  cost             $1.11  $1.23 (2 of 3 turns)",
    ]


def test_a_turn_of_several_requests_is_counted_once(chat: Callable[..., Screen], server: Server) -> None:
    refused = {"error": {"message": "Unsupported parameter: 'temperature' is not supported.", "param": "temperature"}}
    server.play(http_error(500, headers={"Retry-After": "0"}), http_error(400, refused), counted(100, 10), http_error(401))
    screen = chat("--temperature", "0.5", columns=120)
    say(screen, "one")
    assert len(server.chats) == 3
    # Nor is one that never began.
    say(screen, "two")
    assert "session (1 turn)" in say(screen, "/usage")


def test_what_was_too_long_and_asked_again_is_one_turn(chat: Callable[..., Screen], server: Server) -> None:
    too_long = {"error": {"message": "This model's maximum context length is 10 tokens."}}
    server.play(counted(5, 5), http_error(400, too_long), counted(7, 7))
    screen = chat("--stateful", columns=120)
    say(screen, "one")
    say(screen, "two")
    shown = say(screen, "/usage")
    assert "session (2 turns)" in shown
    assert re.search(r"^  prompt +7  12$", shown, re.MULTILINE)


def test_a_chat_that_ends_is_summed_up(chat: Callable[..., Screen], server: Server, world: World) -> None:
    world.configure(PRICES)
    server.play(counted(1000, 100), counted(200, 17))
    screen = chat(columns=120)
    say(screen, "one")
    say(screen, "two")
    screen.line("/exit")
    screen.wait_for("2 turns · prompt 1,200 · completion 117 · cost $1.43")
    assert screen.wait_for_exit() == 0


@pytest.mark.parametrize(("flags", "turns"), [(["--quiet"], 2), (["--json"], 2), ([], 1), (["--param", "n=1"], 0)], ids=str)
def test_the_sum_stays_away_where_it_says_nothing_new_or_is_not_wanted(
    chat: Callable[..., Screen], server: Server, flags: list[str], turns: int
) -> None:
    server.play(counted(1000, 100))
    screen = chat(*flags, columns=120)
    for _ in range(turns):
        say(screen, "hi")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert not re.search(r"\d turns? ·", screen.text)


def test_what_was_not_counted_is_not_summed_up(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["Hi"]))
    screen = chat(columns=120)
    say(screen, "one")
    say(screen, "two")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert "2 turns" not in screen.text


def test_the_history_shows_what_a_turn_cost(ask: Callable[..., Any], server: Server, world: World) -> None:
    server.play(counted(1000, 117))
    ask("hi")
    assert b"$" not in ask("history", "show", "1").stdout
    world.configure(PRICES)
    assert re.search(rb"^\(first token: .* \xc2\xb7 \$1\.23\)$", ask("history", "show", "1").stdout, re.MULTILINE)
    assert re.search(rb" \xc2\xb7 \$1\.23\)$", ask("history", "replay", "1").stderr.strip())
    assert json.loads(ask("history", "show", "1", "--json").stdout)["cost"] == pytest.approx(1.234)
