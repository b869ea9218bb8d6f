"""Earlier turns go along when they are asked to: in a chat, and from the history."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from conftest import World
from screen import Screen
from server import Server, answer, http_error

Ask = Callable[..., CompletedProcess[bytes]]


def say(screen: Screen, line: str, count: int) -> None:
    """Type a line, and wait for prompt number `count`."""
    screen.line(line)
    screen.wait_until(lambda: screen.text.count("You:") == count)


def sent(server: Server) -> list[str]:
    """The contents of the messages of the last request."""
    return [message["content"] for message in server.chats[-1].json["messages"]]


def too_long() -> list[Any]:
    return http_error(
        400, {"error": {"message": "This model's maximum context length is 10 tokens.", "code": "context_length_exceeded"}}
    )


@pytest.fixture
def chat(world: World, server: Server) -> Callable[..., Screen]:
    def chat(*flags: str) -> Screen:
        screen = world.screen("--base-url", server.base_url, *flags, columns=120)
        screen.wait_for("You:")
        return screen

    return chat


def test_turns_go_along_are_shown_and_forgotten(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["1."]), answer(["2."]), answer(["3."]), answer(["4."]))
    screen = chat("--stateful")
    say(screen, "One?", 2)
    say(screen, "Two?", 3)
    assert sent(server) == ["One?", "1.", "Two?"]
    say(screen, "/history", 4)
    assert "1  One?\n2  Two?" in screen.text
    say(screen, "/undo", 5)
    assert "forgotten: Two?" in screen.text
    say(screen, "Three?", 6)
    assert sent(server) == ["One?", "1.", "Three?"]
    say(screen, "/clear", 7)
    assert "forgotten: 2 turns" in screen.text
    say(screen, "Four?", 8)
    assert sent(server) == ["Four?"]


def test_a_chat_becomes_stateful_and_stateless_again(chat: Callable[..., Screen], server: Server) -> None:
    screen = chat()
    assert "stateless: every message is asked on its own" in screen.text
    say(screen, "One?", 2)
    say(screen, "/stateful on", 3)
    assert "stateful: no turns go along" in screen.text
    say(screen, "Two?", 4)
    say(screen, "Three?", 5)
    assert sent(server)[0] == "Two?"
    say(screen, "/stateful off", 6)
    say(screen, "Four?", 7)
    assert sent(server) == ["Four?"]
    say(screen, "/stateful perhaps", 8)
    assert "/stateful is on or off, not 'perhaps'" in screen.text


def test_half_an_answer_goes_along_after_keep_alone(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["Hal"], finish_reason="length"), answer(["2."]), answer(["3."]))
    screen = chat("--stateful")
    say(screen, "One?", 2)
    assert "this answer does not go along with the next message; /keep lets it" in screen.text
    say(screen, "/history", 3)
    assert "–  One? (not whole; /keep lets it go along)" in screen.text
    say(screen, "/keep", 4)
    say(screen, "Two?", 5)
    assert sent(server) == ["One?", "Hal", "Two?"]
    say(screen, "/keep", 6)
    assert "there is no answer to keep" in screen.text


def test_a_conversation_too_long_for_the_model_loses_its_oldest_turns_and_says_so(
    chat: Callable[..., Screen], server: Server
) -> None:
    server.play(answer(["1."]), answer(["2."]), answer(["3."]), too_long(), answer(["4."]))
    screen = chat("--stateful")
    for number, prompt in enumerate(["One?", "Two?", "Three?", "Four?"], 2):
        say(screen, prompt, number)
    assert "left out, to fit into what the model takes: the 2 oldest turns (“One?”, “Two?”)" in screen.text
    assert sent(server) == ["Three?", "3.", "Four?"]


def test_a_request_that_nothing_makes_short_enough_costs_no_turn(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["1."]), answer(["2."]), too_long(), too_long(), too_long(), answer(["3."]))
    screen = chat("--stateful")
    for number, prompt in enumerate(["One?", "Two?", "Long?"], 2):
        say(screen, prompt, number)
    assert "leaving turns out did not help: 2 turns go along again" in screen.text
    say(screen, "Three?", 5)
    assert sent(server) == ["One?", "1.", "Two?", "2.", "Three?"]


def test_a_request_that_was_sent_again_is_one_turn(ask: Ask, server: Server) -> None:
    server.play(answer(["1."]), answer(["2."]), too_long(), answer(["3."]))
    assert ask("One?").returncode == 0
    assert ask("-c", "Two?").returncode == 0
    done = ask("-c", "--json", "Three?")
    assert done.returncode == 0
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events.count("end") == 1
    assert b"error:" not in done.stderr
    assert b"left out, to fit into what the model takes: the oldest turn" in done.stderr
    # The history has what was answered.
    turn = json.loads(ask("history", "show", "3", "--json").stdout)
    assert [message["content"] for message in turn["messages"]] == sent(server) == ["Two?", "2.", "Three?"]


def test_what_is_left_out_is_said_also_where_the_user_wants_quiet(ask: Ask, server: Server) -> None:
    server.play(answer(["1."]), too_long(), answer(["2."]))
    assert ask("请" * 100).returncode == 0
    done = ask("-c", "-q", "Two?")
    assert done.returncode == 0
    assert done.stderr.decode() == f"notice: left out, to fit into what the model takes: the oldest turn (“{'请' * 39}…”)\n"


def test_the_same_question_asked_again_costs_no_turn(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["1."]), http_error(400, {"error": {"message": "No."}}), answer(["2."]))
    screen = chat("--stateful")
    say(screen, "Go on", 2)
    say(screen, "Go on", 3)
    say(screen, "/retry", 4)
    assert sent(server) == ["Go on", "1.", "Go on"]
    say(screen, "/history", 5)
    assert "1  Go on\n2  Go on" in screen.text


def test_undo_forgets_half_an_answer_first(chat: Callable[..., Screen], server: Server) -> None:
    server.play(answer(["1."]), answer(["Hal"], finish_reason="length"))
    screen = chat("--stateful")
    say(screen, "One?", 2)
    say(screen, "Two?", 3)
    say(screen, "/undo", 4)
    assert "forgotten: Two?" in screen.text
    say(screen, "/history", 5)
    assert screen.text.rstrip().endswith("1  One?\n\nYou:")


def test_context_tokens_leave_out_the_oldest_turns_before_the_server_has_to(
    chat: Callable[..., Screen], server: Server
) -> None:
    server.play(answer(["1" * 400]), answer(["2" * 400]), answer(["3."]))
    screen = chat("--stateful", "--context-tokens", "200", "--max-tokens", "50")
    say(screen, "One?", 2)
    say(screen, "Two?", 3)
    say(screen, "Three?", 4)
    assert "the oldest turn (“One?”)" in screen.text
    assert sent(server) == ["Two?", "2" * 400, "Three?"]


def test_a_conversation_goes_on_from_one_shot_to_the_next(ask: Ask, server: Server) -> None:
    server.play(answer(["1."]), answer(["2."]), answer(["3."]), answer(["4."]))
    assert ask("One?", "--system", "Count.").returncode == 0
    done = ask("Two?", "--continue")
    assert done.returncode == 0
    assert b"going on behind turn 1 with gpt-4o-mini: 1 turn goes along" in done.stderr
    assert sent(server) == ["Count.", "One?", "1.", "Two?"]
    assert ask("-c", "Three?", "--system", "Be brief.").returncode == 0
    assert sent(server) == ["Be brief.", "One?", "1.", "Two?", "2.", "Three?"]
    assert ask("--resume", "1", "Four?").returncode == 0
    assert sent(server) == ["Count.", "One?", "1.", "Four?"]
    turns = [json.loads(line) for line in ask("history", "--json").stdout.splitlines()]
    assert len({turn["session"] for turn in turns}) == 1


def test_continue_goes_on_with_the_last_conversation_whole_or_not(ask: Ask, server: Server, world: World) -> None:
    server.play(answer(["1."]), answer(["Hal"], finish_reason="length"), answer(["3."]), answer(["4."]))
    assert ask("One?").returncode == 0
    assert ask("Two?").returncode == 7
    done = ask("-c", "Three?")
    assert b"the answer of turn 2 is not whole and does not go along" in done.stderr
    assert sent(server) == ["Three?"]
    # One from elsewhere has the highest number, and is older.
    old = json.loads(ask("history", "show", "1", "--json").stdout) | {"started_at": "2020-01-01T00:00:00+00:00"}
    (world.folder / "old.json").write_text(json.dumps(old), encoding="utf-8")
    assert ask("history", "import", "old.json").stdout == b"1 turn imported (turn 4)\n"
    assert b"going on behind turn 3" in ask("-c", "Four?").stderr
    assert sent(server) == ["Three?", "3.", "Four?"]


def model(server: Server) -> str:
    """The model of the last request."""
    return server.chats[-1].json["model"]


def test_a_conversation_goes_on_with_its_model_unless_another_is_set(ask: Ask, server: Server) -> None:
    server.play(*[answer([f"{number}."]) for number in range(1, 7)])
    assert ask("One?", "--model", "a-model").returncode == 0
    done = ask("Two?", "--continue")
    assert model(server) == "a-model"
    assert b"going on behind turn 1 with a-model: 1 turn goes along" in done.stderr
    assert ask("Three?", "--resume", "1").returncode == 0
    assert model(server) == "a-model"
    done = ask("Four?", "--resume", "1", "--model", "another")
    assert model(server) == "another"
    assert b"going on behind turn 1 with another: 1 turn goes along" in done.stderr
    assert ask("Five?", "--resume", "1", env={"STREAMING_CHAT_MODEL": "a-third"}).returncode == 0
    assert model(server) == "a-third"
    assert ask("Six?").returncode == 0
    assert model(server) == "gpt-4o-mini"


def test_a_conversation_that_goes_on_elsewhere_does_not_ask_for_its_model_there(ask: Ask, server: Server) -> None:
    server.play(answer(["1."]), answer(["2."]))
    assert ask("One?", "--model", "a-model").returncode == 0
    elsewhere = server.base_url.replace("127.0.0.1", "localhost")
    assert elsewhere != server.base_url
    done = ask("Two?", "--continue", env={"OPENAI_BASE_URL": elsewhere})
    assert (done.returncode, model(server)) == (0, "gpt-4o-mini")
    assert sent(server) == ["One?", "1.", "Two?"]


def test_a_log_names_the_model_of_the_turn_that_is_gone_on_with(ask: Ask, server: Server, world: World) -> None:
    server.play(answer(["1."]), answer(["2."]))
    assert ask("One?", "--model", "a-model").returncode == 0
    assert ask("Two?", "--continue", "--log-dir", "logs").returncode == 0
    (log,) = (world.folder / "logs").iterdir()
    assert log.read_text().startswith("# model: a-model\n")


def test_an_answer_that_is_not_whole_is_gone_on_behind_without_it(ask: Ask, server: Server) -> None:
    server.play(answer(["Hal"], finish_reason="length"), answer(["2."]))
    assert ask("One?").returncode == 7
    done = ask("Two?", "--resume", "1")
    assert b"the answer of turn 1 is not whole and does not go along" in done.stderr
    assert sent(server) == ["Two?"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--continue"], b"there is no conversation in the history to go on with"),
        (["--resume", "7"], b"there is no turn 7 in the history"),
    ],
)
def test_what_is_not_in_the_history_cannot_be_gone_on_with(
    ask: Ask, server: Server, flags: list[str], message: bytes
) -> None:
    done = ask("One?", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert not server.chats
