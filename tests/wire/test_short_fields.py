"""What a server may send in a field of one line: whatever its length and its characters, it is one line, and a short one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY, World
from screen import Screen
from server import LAST_FRAME, Send, Server, Step, chunk, frame, head, http_error, models, sse
from streaming_chat.core.limits import LONGEST_FIELD
from streaming_chat.text.lines import one_line

Ask = Callable[..., subprocess.CompletedProcess[bytes]]

#: A field that would begin a line of its own, in every way in which lines begin.
FORGED = "x\nerror: forged\r\nhint: forged\u2028notice: forged\x85error: forged\x0berror: forged"
BEGUN = ("error: forged", "hint: forged", "notice: forged")
LONG = "y" * (1 << 20)
#: What a line around the field may have beside it, characters.
AROUND = 200


def stream(*chunks: dict[str, Any], headers: dict[str, str] | None = None) -> list[Step]:
    """An answer of these chunks."""
    return [Send(head(headers=headers)), *(Send(frame(sse(one))) for one in (*chunks, "[DONE]")), Send(LAST_FRAME)]


def call(name: str) -> dict[str, Any]:
    return chunk(delta={"tool_calls": [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}}]})


def error(**fields: Any) -> list[Step]:
    return http_error(400, {"error": {"message": "no", "type": None, "param": None, "code": None, **fields}})


SCRIPTS: dict[str, Callable[[str], list[Step]]] = {
    "finish_reason": lambda value: stream(chunk("text"), chunk(finish_reason=value)),
    "finish_reason of a cut": lambda value: stream(chunk("text"), chunk(finish_reason="length"), chunk(finish_reason=value)),
    "model": lambda value: stream(chunk("text", model=value), chunk(finish_reason="stop", model=value)),
    "name of a call": lambda value: stream(call(value), chunk(finish_reason="tool_calls")),
    "event that is no chunk": lambda value: [
        Send(head()),
        Send(frame(sse(chunk("text")) + sse(value) + sse(chunk(finish_reason="stop")) + sse("[DONE]"))),
        Send(LAST_FRAME),
    ],
    "message of an error": lambda value: error(message=value),
    "code of an error": lambda value: error(code=value),
    "param of an error": lambda value: error(param=value),
    "type of an error": lambda value: error(type=value),
    "error in a stream": lambda value: stream(chunk("text"), {"error": {"message": value, "code": value}}),
}


def short_lines(text: str) -> list[str]:
    """The lines, none of which is long."""
    assert "Traceback" not in text
    lines = text.splitlines()
    assert [len(line) for line in lines if len(line) > LONGEST_FIELD + AROUND] == []
    return lines


@pytest.mark.parametrize("value", [FORGED, LONG], ids=["forged", "long"])
@pytest.mark.parametrize("field", SCRIPTS)
def test_a_field_of_an_answer_is_one_short_line(world: World, ask: Ask, server: Server, field: str, value: str) -> None:
    server.play(SCRIPTS[field](value))
    done = ask("hi", env={"STREAMING_CHAT_LOG_DIR": "log", "STREAMING_CHAT_EXPORT_DIR": "export"})
    texts = [done.stderr.decode(), ask("history", "show", "1").stdout.decode(), ask("history").stdout.decode()]
    texts += [path.read_text() for folder in ("log", "export") for path in (world.folder / folder).iterdir()]
    for text in texts:
        lines = short_lines(text)
        assert not [line for line in lines if line.startswith(BEGUN)]


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "apim-request-id"])
def test_a_request_id_is_short(ask: Ask, server: Server, name: str) -> None:
    server.play(http_error(400, {"error": {"message": "no"}}, {name: "z" * 60_000}))
    done = ask("hi")
    assert done.returncode == 8
    short_lines(done.stderr.decode())
    assert "(request id zzz" in done.stderr.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "9" * 60_000},
        {"retry-after": "Mon, " * 10_000},
        {"retry-after-ms": "1e308"},
        {"content-type": "a" * 60_000},
    ],
    ids=["number", "date", "milliseconds", "content type"],
)
def test_other_headers_are_short(ask: Ask, server: Server, headers: dict[str, str]) -> None:
    server.play(http_error(429, {"error": {"message": "no"}}, headers))
    done = ask("hi", "--retries", "0")
    assert done.returncode == 4
    short_lines(done.stderr.decode())


def test_a_long_reason_phrase_and_a_long_type(ask: Ask, server: Server) -> None:
    server.play([Send(b"HTTP/1.1 400 " + b"r" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")])
    done = ask("hi")
    assert done.returncode == 8
    short_lines(done.stderr.decode())
    server.play([Send(head(content_type="t" * 60_000, chunked=False)), Send(b"nothing")])
    done = ask("hi")
    assert done.returncode == 5
    short_lines(done.stderr.decode())


def test_the_names_of_models_are_lines(world: World) -> None:
    with Server(models_script=models(FORGED, LONG, "plain")) as server:
        done = world.run("models", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert len(short_lines(done.stdout.decode())) == 3


@pytest.mark.parametrize("field", ["finish_reason", "model", "name of a call", "error in a stream"])
def test_in_a_terminal_too(chat: Callable[..., Screen], server: Server, field: str) -> None:
    server.play(SCRIPTS[field](FORGED))
    screen = chat()
    screen.line("hi")
    screen.wait_until(lambda: screen.text.count("You:") == 2)
    assert not [line for line in screen.text.splitlines() if line.startswith(BEGUN)]


def test_json_has_one_line_an_event(ask: Ask, server: Server) -> None:
    server.play(stream(chunk("text", model=FORGED), call(FORGED), chunk(finish_reason=FORGED)))
    events = [json.loads(line) for line in ask("hi", "--json").stdout.split(b"\n") if line]
    assert events[-1]["finish_reason"] == events[-1]["model"] == FORGED


@given(st.text(), st.integers(1, 40))
def test_one_line_has_no_line_end_and_a_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
    assert one_line(line, longest) == line


@given(st.text(alphabet=st.characters(blacklist_categories=["Z", "C"]), max_size=LONGEST_FIELD))
def test_a_short_line_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text
