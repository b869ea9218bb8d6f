"""Every status that a server can refuse with, with and without a body of any kind: its error, its status, one line."""

from __future__ import annotations

import pytest

from server import Server, http_error
from streaming_chat.cli.hints import Hints
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.engine.loop import run_turn
from streaming_chat.providers.openai_sdk import OpenAISDK
from streaming_chat.text.sanitize import sanitize

HINTS = Hints()

STATUSES = {
    **dict.fromkeys((400, 404, 405, 409, 413, 415, 422, 431), 8),
    **dict.fromkeys((401, 403), 3),
    **dict.fromkeys((402, 429), 4),
    408: 6,
    **dict.fromkeys((500, 501, 502, 503, 504, 520, 529), 5),
}
WORDS = "the server's own words"
BODIES = {
    "no body": None,
    "OpenAI's form": {"error": {"message": WORDS, "type": "t", "param": None, "code": "c"}},
    "error as text": {"error": WORDS},
    "FastAPI's form": {"detail": [{"loc": ["body"], "msg": WORDS, "type": "t"}]},
    "message": {"message": WORDS},
    "plain text": WORDS,
    "a page": f"<html><head><title>{WORDS}</title></head><body>" + "x" * 10_000,
    "broken JSON": '{"error": {"message": "' + WORDS,
    "2 MB": {"error": {"message": WORDS + "x" * 2_000_000}},
    "escape sequences": {"error": {"message": WORDS + "\x1b[2J\x1b]0;title\x07\r\n\u202e"}},
    "not UTF-8": WORDS.encode() + b"\xff\xfe",
    "a list": "[1, 2]",
    "null": "null",
}


@pytest.fixture(scope="module")
def endpoint():
    with Server() as server:
        provider = OpenAISDK(server.base_url, "sk-key-0123456789", 10.0)
        yield server, provider
        provider.close()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_is_an_error_of_its_kind(endpoint, status, body):
    server, provider = endpoint
    server.play(http_error(status, body, {"x-request-id": "req_1"}))
    turn = run_turn(ChatRequest("m", (Message("user", "U"),)), provider, [], retries=0)
    error = turn.error
    assert (turn.exit_status, error.status_code, error.request_id) == (STATUSES[status], status, "req_1")
    assert str(status) in error.message
    assert len(error.message) < 700
    assert "\n" not in error.message
    assert HINTS.hint_of(error)
    assert "\x1b" not in sanitize(error.message)
    if body not in (None, "[1, 2]", "null"):
        assert WORDS in error.message
