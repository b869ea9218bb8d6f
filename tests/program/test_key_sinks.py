"""Wherever a text goes, the key does not: one rule for all of stdout, `--json`, stderr, files and the collector."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from collector import Collector
from conftest import World
from screen import Screen
from server import LAST_FRAME, Script, Send, Server, answer, chunk, frame, head, http_error, sse

LONG = "sk-proj-0123456789-abcdefghij"
SHORT = "sk-1234x"
#: Each of the characters that JSON escapes.
ESCAPED = 'sk-"a\\b/c-0123456789'
KEYS = pytest.mark.parametrize("key", [LONG, SHORT, ESCAPED], ids=["long", "short", "escaped in JSON"])


def spellings(key: str) -> list[str]:
    in_json = json.dumps(key)[1:-1]
    return [key, in_json, in_json.replace("/", "\\/"), json.dumps(in_json)[1:-1], html.escape(key)]


def leaks(key: str, text: str) -> list[str]:
    return [spelling for spelling in spellings(key) if spelling in text]


def repeating(key: str) -> Script:
    """An answer in which a server repeats the key in everything that a chunk can hold, escaped in various ways."""

    def event(data: dict[str, Any]) -> Send:
        text = json.dumps(data, ensure_ascii=False)
        # Some libraries escape what others do not.
        return Send(frame(sse(text.replace("/", "\\/").replace("sk-", "\\u0073k\\u002d"))))

    call = {"index": 0, "id": "1", "function": {"name": f"use_{key}", "arguments": json.dumps({"key": key})}}
    middle = len(key) // 2
    return [
        Send(head(headers={"x-request-id": f"req-{key}"})),
        event(chunk("", role="assistant", model=f"m-{key}")),
        event(chunk(delta={"reasoning_content": f"The key is {key}. "})),
        event(chunk(f"Your key: {key[:middle]}")),
        event(chunk(f"{key[middle:]}, explained. {key}")),
        event(chunk(delta={"tool_calls": [call]})),
        event(chunk(finish_reason=f"because-{key}")),
        event(chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})),
        Send(frame(sse(f"not JSON {key}"))),
        Send(frame(sse("[DONE]"))),
        Send(LAST_FRAME),
    ]


@KEYS
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_an_answer_that_repeats_the_key(world: World, server: Server, key: str, form: list[str]) -> None:
    server.play(repeating(key))
    with Collector() as collector:
        done = world.run(
            *("--base-url", server.base_url, "--log-dir", "logs", "--export-dir", "out", "--export-format", "all"),
            *("--otel", "--otel-content", "--model", f"asked-{key}", "--system", f"I have {key}", *form, f"Is {key} mine?"),
            env={**collector.environment, "OPENAI_API_KEY": key},
        )
        exported = b"".join(collector.raw).decode(errors="replace")
    assert done.returncode == 0, done.stderr
    assert server.chats[0].headers["authorization"] == f"Bearer {key}"
    assert "explained" in done.stdout.decode()
    assert leaks(key, done.stdout.decode()) == []
    assert leaks(key, done.stderr.decode()) == []
    assert exported
    assert leaks(key, exported) == []
    files = [path for path in world.folder.parent.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".db", ".log", ".md", ".html", ".json", ".cast", ".svg"}
    assert [path.name for path in files if leaks(key, path.read_bytes().decode(errors="replace"))] == []


@KEYS
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{{"error": {{"message": "bad key {json}", "code": "no-{json}", "param": "{json}", "type": "{json}"}}}}'),
        (400, '{{"detail": [{{"msg": "{json}", "loc": ["body", "{json}"]}}]}}'),
        (500, '{{"unknown": "{json}"}}'),
        (502, "<html><title>{plain}</title>{plain}</html>"),
        (503, "{plain}"),
        (200, "{plain}"),
        (200, '{{"error": "{json}"}}'),
        (200, 'data: {{"error": {{"message": "{json}"}}}}\n\n'),
        (200, "event: error\ndata: {plain}\n\n"),
        (200, "data: {{{plain}}}\n\n"),
    ],
)
def test_an_error_that_repeats_the_key(world: World, server: Server, key: str, status: int, body: str) -> None:
    text = body.format(json=json.dumps(key)[1:-1].replace("/", "\\/"), plain=key)
    server.play(http_error(status, text, headers={"x-request-id": key, "content-type": "application/json"}))
    for form in ([], ["--json"]):
        done = world.run(
            "hi", "--base-url", server.base_url, "--retries", "0", "--log-dir", "logs", *form, env={"OPENAI_API_KEY": key}
        )
        assert done.returncode in (3, 5, 7, 8), done.stderr
        assert b"error" in done.stderr + done.stdout
        assert leaks(key, done.stdout.decode() + done.stderr.decode()) == []
    files = [path for path in world.folder.parent.rglob("*") if path.is_file()]
    assert [path.name for path in files if leaks(key, path.read_bytes().decode(errors="replace"))] == []
    done = world.run("models", "--base-url", server.base_url, env={"OPENAI_API_KEY": key})
    assert leaks(key, done.stdout.decode() + done.stderr.decode()) == []


@KEYS
def test_what_is_typed(world: World, server: Server, key: str) -> None:
    screen: Screen = world.screen("--base-url", server.base_url, "--log-dir", "logs", env={"OPENAI_API_KEY": key})
    screen.wait_for("You:")
    screen.line(f"Is {key} mine?")
    screen.wait_for("total:")
    screen.line(f"/system {key}")
    screen.wait_for(re.compile("^system:", re.MULTILINE))
    screen.line("/config")
    screen.wait_for("api_key")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert server.chats[0].json["messages"][-1]["content"] == f"Is {key} mine?"
    files = [path for path in world.folder.parent.rglob("*") if path.is_file()]
    assert [path.name for path in files if leaks(key, path.read_bytes().decode(errors="replace"))] == []


@pytest.mark.parametrize("key", ["x", "exp", "a1", "plain", "explain"])
def test_a_placeholder_takes_nothing_out_of_a_text(world: World, server: Server, key: str) -> None:
    text = "explain exp1, in plain words: x a1"
    server.play(answer(list(text)), http_error(400, {"error": {"message": text}}))
    done = world.run("--base-url", server.base_url, "--log-dir", "logs", text, env={"OPENAI_API_KEY": key})
    assert done.stdout.decode() == f"{text}\n"
    done = world.run("--base-url", server.base_url, "--log-dir", "logs2", text, env={"OPENAI_API_KEY": key})
    assert text in done.stderr.decode()
    logs = [path.read_text() for path in world.folder.rglob("*.log")]
    assert sorted(log.count(text) for log in logs) == [2, 2]
    assert [json.loads(line)["prompt"] for line in world.run("history", "--json").stdout.splitlines()] == [text, text]
    assert key not in json.loads(world.run("config", "--json", env={"OPENAI_API_KEY": key}).stdout)["api_key"]["value"]


@pytest.mark.parametrize(
    "key",
    [
        'index":0,"delta":{},"finish_reason',
        '"finish_reason":"length"',
        "finish_reason",
        "completion_tokens",
        "chat.completion.chunk",
        "1700000000",
        "170000000",
    ],
)
def test_a_key_that_looks_like_a_piece_of_json_changes_nothing_else(world: World, server: Server, key: str) -> None:
    """A `.env` can bring a key, and the user's own server must not seem to say something else because of it."""
    usage = {"prompt_tokens": 3, "completion_tokens": 170000000}
    server.play(answer(["cut", " off"], finish_reason="length", usage=usage))
    done = world.run("hi", "--json", "--base-url", server.base_url, env={"OPENAI_API_KEY": key})
    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 7, done.stderr
    assert (last["outcome"], last["text"]) == ("length", "cut off")
    assert last["usage"]["completion_tokens"] == 170000000
