"""Numbers that Python's JSON parser refuses, or reads as what no JSON can hold: the event counts, the number does not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY
from server import LAST_FRAME, Send, Server, Step, chunk, frame, head, http_error, sse
from streaming_chat.core.json_text import from_json, has_too_many_values
from streaming_chat.core.limits import MOST_VALUES

Ask = Callable[..., subprocess.CompletedProcess[bytes]]

NUMBERS = ["9" * 5000, "-" + "9" * 5000, "1e999", "-1e999", "9" * 5000 + ".5", "NaN", "Infinity", "-Infinity"]
HERE = '"@"'


def raw(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def answered(text: str) -> list[Step]:
    """An answer with this event in its middle."""
    events = [sse(chunk("one ")), sse(text), sse(chunk("three")), sse(chunk(finish_reason="stop")), sse("[DONE]")]
    return [Send(head()), *(Send(frame(event)) for event in events), Send(LAST_FRAME)]


PLACES: dict[str, Any] = {
    "usage": chunk("two ", usage={"prompt_tokens": "@", "completion_tokens": 7}),
    "created": chunk("two ", created="@"),
    "index": chunk("two ", choices=[{"index": "@", "delta": {"content": "two "}}]),
    "logprobs": chunk("two ", choices=[{"index": 0, "delta": {"content": "two "}, "logprobs": {"content": ["@"]}}]),
    "another choice": chunk("two ", choices=[{"index": 0, "delta": {"content": "two "}}, {"index": 1, "delta": {"x": "@"}}]),
    "an unknown field": chunk("two ", x={"y": [["@"]]}),
    "a key of the user beside it": chunk("two ", x=["@", f"\\/{KEY}"]),
}


@pytest.mark.parametrize("number", NUMBERS, ids=[number[:12] for number in NUMBERS])
@pytest.mark.parametrize("place", PLACES)
def test_the_event_counts_and_the_number_does_not(ask: Ask, server: Server, place: str, number: str) -> None:
    server.play(answered(raw(PLACES[place]).replace(HERE, number)))
    done = ask("hi", "--json")
    assert done.returncode == 0, done.stderr
    # Other programs read these lines: nothing that only Python takes for JSON.
    events = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert events[-1]["text"] == "one two three"
    if place == "usage":
        assert (events[-1]["usage"]["prompt_tokens"], events[-1]["usage"]["completion_tokens"]) == (None, 7)


@pytest.mark.parametrize("number", NUMBERS, ids=[number[:12] for number in NUMBERS])
def test_in_an_answer_in_one_piece_and_in_errors(ask: Ask, server: Server, number: str) -> None:
    completion = {"object": "chat.completion", "created": "@", "choices": [{"index": 0, "message": {"content": "whole"}}]}
    completion["choices"][0]["finish_reason"] = "stop"
    server.play(
        [Send(head(content_type="application/json", chunked=False)), Send(raw(completion).replace(HERE, number).encode())]
    )
    assert ask("hi").stdout == b"whole\n"

    failure = raw({"error": {"message": "not like this", "code": "@", "param": "messages"}}).replace(HERE, number)
    server.play(http_error(400, failure))
    done = ask("hi")
    assert done.returncode == 8
    assert "says 400: not like this" in done.stderr.decode()

    server.play(answered(failure))
    done = ask("hi")
    assert "sent an error instead of an answer: not like this" in done.stderr.decode()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_all_other_json_is_read_as_it_stands(value: Any) -> None:
    text = json.dumps(value)
    assert from_json(text) == json.loads(text)
    assert from_json(f" {text} ") == value


@given(values, st.sampled_from(NUMBERS))
def test_a_number_beside_anything(value: Any, number: str) -> None:
    assert from_json(f"[{json.dumps(value)},{number},1]") == [value, None, 1]


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", '{"a":1} x', '"\x00"', "9" * 5000 + "x", "[" + "9" * 5000])
def test_what_is_no_json_stays_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 # which of them is the library's business
        from_json(text)


def test_what_would_take_many_times_its_own_memory_is_told_apart() -> None:
    assert not has_too_many_values("," * 1000)
    assert not has_too_many_values("x" * (1 << 21))
    assert has_too_many_values("[{      }" + ",{      }" * MOST_VALUES + "]")
