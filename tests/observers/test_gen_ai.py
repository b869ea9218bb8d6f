"""Which provider a host is, and what of a request has a name in the conventions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import OutputClosed, ServerError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.observers.gen_ai import Peer, common_attributes, error_type, peer, span_attributes

TURN = Turn(ChatRequest("m", (Message("user", "U"),)), "T", "", Outcome.COMPLETE, "stop", None, Timing(total=1.0))


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("api.groq.com", "groq"),
        ("api.mistral.ai", "mistral_ai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("notapi.openai.com", "openai_compatible"),
        ("openrouter.ai", "openai_compatible"),
        ("localhost", "openai_compatible"),
    ],
)
def test_a_provider_is_known_by_its_host(host: str, provider: str) -> None:
    assert peer(host, 443) == Peer(provider, host, 443)


def test_the_embedded_model_is_at_no_address() -> None:
    assert peer(None, 80) == Peer("llama.cpp")
    assert not [name for name in common_attributes(TURN, peer(None, 80)) if name.startswith("server")]


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"max_completion_tokens": 5}, {"gen_ai.request.max_tokens": 5}),
        ({"n": 1}, {}),
        ({"n": 2}, {"gen_ai.request.choice.count": 2}),
        ({"top_k": 40}, {"gen_ai.request.top_k": 40.0}),
        ({"presence_penalty": 0.5, "frequency_penalty": -1}, {"presence_penalty": 0.5, "frequency_penalty": -1.0}),
        # The wrong type of a value is the server's to refuse.
        ({"seed": 2**63, "top_k": 10**400}, {}),
        ({"seed": "7", "n": True, "top_k": [1], "max_completion_tokens": None, "user": "me"}, {}),
    ],
)
def test_what_else_was_asked_for_has_its_names(extra: dict[str, Any], found: dict[str, Any]) -> None:
    bare = span_attributes(TURN, peer("h", 1), conversation="c", first_chunk=None)
    turn = replace(TURN, request=replace(TURN.request, extra=extra))
    more = span_attributes(turn, peer("h", 1), conversation="c", first_chunk=None)
    assert {name: value for name, value in more.items() if name not in bare} == {
        name if name.startswith("gen_ai") else f"gen_ai.request.{name}": value for name, value in found.items()
    }


def test_a_count_that_the_protocol_cannot_tell_is_left_out() -> None:
    turn = replace(TURN, usage=Usage(10**30, 7))
    found = span_attributes(turn, peer("h", 1), conversation="c", first_chunk=None)
    assert [name for name in found if name.startswith("gen_ai.usage")] == ["gen_ai.usage.output_tokens"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, None),
        ({"outcome": Outcome.LENGTH}, None),
        ({"outcome": Outcome.TRUNCATED}, "truncated"),
        ({"outcome": Outcome.ERROR, "error": ServerError("m", "h", status_code=503)}, "503"),
        ({"outcome": Outcome.ERROR, "error": ServerError("m", "h")}, "ServerError"),
        ({"outcome": Outcome.INTERRUPTED, "error": OutputClosed()}, None),
    ],
)
def test_a_failure_has_a_type_and_what_the_user_wanted_has_none(fields: dict[str, Any], found: str | None) -> None:
    assert error_type(replace(TURN, **fields)) == found
