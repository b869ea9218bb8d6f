"""The Python API, as a host program uses it: events, the turn, errors, keys, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streaming_chat
from conftest import KEY, ROOT, World
from server import Close, Hang, Server, answer, http_error
from streaming_chat import (
    ChatError,
    ConnectionCut,
    CredentialsError,
    Finished,
    Kind,
    Message,
    Outcome,
    QuotaError,
    RateLimitError,
    ReasoningDelta,
    RequestRejected,
    Retrying,
    Sent,
    ServerError,
    Started,
    TextDelta,
    TimedOut,
    UsageError,
    UsageReported,
    stream,
)


@pytest.fixture
def ask(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def asked(prompt: Any = "hi", **fields: Any) -> Any:
        return stream(prompt, model="m", base_url=server.base_url, **fields)

    return asked


def texts(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def read_into(events: list[Any], running: Any) -> None:
    """Unlike `list`, this keeps what came before a failure."""
    with running:
        while (event := next(running, None)) is not None:
            events.append(event)


def test_the_events_of_an_answer_and_its_turn(ask, server):
    server.play(answer(["One ", "two."], usage={"prompt_tokens": 3, "completion_tokens": 2}))
    with ask() as running:
        events = list(running)
    assert [type(event) for event in (events[0], events[1], events[-1])] == [Sent, Started, Finished]
    assert texts(events) == "One two."
    assert any(isinstance(event, UsageReported) for event in events)
    turn = running.turn
    assert (turn.outcome, turn.text, turn.error) == (Outcome.COMPLETE, "One two.", None)
    assert turn.usage.completion_tokens == 2
    assert 0 < turn.timing.first_token <= turn.timing.total


def test_text_is_there_before_the_answer_is_over(ask, server):
    server.play([*answer(["first"], done=False, finish_reason=None)[:-1], Hang()])
    started = time.monotonic()
    with ask() as running:
        for event in running:
            if isinstance(event, TextDelta):
                break
    assert time.monotonic() - started < 5
    assert (running.turn.outcome, running.turn.text) == (Outcome.INTERRUPTED, "first")


def test_it_is_an_iterator_without_with_too(ask, server):
    server.play(answer(["a"]))
    running = ask()
    assert texts(list(running)) == "a"
    assert list(running) == []
    assert running.turn.outcome is Outcome.COMPLETE


def test_the_turn_is_not_there_before_the_end(ask, server):
    server.play(answer(["a"]))
    with ask() as running:
        next(running)
        with pytest.raises(RuntimeError, match="not over"):
            _ = running.turn


def test_a_stream_that_is_never_read_sends_nothing(ask, server):
    with ask() as running:
        pass
    assert running.turn.outcome is Outcome.INTERRUPTED
    assert server.chats == []
    assert list(running) == []


def test_what_is_sent(ask, server):
    server.play(answer(["a"]))
    messages = [Message("user", "one"), {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]
    list(ask(messages, system="Be brief.", temperature=0.5, max_tokens=None, seed=7))
    body = json.loads(server.chats[0].body)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert {name: body.get(name) for name in ("model", "temperature", "seed", "stream")} == {
        "model": "m",
        "temperature": 0.5,
        "seed": 7,
        "stream": True,
    }
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, CredentialsError, Kind.KEY_MISSING),
        (429, RateLimitError, Kind.RATE_LIMIT),
        (402, QuotaError, Kind.QUOTA),
        (404, RequestRejected, Kind.PATH_NOT_FOUND),
        (500, ServerError, Kind.SERVER_FAILED),
    ],
)
def test_a_refused_request_is_raised_as_an_error_with_facts(ask, server, status, error, kind):
    server.play(http_error(status, {"error": {"message": "no", "code": "c", "param": "p"}}))
    running = ask(retries=0)
    with pytest.raises(error) as caught:
        list(running)
    assert (caught.value.kind, caught.value.status_code, caught.value.code, caught.value.param) == (kind, status, "c", "p")
    assert not re.search(r"--[a-z]", str(caught.value))
    assert running.turn.error is caught.value


def test_a_failure_comes_after_the_events_before_it(ask, server):
    server.play([*answer(["half "], done=False, finish_reason=None)[:-1], Close()])
    events: list[Any] = []
    running = ask()
    with pytest.raises(ConnectionCut):
        read_into(events, running)
    assert texts(events) == "half "
    assert isinstance(events[-1], Finished)
    assert (running.turn.text, running.turn.outcome) == ("half ", Outcome.TRUNCATED)
    # It is raised once.
    assert list(running) == []


def test_a_failure_that_passes_is_tried_again(ask, server):
    server.play(http_error(503, {}, {"retry-after-ms": "1"}), answer(["there"]))
    events = list(ask())
    assert [event.attempt for event in events if isinstance(event, Retrying)] == [2]
    assert texts(events) == "there"


def test_the_time_of_a_turn_is_bounded(ask, server):
    server.play([Hang()])
    with pytest.raises(TimedOut) as caught:
        list(ask(max_time=0.3))
    assert caught.value.kind is Kind.TIME_LIMIT


def test_an_outcome_that_is_not_complete_is_no_error(ask, server):
    server.play(answer(["cut"], finish_reason="length"))
    running = ask()
    list(running)
    assert running.turn.outcome is Outcome.LENGTH


def test_reasoning_is_an_event_of_its_own(ask, server):
    server.play(answer(["<think>why</think>", "so"]))
    events = list(ask())
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "why"


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ((None,), {}),
        ((["text"],), {}),
        (([{"role": "user"}],), {}),
        (([],), {}),
        (("  ",), {}),
        (("\ud800",), {}),
        (("hi",), {"base_url": "ftp://host/v1"}),
        (("hi",), {"base_url": "host/v1"}),
        (("hi",), {"base_url": "http://host:port/v1"}),
        (("hi",), {"timeout": 0}),
        (("hi",), {"max_time": -1}),
        (("hi",), {"retries": -1}),
        (("hi",), {"stream": False}),
        (("hi",), {"base_url": 5}),
        (("hi",), {"base_url": ""}),
        (("hi",), {"model": ""}),
        (("hi",), {"system": 3}),
        (("hi",), {"api_key": b"sk"}),
        (("hi",), {"model": None}),
        (("hi",), {"timeout": "5"}),
        (("hi",), {"timeout": float("nan")}),
        (("hi",), {"max_time": float("inf")}),
        (("hi",), {"retries": 1.5}),
        (("hi",), {"retries": True}),
        (("hi",), {"seed": {1, 2}}),
        (("hi",), {"temperature": float("nan")}),
        (("hi",), {"base_url": "http://example.com/v1", "api_key": KEY}),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(arguments, fields):
    with pytest.raises(UsageError):
        stream(*arguments, **{"model": "m", "base_url": "http://127.0.0.1:9/v1", **fields})


# Keys


@pytest.mark.parametrize(
    ("fields", "sent"),
    [({}, None), ({"api_key": "sk-given-0123456789"}, "sk-given-0123456789")],
)
def test_the_key_in_the_environment_does_not_follow_an_address_in_the_code(ask, server, monkeypatch, fields, sent):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.play(answer(["a"]))
    list(ask(**fields))
    authorization = server.chats[0].headers["authorization"]
    assert KEY not in authorization
    assert authorization == f"Bearer {sent or 'no-key'}"


def test_key_and_address_of_the_environment_go_together(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    server.play(answer(["a"]))
    list(stream("hi", model="m"))
    assert server.chats[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("base_url", [None, "https://api.openai.com/v1"])
def test_the_key_of_the_environment_is_for_openai(monkeypatch, base_url):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # It would be an error without a key. Nothing is sent before the first event is asked for.
    stream("hi", model="m", base_url=base_url).close()


def test_after_close_there_is_nothing_more(ask, server):
    server.play([*answer(["half "], done=False, finish_reason=None)[:-1], Close()])
    running = ask()
    while not isinstance(next(running), Finished):
        pass
    running.close()
    assert list(running) == []
    assert isinstance(running.turn.error, ConnectionCut)


@pytest.mark.parametrize("key", ["ké", "a b", "a\r\nX-Evil: 1"])
def test_a_damaged_key_is_named_as_what_it_is(ask, server, key):
    with pytest.raises(CredentialsError) as caught:
        ask(api_key=key)
    assert key not in str(caught.value)
    assert server.chats == []


def test_an_error_holds_nothing_that_holds_the_key(ask, server):
    server.play(http_error(401, {}))
    with pytest.raises(CredentialsError) as caught:
        list(ask(api_key=KEY))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_stream_that_is_dropped_closes_its_connection(ask, server):
    server.play([*answer(["a"], done=False, finish_reason=None)[:-1], Hang()])
    running = ask()
    while not isinstance(next(running), TextDelta):
        pass
    del running
    assert server.wait_for_close(server.exchanges[-1]) > 0


def test_openai_without_a_key_is_an_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(CredentialsError):
        stream("hi", model="m")


def test_a_server_that_repeats_the_key_finds_it_masked(ask, server):
    server.play(answer([f"your key is {KEY}"]))
    events = list(ask(api_key=KEY))
    assert KEY not in texts(events)


# Threads


def test_many_threads_at_once(ask, server):
    count = 24
    server.play(*[answer(["a ", "b"], delay=0.002) for _ in range(count)])
    found: list[str] = []

    def one() -> None:
        with ask() as running:
            found.append(texts(list(running)))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["a b"] * count


def test_the_limit_of_one_stream_is_not_that_of_another(ask, server):
    server.play([*answer(["one"], done=False, finish_reason=None)[:-1], Hang()], answer(["two"], first_delay=0.6))
    first = ask(max_time=0.3)
    while not isinstance(next(first), TextDelta):
        pass
    assert texts(list(ask())) == "two"
    with pytest.raises(TimedOut):
        list(first)


# The host program


def python(code: str, world: World, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return world.run(program=[sys.executable, "-c", code], env=environment)


def test_importing_the_package_loads_neither_the_sdk_nor_the_command_line(world: World) -> None:
    code = (
        "import sys; before = set(sys.modules); import streaming_chat; new = set(sys.modules) - before;"
        "assert new == {'streaming_chat'}, new; print(sorted(dir(streaming_chat))[0])"
    )
    done = python(code, world)
    assert done.returncode == 0, done.stderr.decode()


def test_the_api_loads_nothing_of_the_terminal_the_history_or_the_settings(world: World, server: Server) -> None:
    server.play(answer(["a"]))
    code = (
        "import sys\nfrom streaming_chat import stream\n"
        f"list(stream('hi', model='m', base_url={server.base_url!r}))\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('streaming_chat.')}\n"
        "assert rooms <= {'api', 'core', 'engine', 'providers', 'text', 'wire'}, rooms\n"
        "assert not {'sqlite3', 'dotenv', 'prompt_toolkit'} & set(sys.modules)\n"
    )
    done = python(code, world)
    assert done.returncode == 0, done.stderr.decode()


def test_it_touches_no_signal_no_file_and_no_terminal(world: World, server: Server) -> None:
    server.play(answer(["a"]))
    (world.folder / ".env").write_text("OPENAI_API_KEY=sk-of-the-folder-0123456789\nOPENAI_BASE_URL=http://127.0.0.1:9/v1\n")
    code = (
        "import signal\nbefore = [signal.getsignal(number) for number in range(1, 32)]\n"
        "from streaming_chat import stream\n"
        f"list(stream('hi', model='m', base_url={server.base_url!r}))\n"
        "assert [signal.getsignal(number) for number in range(1, 32)] == before\n"
    )
    before = sorted(world.folder.rglob("*"))
    done = python(code, world)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(world.folder.rglob("*")) == before
    assert not world.state.exists()
    assert "sk-of-the-folder" not in server.chats[0].headers["authorization"]


WHOLE = "assert openai.types.CompletionUsage and openai.AsyncOpenAI and openai.resources.chat.completions.Completions"


@pytest.mark.parametrize(
    "order",
    [
        "import openai; {call}",
        "{call}; import openai",
        "{call}; from openai import OpenAI; import openai",
        "import threading; t = threading.Thread(target=__import__, args=['openai']); t.start(); {call}; import openai",
    ],
)
def test_the_host_finds_the_sdk_whole(world: World, server: Server, order: str) -> None:
    server.play(answer(["a"]))
    call = f"from streaming_chat import stream; list(stream('hi', model='m', base_url={server.base_url!r}))"
    code = f"{order.format(call=call)}; {WHOLE}; import sys; assert type(sys.modules['openai']).__name__ == 'module'"
    done = python(code, world)
    assert done.returncode == 0, done.stderr.decode()


def test_ctrl_c_is_pythons_own_and_leaves_the_turn(world: World, server: Server) -> None:
    server.play([*answer(["half"], done=False, finish_reason=None)[:-1], Hang()])
    code = (
        "from streaming_chat import stream, TextDelta\n"
        f"running = stream('hi', model='m', base_url={server.base_url!r})\n"
        "try:\n    with running:\n        for event in running:\n            if isinstance(event, TextDelta):\n"
        "                print('there', flush=True)\n"
        "except KeyboardInterrupt:\n    print(running.turn.outcome.value, running.turn.text)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=world.folder, env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"there\n"
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert (out, err) == (b"interrupted half\n", b"")


# Names, types and the page


def test_every_public_name_is_there():
    for name in streaming_chat.__all__:
        assert getattr(streaming_chat, name) is not None
    assert set(streaming_chat.__all__) <= set(dir(streaming_chat))
    with pytest.raises(AttributeError):
        _ = streaming_chat.no_such_name


def test_type_checkers_see_the_public_names(tmp_path: Path) -> None:
    names = sorted(set(streaming_chat.__all__) - {"__version__"})
    (tmp_path / "host.py").write_text(
        f"from streaming_chat import {', '.join(names)}\n"
        "def f() -> str:\n"
        "    with stream('hi', model='m', temperature=0.5) as answer:\n"
        "        for event in answer:\n"
        "            if isinstance(event, TextDelta):\n"
        "                return event.text\n"
        "    return answer.turn.outcome.value\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            os.devnull,
            "--cache-dir",
            str(tmp_path / "c"),
            "host.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stdout


def examples() -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", list(examples()))
def test_the_examples_of_the_page_run(world: World, server: Server, example: str) -> None:
    server.play(answer(["Because ", "of physics."], usage={"prompt_tokens": 5, "completion_tokens": 3}))
    code = example.replace("http://127.0.0.1:8080/v1", server.base_url)
    done = python(code, world, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.base_url)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Because of physics." in done.stdout
    assert done.stderr == b""


def test_the_page_names_every_event_and_error():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    missing = {
        name
        for name in streaming_chat.__all__
        if isinstance(value := getattr(streaming_chat, name), type)
        and (issubclass(value, ChatError) or hasattr(value, "at"))
        and name not in named
    }
    assert not missing
