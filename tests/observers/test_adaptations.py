"""A request that is refused is adapted once, in the open, and the model's ways are remembered."""

from __future__ import annotations

import json
import re

import pytest

from server import answer, http_error


def refusal(param: str, message: str) -> dict:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_parameter"}}


def picky(request):
    """A model that takes neither `max_tokens` nor `temperature`."""
    for field in ("max_tokens", "temperature"):
        if field in request.json:
            return http_error(400, refusal(field, f"Unsupported parameter: '{field}' is not supported with this model."))
    return answer(["Hello"])


def test_a_refused_field_is_adapted_once_told_and_remembered(ask, server, world):
    server.play(picky)
    done = ask("hi", "--max-tokens", "9", "--temperature", "0.5", "--retries", "0")
    assert (done.returncode, done.stdout) == (0, b"Hello\n")
    told = done.stderr.decode()
    assert "notice: the model does not take the request as it is: max_tokens is sent as max_completion_tokens" in told
    assert "temperature is left out" in told
    assert "attempts: 3" in told
    assert [set(request.json) - {"model", "messages", "stream", "stream_options"} for request in server.chats] == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens"},
    ]
    again = ask("hi", "--max-tokens", "9", "--temperature", "0.5")
    assert len(server.chats) == 4
    assert server.chats[3].json["max_completion_tokens"] == 9
    assert "notice" not in again.stderr.decode()
    # Another model is another matter.
    ask("hi", "--max-tokens", "9", "--model", "other")
    assert "max_tokens" in server.chats[4].json
    file = world.state / "adaptations.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {
        server.base_url: {
            "gpt-4o-mini": ["max_completion_tokens", "no_temperature"],
            "other": ["max_completion_tokens"],
        }
    }
    config = ask("config").stdout.decode()
    assert "max_tokens is sent as max_completion_tokens" in config
    assert "temperature is left out" in config


def test_a_damaged_memory_costs_a_request_and_no_more(ask, server, world):
    server.play(picky)
    world.state.mkdir(parents=True)
    for content in ("", "[]", '{"x": 1}', '{"x": {"m": 3}}'):
        (world.state / "adaptations.json").write_text(content)
        assert ask("hi", "--temperature", "0.5").returncode == 0


def test_without_history_nothing_is_remembered(ask, server, world):
    server.play(picky)
    assert ask("hi", "--temperature", "0.5", "--no-history").returncode == 0
    assert not world.state.exists()


def test_a_value_that_is_too_large_is_the_servers_message(ask, server):
    server.play(http_error(400, {"error": {"message": "max_tokens is too large: 9. At most 5.", "param": "max_tokens"}}))
    done = ask("hi", "--max-tokens", "9")
    assert done.returncode == 8
    assert "max_tokens is too large: 9. At most 5." in done.stderr.decode()
    assert len(server.chats) == 1


def test_the_chat_remembers_and_config_tells(chat, server):
    server.play(picky)
    screen = chat("--temperature", "0.5", columns=120)
    screen.line("hi")
    screen.wait_for("notice: the model does not take the request as it is: temperature is left out")
    screen.wait_until(lambda: screen.text.count("You:") == 2)
    screen.line("/config")
    screen.wait_for(re.compile("^adapted +temperature is left out", re.MULTILINE))
    screen.line("again")
    screen.wait_until(lambda: len(server.chats) == 3)
    assert "temperature" not in server.chats[2].json


def test_a_request_that_is_refused_all_the_same_teaches_nothing(ask, server, world):
    server.play(
        http_error(400, refusal("temperature", "Unsupported parameter: 'temperature' is not supported.")),
        http_error(400, {"error": {"message": "no such thing"}}),
    )
    assert ask("hi", "--temperature", "0.5").returncode == 8
    assert len(server.chats) == 2
    assert not (world.state / "adaptations.json").exists()


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "stream_options"], "msg": "extra fields not permitted", "type": "value_error.extra"}]},
        {"message": {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}},
    ],
)
def test_a_field_that_is_named_beside_the_words_is_left_out_too(ask, server, body):
    server.play(http_error(422, body), answer(["Hello"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"Hello\n"), done.stderr
    assert b"stream_options is left out" in done.stderr
    assert "stream_options" not in server.chats[1].json
