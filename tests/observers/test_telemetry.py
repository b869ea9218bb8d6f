"""`--otel`: what a collector is sent of a turn, what it is not sent, and that it can do no harm."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from collector import Collector, attributes
from conftest import KEY, World
from screen import Screen
from server import Hang, Send, Server, Wait, answer, chunk, frame, head, http_error, sse

DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKENS = "gen_ai.client.token.usage"
SECOND_BOUNDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKEN_BOUNDS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
Ask = Callable[..., Any]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def told(ask: Ask, collector: Collector) -> Callable[..., Any]:
    """Ask with --otel; the one span that came of it."""

    def told(*arguments: str, status: int = 0, env: dict[str, str] | None = None) -> Any:
        done = ask("--otel", *arguments, env={**collector.environment, **(env or {})})
        assert done.returncode == status, done.stderr
        assert b"telemetry" not in done.stderr
        (span,) = collector.spans
        return span

    return told


def without_collector() -> dict[str, str]:
    """An endpoint at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free.getsockname()[1]}"}


# What is sent


def test_a_turn_is_a_span_by_the_conventions(told: Ask, server: Server, collector: Collector) -> None:
    server.play(answer(["Hel", "lo"], usage=USAGE, model="gpt-4o-mini-2024-07-18"))
    span = told("hi", "--temperature", "0.5", "--top-p", "0.9", "--max-tokens", "64", "--param", "seed=7")
    assert span.name == "chat gpt-4o-mini"
    assert span.kind == 3  # CLIENT
    assert span.status.code == 0
    found = attributes(span)
    host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    conversation = found.pop("gen_ai.conversation.id")
    assert re.fullmatch("[0-9a-f]{32}", conversation)
    assert found.pop("gen_ai.response.time_to_first_chunk") > 0
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.seed": 7,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "server.address": host,
        "server.port": int(port),
        "streaming_chat.outcome": "complete",
    }
    assert collector.resource["service.name"] == "streaming-chat"
    assert collector.resource["service.version"]


def test_what_the_server_did_not_count_and_the_user_did_not_set_is_not_there(told: Ask, server: Server) -> None:
    server.play(answer(["Hi"]))
    found = attributes(told("hi"))
    assert not [name for name in found if name.startswith(("gen_ai.usage", "gen_ai.request.t", "error"))]


def test_the_histograms_have_the_buckets_of_the_conventions(told: Ask, server: Server, collector: Collector) -> None:
    server.play(answer(["Hel", "lo"], first_delay=0.1, usage=USAGE))
    span = told("hi")
    assert collector.units() == {DURATION: "s", FIRST_CHUNK: "s", TOKENS: "{token}"}
    (duration,), (first,) = collector.points(DURATION), collector.points(FIRST_CHUNK)
    assert (duration.count, first.count) == (1, 1)
    assert list(duration.explicit_bounds) == list(first.explicit_bounds) == SECOND_BOUNDS
    assert duration.sum == pytest.approx((span.end_time_unix_nano - span.start_time_unix_nano) / 1e9, abs=1e-6)
    assert first.sum == attributes(span)["gen_ai.response.time_to_first_chunk"]
    counts = {attributes(point)["gen_ai.token.type"]: point for point in collector.points(TOKENS)}
    assert {kind: point.sum for kind, point in counts.items()} == {"input": 12, "output": 5}
    assert list(counts["input"].explicit_bounds) == TOKEN_BOUNDS
    for point in (duration, first, *counts.values()):
        assert {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.port"} <= {
            *attributes(point)
        }


def test_a_span_has_the_times_of_the_turn(told: Ask, ask: Ask, server: Server) -> None:
    server.play([Wait(0.2), *answer(["Hel", "lo"], delay=0.3)])
    before = time.time()
    span = told("hi")
    after = time.time()
    start, end = span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9
    assert before < start < end < after
    timing = json.loads(ask("history", "show", "1", "--json").stdout)["timing"]
    assert end - start == pytest.approx(timing["total"], abs=1e-6)
    # The server knows when it sent what, on a clock that has no date: the pair that was read with the least between.
    readings = [(time.perf_counter(), time.time(), time.perf_counter()) for _ in range(99)]
    earlier, date, later = min(readings, key=lambda reading: reading[2] - reading[0])
    exchange = server.exchanges[0]
    assert start - (date - (earlier + later) / 2) <= exchange.request.at + 0.01
    first_chunk = attributes(span)["gen_ai.response.time_to_first_chunk"]
    assert 0.2 <= timing["headers"] <= first_chunk <= timing["first_token"]


def test_retries_and_adaptations_are_events_of_the_one_span(told: Ask, server: Server, collector: Collector) -> None:
    refused = {"error": {"message": "Unsupported parameter: 'top_p' is not supported.", "param": "top_p"}}
    server.play(
        http_error(500, {"error": {"message": "You asked: hi"}}, headers={"Retry-After": "0"}),
        http_error(400, refused),
        answer(["Hi"], usage=USAGE),
    )
    span = told("hi", "--top-p", "0.5")
    assert [(event.name, attributes(event)) for event in span.events] == [
        ("retry", {"attempt": 2, "delay": pytest.approx(0, abs=0.6)}),
        ("adapted", {"adaptation": "no_top_p"}),
    ]
    for event in span.events:
        assert span.start_time_unix_nano < event.time_unix_nano < span.end_time_unix_nano
    assert "gen_ai.request.top_p" not in attributes(span)
    assert sum(point.count for point in collector.points(DURATION)) == 1
    assert {point.sum for point in collector.points(TOKENS)} == {12, 5}


@pytest.mark.parametrize(
    ("script", "flags", "status", "error"),
    [
        (http_error(429, {"error": {"message": "slow down", "code": "insufficient_quota"}}), [], 4, "429"),
        ([Hang()], ["--timeout", "0.3"], 6, "TimedOut"),
        (answer(["half"], finish_reason=None, done=False), [], 7, "truncated"),
    ],
    ids=["a status", "a timeout", "a cut"],
)
def test_a_failure_is_an_error_with_its_type(
    told: Ask, server: Server, collector: Collector, script: Any, flags: list[str], status: int, error: str
) -> None:
    server.play(script)
    span = told("hi", "--retries", "0", *flags, status=status)
    assert span.status.code == 2  # ERROR
    assert attributes(span)["error.type"] == error
    assert attributes(collector.points(DURATION)[0])["error.type"] == error


def test_what_the_model_was_stopped_by_is_no_error(told: Ask, server: Server) -> None:
    server.play(answer(["half"], finish_reason="length"))
    span = told("hi", status=7)
    assert span.status.code == 0
    assert attributes(span)["gen_ai.response.finish_reasons"] == ["length"]


def test_an_answer_in_one_piece_has_no_first_chunk(told: Ask, server: Server, collector: Collector) -> None:
    body = {"object": "chat.completion", "model": "m", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    server.play(http_error(200, body))
    span = told("hi")
    assert "gen_ai.response.time_to_first_chunk" not in attributes(span)
    assert collector.points(FIRST_CHUNK) == []


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,team=x"}, "theirs"),
    ],
)
def test_the_standard_variables_are_heeded(told: Ask, collector: Collector, variables: dict[str, str], name: str) -> None:
    told("hi", env={**variables, "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
    assert collector.resource["service.name"] == name
    assert {headers["x-team"] for headers in collector.headers} == {"blue"}
    if "team" in variables.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        assert collector.resource["team"] == "x"


def test_a_chat_is_one_conversation_that_goes_on_with_continue(
    chat: Callable[..., Screen], ask: Ask, collector: Collector
) -> None:
    screen = chat("--otel", env=collector.environment, columns=120)
    for count, line in enumerate(["one", "two"], 2):
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count)
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert "telemetry" not in screen.text
    assert ask("three", "--continue", "--otel", env=collector.environment).returncode == 0
    assert len(collector.spans) == 3
    assert len({attributes(span)["gen_ai.conversation.id"] for span in collector.spans}) == 1
    session = json.loads(ask("history", "show", "1", "--json").stdout)["session"]
    assert attributes(collector.spans[0])["gen_ai.conversation.id"] == session


# What is not sent


def test_neither_prompt_nor_answer_nor_key_is_exported_unless_asked_for(
    ask: Ask, server: Server, collector: Collector
) -> None:
    server.play(
        http_error(500, {"error": {"message": "You asked: where is the treasure"}}, headers={"Retry-After": "0"}),
        answer(["under ", "the oak"], usage=USAGE),
        http_error(400, {"error": {"message": "where is the treasure is no question"}}),
    )
    flags = ["--system", "You are a pirate.", "--otel"]
    assert ask("where is the treasure", *flags, env=collector.environment).returncode == 0
    assert ask("where is the treasure", *flags, env=collector.environment).returncode == 8
    everything = b"".join(collector.raw)
    assert len(collector.spans) == 2
    for secret in (b"treasure", b"oak", b"pirate", KEY.encode()):
        assert secret not in everything


def test_content_that_is_asked_for_is_exported_without_the_key(told: Ask, server: Server, collector: Collector) -> None:
    reasoning = chunk(delta={"reasoning_content": "Hm."})
    call = chunk(delta={"tool_calls": [{"index": 0, "id": "1", "function": {"name": "dig", "arguments": "{}"}}]})
    script = [Send(head()), *(Send(frame(sse(one))) for one in (reasoning, chunk("under the oak \U0001f333"), call))]
    server.play([*script, *answer([], role_first=False)[1:]])
    span = told(f"where? {KEY}", "--system", "You are a pirate.", "--otel-content", env={"PYTHONUTF8": "1"})
    found = attributes(span)
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "You are a pirate."}]},
        {"role": "user", "parts": [{"type": "text", "content": f"where? …{KEY[-4:]}"}]},
    ]
    assert json.loads(found["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "under the oak \U0001f333"},
                {"type": "tool_call", "name": "dig", "arguments": "{}"},
            ],
            "finish_reason": "stop",
        }
    ]
    assert KEY.encode() not in b"".join(collector.raw)


def test_a_private_session_exports_no_content(ask: Ask, collector: Collector) -> None:
    done = ask("where?", "--private", "--otel", env={**collector.environment, "STREAMING_CHAT_OTEL_CONTENT": "1"})
    assert done.returncode == 0
    assert b"notice: otel_content (from STREAMING_CHAT_OTEL_CONTENT in the environment) is not heeded" in done.stderr
    assert "gen_ai.input.messages" not in attributes(collector.spans[0])
    assert ask("where?", "--private", "--otel", "--otel-content").returncode == 2


def test_without_otel_nothing_is_sent(ask: Ask, collector: Collector) -> None:
    assert ask("hi", "--otel-content", env=collector.environment).returncode == 0
    assert collector.raw == []


# No harm


def test_a_collector_that_is_not_there_is_one_notice(ask: Ask) -> None:
    environment = without_collector()
    done = ask("hi", "--otel", env=environment)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")
    address = environment["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://")
    latency, *notices = done.stderr.decode().splitlines()
    assert latency.startswith("(first token")
    assert notices == [f"notice: telemetry was not exported: no connection to {address}"]


def test_a_collector_that_breaks_the_connection_is_asked_once_and_not_waited_for(ask: Ask) -> None:
    asked = []

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    asked.append(client.recv(1 << 16).partition(b" HTTP")[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        done = ask("hi", "--otel", env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"})
        listener.shutdown(socket.SHUT_RDWR)
        hanging_up.join()
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")
    assert done.stderr.decode().splitlines()[1:] == [f"notice: telemetry was not exported: no connection to {address}"]
    # No second attempt, before which the SDK would wait.
    assert sorted(asked) == [b"POST /v1/metrics", b"POST /v1/traces"]


def test_a_chat_without_a_collector_tells_so_once_at_its_end(chat: Callable[..., Screen]) -> None:
    screen = chat("--otel", env=without_collector(), columns=120)
    for count, line in enumerate(["one", "two"], 2):
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count)
    assert "telemetry" not in screen.text
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert screen.text.count("notice: telemetry was not exported: no connection to 127.0.0.1:") == 1
    assert "Traceback" not in screen.text


def test_a_fault_of_the_exporting_thread_is_a_notice(ask: Ask, world: World, collector: Collector) -> None:
    # It is imported at the start, wherever it lies.
    (world.folder / "sitecustomize.py").write_text(
        "import streaming_chat.observers.gen_ai as g\ng.content_attributes = lambda turn: {'a': 1 / 0}\n"
    )
    done = ask("hi", "--otel", "--otel-content", env={**collector.environment, "PYTHONPATH": str(world.folder)})
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n"), done.stderr
    assert done.stderr.decode().splitlines()[1:] == ["notice: telemetry was not exported: unexpected: ZeroDivisionError"]


def test_a_collector_that_does_not_answer_is_waited_for_a_second(ask: Ask) -> None:
    with Collector(hangs=True) as collector:
        done = ask("hi", "--otel", env=collector.environment)  # Within a minute; the collector takes two.
    assert done.returncode == 0
    assert re.findall(r"^notice: telemetry was not exported: no answer .*$", done.stderr.decode(), re.MULTILINE)
    assert len(done.stderr.splitlines()) == 2


def test_ctrl_c_ends_the_wait_for_a_collector_and_changes_no_status(world: World, server: Server) -> None:
    with Collector(hangs=True) as collector:
        process = world.start(
            *("hi", "--otel", "--base-url", server.base_url), env={**collector.environment, "OPENAI_API_KEY": KEY}
        )
        while not collector.raw:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b"Hello, world!\n")
    assert stderr.decode().splitlines()[1:] == ["notice: telemetry was not exported: interrupted"]


@pytest.mark.parametrize("status", [404, 503])
def test_a_collector_that_refuses_is_named_with_its_status(ask: Ask, status: int) -> None:
    with Collector(status=status) as collector:
        done = ask("hi", "--otel", env=collector.environment)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines()[1:] == [
        f"notice: telemetry was not exported: {collector.address} answered {status}"
    ]


def test_a_variable_that_cannot_be_read_is_a_notice(ask: Ask) -> None:
    done = ask("hi", "--otel", env={"OTEL_EXPORTER_OTLP_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere"})
    assert done.returncode == 0
    (notice,) = done.stderr.decode().splitlines()[1:]
    assert notice.startswith("notice: telemetry was not exported: ")


def test_a_failure_of_the_answer_keeps_its_status_beside_one_of_the_telemetry(ask: Ask, server: Server) -> None:
    server.play(http_error(401))
    done = ask("hi", "--otel", "--quiet", env=without_collector())
    assert done.returncode == 3
    assert b"telemetry" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_turn_that_a_signal_ends_is_exported(
    world: World, server: Server, collector: Collector, number: signal.Signals
) -> None:
    server.play([*answer(["half"], finish_reason=None, done=False)[:-1], Hang()])
    process = world.start(
        *("hi", "--otel", "--base-url", server.base_url), env={**collector.environment, "OPENAI_API_KEY": KEY}
    )
    assert process.stdout is not None
    assert process.stdout.read(4) == b"half"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    (span,) = collector.spans
    assert attributes(span)["streaming_chat.outcome"] == "interrupted"
    assert span.status.code == 0
    assert "error.type" not in attributes(span)


def test_without_the_sdk_it_is_told_how_to_get_it(ask: Ask, world: World, server: Server) -> None:
    (world.folder / "opentelemetry").mkdir()
    (world.folder / "opentelemetry" / "__init__.py").write_text("")
    done = ask("hi", "--otel", env={"PYTHONPATH": str(world.folder)})
    assert done.returncode == 2
    assert b"error: telemetry needs the OpenTelemetry SDK" in done.stderr
    assert b"hint: pip install 'streaming-chat[otel]'" in done.stderr
    assert not server.chats


def test_the_sdk_is_imported_after_the_answer(ask: Ask, collector: Collector) -> None:
    program: Sequence[str] = [sys.executable, "-X", "importtime", "-m", "streaming_chat"]
    done = ask("hi", "--otel", env=collector.environment, program=program)
    before, _, after = done.stderr.decode().partition("(first token")
    assert "opentelemetry.sdk" not in before
    assert "requests" not in before
    assert "opentelemetry.sdk" in after


def test_otel_may_stand_in_the_config_file_and_the_environment(ask: Ask, world: World, collector: Collector) -> None:
    world.configure("otel = true\n")
    ask("hi", env=collector.environment)
    assert len(collector.spans) == 1
    ask("hi", env={**collector.environment, "STREAMING_CHAT_OTEL": "off"})
    assert len(collector.spans) == 1
