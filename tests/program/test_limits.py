"""A server that sends too much: the program stops reading, keeps the text so far, says so, and stays below 200 MiB.

What it sends is bounded, and fast: the client is expected to hang up long before its end.
"""

from __future__ import annotations

import gzip
import json
import re
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY, World
from server import LAST_FRAME, Hang, Request, Send, Server, Step, Wait, chunk, frame, head, sse
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ConnectionCut, TooMuchSent
from streaming_chat.core.limits import MOST_CALLS, MOST_CHARACTERS, MOST_PIECES, MOST_WIDE_CHARACTERS
from streaming_chat.providers import body
from streaming_chat.wire.reply import DONE, Reply

MIB = 1 << 20
#: What the program may take, with everything that it keeps and shows, MiB.
MOST_MEMORY = 200
#: Runs a program and writes the most memory that it had, KiB, into a file. A child of this process would be said to have
#: had as much as this one.
MEASURE = """
import os, subprocess, sys
program = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(program.pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""

Script = Callable[[Request], Iterator[Step]]


@dataclass(frozen=True)
class Done:
    """What a run of the program came to. `peak` is the most memory that it had, MiB."""

    status: int
    stdout: bytes
    stderr: str
    peak: float

    @property
    def error(self) -> str:
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line


@pytest.fixture
def measured(world: World, server: Server, tmp_path: Path) -> Callable[..., Done]:
    """Run the program against `server`, with every record that it can keep."""

    def run(*arguments: str, **more: object) -> Done:
        peak = tmp_path / "peak"
        environment = {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": KEY,
            "STREAMING_CHAT_LOG_DIR": str(tmp_path / "log"),
            "STREAMING_CHAT_EXPORT_DIR": str(tmp_path / "export"),
            "STREAMING_CHAT_EXPORT_FORMAT": "json",
            "STREAMING_CHAT_RETRIES": "0",
        }
        program = [sys.executable, "-c", MEASURE, str(peak), sys.executable, "-m", "streaming_chat"]
        done = world.run(*arguments, env=environment, program=program, timeout=120, **more)
        assert b"Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr.decode(), int(peak.read_text()) / 1024)

    return run


def endless(start: bytes, more: bytes, *, of: int = 512 * MIB, status: int = 200, **headers: str) -> Script:
    """A response whose body begins with `start` and goes on with `more`, until the client has had enough or `of` bytes."""

    def script(_request: Request) -> Iterator[Step]:
        yield Send(head(status, {name.replace("_", "-"): value for name, value in headers.items()}))
        if start:
            yield Send(frame(start))
        piece = frame(more * max(1, MIB // len(more)))
        for _ in range(of // len(piece)):
            yield Send(piece)

    return script


def compressed(pieces: Iterator[bytes], window: int = 31) -> bytes:
    """A body that is small before it is decompressed."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([*(deflater.compress(piece) for piece in pieces), deflater.flush()])


def bomb(size: int, start: bytes = b"", window: int = 31, filler: bytes = b" ") -> bytes:
    """`size` bytes of nothing behind `start`."""
    return compressed((start if not number else filler * MIB for number in range(size // MIB + 1)), window)


def whole(make: Callable[[], bytes], *, status: int = 200, **headers: str) -> Script:
    """A response with exactly the body that `make` makes, when it is asked for."""

    def script(_request: Request) -> Iterator[Step]:
        body = make()
        fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        yield Send(head(status, fields, chunked=False))
        yield Send(body)

    return script


BEGUN = sse(chunk(role="assistant")) + sse(chunk("so far"))
OPEN_DELTA = sse(chunk("@@")).partition(b"@@")[0]
ERROR = b'{"error":{"message":"too long a prompt","type":"invalid_request_error","pad":"'
ONE_PIECE = json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "@@"}}]}).encode()
WIDE = "\N{GRINNING FACE}".encode()


@pytest.mark.parametrize(
    ("script", "status", "error", "text"),
    [
        pytest.param(endless(b"", b"x"), 5, "more than 8 MiB", b"", id="a line without an end"),
        pytest.param(endless(BEGUN, b"x"), 7, "more than 8 MiB", b"so far\n", id="a line behind text"),
        pytest.param(endless(OPEN_DELTA, b"x"), 5, "more than 8 MiB", b"", id="a delta"),
        pytest.param(endless(BEGUN + OPEN_DELTA, b"x"), 7, "more than 8 MiB", b"so far\n", id="a delta behind text"),
        pytest.param(endless(BEGUN + OPEN_DELTA, WIDE), 7, "more than 8 MiB", b"so far\n", id="a delta of wide characters"),
        pytest.param(endless(BEGUN, b"data: x\n"), 7, "more than 8 MiB", b"so far\n", id="an event of many lines"),
        pytest.param(endless(BEGUN, b"data\n"), 7, "more than 8 MiB", b"so far\n", id="an event of empty lines"),
        pytest.param(endless(ONE_PIECE.partition(b"@@")[0], b"x"), 5, "more than 8 MiB", b"", id="an answer in one piece"),
        pytest.param(endless(b"{\n", b'"x":1,\n'), 5, "more than 8 MiB", b"", id="JSON in lines"),
        pytest.param(endless(b"<html>\n", b"x\n"), 5, "a web page", b"", id="a page"),
        *(
            pytest.param(
                whole(lambda line=line: line * (8 * MIB // len(line) - 9)), status, ".*", b"", id=f"lines of {line!r}"
            )
            for line, status in (
                ("Ā\n".encode(), 5),
                (b"{\n", 5),
                (b"xy\n", 5),
                (b":c{\n", 7),
                (b": c\n\n", 7),
                ("id:Ā\n".encode(), 7),
            )
        ),
        pytest.param(endless(ERROR, b"x", status=400), 8, "400.*too long a prompt", b"", id="an error"),
        pytest.param(endless(b"", b"x", status=503), 5, "503", b"", id="an error without a word"),
        pytest.param(
            whole(lambda: bomb(1024 * MIB, ERROR), status=400, content_encoding="gzip"),
            8,
            "400.*too long a prompt",
            b"",
            id="an error of gzip",
        ),
        pytest.param(
            whole(lambda: bomb(256 * MIB, ERROR, 15), status=401, content_encoding="deflate"),
            3,
            "401",
            b"",
            id="an error of deflate",
        ),
        pytest.param(
            whole(lambda: gzip.compress(bomb(1024 * MIB, ERROR)), status=400, content_encoding="gzip, gzip"),
            8,
            "400.*too long a prompt",
            b"",
            id="an error of gzip in gzip",
        ),
        pytest.param(
            whole(lambda: zlib.compress(b" " * 256 * MIB), status=400, content_type="application/json; charset=zlib"),
            8,
            "400",
            b"",
            id="an error whose charset decompresses",
        ),
        pytest.param(
            whole(lambda: bomb(1024 * MIB, BEGUN, filler=b"x"), content_encoding="gzip"),
            7,
            "more than 8 MiB",
            b"so far\n",
            id="a line of gzip",
        ),
        pytest.param(
            whole(lambda: gzip.compress(bomb(1024 * MIB, BEGUN, filler=b"x")), content_encoding="gzip, gzip"),
            7,
            "more than 8 MiB",
            b"so far\n",
            id="a line of gzip in gzip",
        ),
    ],
)
def test_what_is_too_long_is_not_read(
    measured: Callable[..., Done], server: Server, script: Script, status: int, error: str, text: bytes
) -> None:
    server.play(script)
    done = measured("hi")
    assert (done.status, done.stdout) == (status, text), done.stderr
    assert re.search(error, done.error)
    assert len(done.error) < 700
    assert done.peak < MOST_MEMORY


@pytest.mark.parametrize("field", ["logprobs", "tool_calls", "content"])
def test_an_event_of_endless_values_is_not_parsed(measured: Callable[..., Done], server: Server, field: str) -> None:
    """Each of two bytes would become an object of fifty."""
    event = sse(chunk(delta={field: "@"})).replace(b'"@"', b"[{}" + b",{}" * 2_000_000 + b"]")
    server.play(body_of([BEGUN, event]))
    done = measured("hi")
    assert (done.status, done.stdout) == (7, b"so far\n")
    assert "more than 200,000 values" in done.error
    assert done.peak < MOST_MEMORY


def body_of(pieces: Iterable[bytes], *ending: Step) -> Script:
    """A response of these pieces, and what comes after them."""

    def script(_request: Request) -> Iterator[Step]:
        yield Send(head())
        for piece in pieces:
            yield Send(frame(piece))
        yield from ending or [Send(LAST_FRAME)]

    return script


STOP = sse(chunk(finish_reason="stop")) + sse("[DONE]")
KIB = 1 << 10
LARGEST = {
    "ASCII": [sse(chunk("x" * KIB))] * (MOST_CHARACTERS // KIB),
    "wide": [sse(chunk("\N{GRINNING FACE}" + "x" * (KIB - 1)))] * (MOST_WIDE_CHARACTERS // KIB),
    "an emoji at first": [
        sse(chunk("\N{GRINNING FACE}" * KIB)),
        *[sse(chunk("x" * KIB))] * (MOST_WIDE_CHARACTERS // KIB - 1),
    ],
    "one delta": [sse(chunk("x" * (8 * MIB - KIB)))],
    "one wide delta": [sse(json.dumps(chunk("\N{GRINNING FACE}" + "x" * (MOST_WIDE_CHARACTERS - 1))))],
    "reasoning": [sse(chunk(delta={"reasoning": "x" * KIB}))] * (MOST_CHARACTERS // KIB - 1) + [sse(chunk("x" * KIB))],
}


@pytest.mark.parametrize("arguments", [["--json"]], ids=["json"])
@pytest.mark.parametrize("which", LARGEST)
def test_the_largest_answer_is_complete(
    measured: Callable[..., Done], server: Server, which: str, arguments: list[str]
) -> None:
    server.play(body_of([*LARGEST[which], STOP]))
    done = measured("hi", *arguments)
    assert done.status == 0, done.stderr
    assert len(done.stdout) > MOST_WIDE_CHARACTERS or which == "reasoning"
    assert done.peak < MOST_MEMORY


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["plain", "json"])
@pytest.mark.parametrize("text", ["x" * KIB, "\N{GRINNING FACE}" + "x" * KIB])
def test_an_answer_that_never_ends_is_cut(
    measured: Callable[..., Done], server: Server, text: str, arguments: list[str]
) -> None:
    server.play(endless(BEGUN, sse(chunk(text)), of=400 * MIB))
    done = measured("hi", *arguments)
    assert (done.status, "characters" in done.error) == (7, True)
    if arguments:
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events[-1]["outcome"] == "truncated"
        assert "".join(event["text"] for event in events if event["event"] == "delta") == events[-1]["text"]
    assert done.peak < MOST_MEMORY


def test_a_list_of_models_that_never_ends(measured: Callable[..., Done]) -> None:
    with Server(models_script=endless(b'{"data":[', b'{"id":"model"},')) as server:
        done = measured("models", "--base-url", server.base_url)
    assert (done.status, done.stdout) == (5, b"")
    assert "a list of more than 8 MiB" in done.error
    assert done.peak < MOST_MEMORY


def test_headers_that_are_too_long_are_told_as_that(measured: Callable[..., Done], server: Server) -> None:
    server.play([Send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB), Hang()])
    done = measured("hi")
    assert done.status == 5
    assert "are too long" in done.error


# In time --------------------------------------------------------------------------------------------------------------


def calls(count: int) -> bytes:
    return sse(
        chunk(delta={"tool_calls": [{"index": i, "function": {"name": "f", "arguments": "{}"}} for i in range(count)]})
    )


MANY: dict[str, list[bytes]] = {
    "300,000 calls in one chunk": [calls(300_000)],
    "calls": [calls(MOST_CALLS)],
    "calls in chunks": [calls(MOST_CALLS), *[calls(100) + sse(chunk(finish_reason="tool_calls"))] * 1000],
    "choices": [sse(chunk(choices=[{"index": i, "delta": {"content": "x"}} for i in range(90_000)]))],
    "parts": [sse(chunk(delta={"content": [{"type": "text", "text": "x"}] * 120_000}))],
    "brackets": [sse(chunk(delta={"content": "@"})).replace(b'"@"', b"[" * 100_000 + b"]" * 100_000)],
    "logprobs": [sse(chunk("x", choices=[{"index": 0, "delta": {}, "logprobs": {"content": [{"a": 1.5}] * 200_000}}]))],
    "a line of Markdown": [sse(chunk("*a* `b` [c](d) " * 250_000))],
    "the answer again and again": [sse(chunk("x" * MIB)), *[sse(chunk(choices=[{"message": {"content": "y"}}]))] * 20_000],
    "names of a call": [sse(chunk(delta={"tool_calls": [{"index": 0, "function": {"name": "n", "arguments": "x"}}]}))]
    * 50_000,
}


@pytest.mark.parametrize("which", MANY)
def test_a_signal_ends_it_soon(world: World, server: Server, which: str) -> None:
    """While it is busy, or when it is over: 300,000 calls took eight seconds, in which no signal had an effect."""
    server.play(body_of([BEGUN, b"".join(MANY[which])], Hang()))
    # Of the two signals and the two forms of output, each answer gets one.
    number = signal.SIGTERM if len(which) % 2 else signal.SIGINT
    arguments = ["--json"] if len(which) % 3 else []
    program = world.start("hi", *arguments, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    server.wait_for_requests(1, timeout=60)
    end = time.monotonic() + 60
    # The server tells nobody of a Send.
    while len(server.exchanges[0].sends) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    program.send_signal(number)
    start = time.perf_counter()
    _, stderr = program.communicate(timeout=60)
    # The bound is the program's promise; five times as much is for a machine that is busy with other things.
    assert time.perf_counter() - start < 10
    assert b"Traceback" not in stderr
    # 5 is for brackets without a bottom: an event that is not JSON.
    assert program.returncode in (128 + number, 7, 5)


# Parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "what"),
    [
        ([chunk("x" * (MOST_CHARACTERS // 2))] * 3, f"{MOST_CHARACTERS:,} characters"),
        ([chunk("é" + "x" * (MOST_WIDE_CHARACTERS // 2))] * 2, f"{MOST_WIDE_CHARACTERS:,} characters"),
        ([chunk(delta={"reasoning": "x" * (MOST_CHARACTERS // 2)})] * 3, f"{MOST_CHARACTERS:,} characters"),
        ([chunk(delta={"refusal": "x" * (MOST_CHARACTERS // 2)})] * 3, f"{MOST_CHARACTERS:,} characters"),
        ([chunk("x")] * (MOST_PIECES + 1), f"{MOST_PIECES:,} pieces"),
        (
            [chunk(delta={"tool_calls": [{"index": i, "function": {"name": "f"}} for i in range(MOST_CALLS + 1)]})],
            f"{MOST_CALLS:,} tool calls",
        ),
        (
            [chunk(delta={"tool_calls": [{"index": 0, "function": {"arguments": "x" * (MOST_CHARACTERS // 2)}}]})] * 3,
            f"{MOST_CHARACTERS:,} characters",
        ),
    ],
    ids=["text", "wide text", "reasoning", "refusal", "pieces", "calls", "arguments"],
)
def test_what_is_beyond_the_limit_is_no_part_of_the_answer(chunks: list[dict[str, Any]], what: str) -> None:
    reply = Reply(ChatRequest("m", (Message("user", "hi"),)), 0.0)
    for one in chunks[:-1]:
        reply.feed(one, 1.0)
    assert not reply.is_full
    reply.feed(chunks[-1], 1.0)
    assert reply.is_full
    assert what in reply.too_much.message
    # It is cut, whatever the server says after that.
    reply.feed(chunk("more", finish_reason="stop"), 2.0)
    reply.feed(DONE, 2.0)
    _, turn = reply.finish(3.0, error=reply.too_much)
    assert turn.outcome.value == "truncated"
    assert isinstance(turn.error, ConnectionCut)
    assert "more" not in turn.text


def test_a_first_piece_that_is_too_long_is_no_answer_at_all() -> None:
    reply = Reply(ChatRequest("m", (Message("user", "hi"),)), 0.0)
    assert [type(event).__name__ for event in reply.feed(chunk("x" * (MOST_CHARACTERS + 1)), 1.0)] == ["Started"]
    assert isinstance(reply.too_much, TooMuchSent)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "x-gzip", "deflate", "raw"]), st.lists(st.integers(0, 400)))
def test_a_compressed_body_is_the_same_however_it_is_cut(content: bytes, encoding: str, cuts: list[int]) -> None:
    window = {"deflate": 15, "raw": -15}.get(encoding, 31)
    encoded = compressed(iter([content]), window)
    edges = sorted({0, len(encoded), *(cut for cut in cuts if cut < len(encoded))})
    pieces = [encoded[left:right] for left, right in pairwise(edges)]
    decode = body._DECODERS["deflate" if encoding == "raw" else encoding]
    assert b"".join(decode(iter(pieces))) == content


def test_no_piece_of_a_compressed_body_is_long() -> None:
    pieces = list(body._gunzipped([bomb(64 * MIB)]))
    assert max(map(len, pieces)) <= 64 * KIB
    assert sum(map(len, pieces)) >= 64 * MIB


@pytest.mark.parametrize(
    "line", [b": OPENROUTER PROCESSING\n\n", b"event: ping\n\n", b"id: 1\n\n", b": " + b"x" * 5000 + b"\n\n"]
)
def test_an_answer_after_many_keep_alives_is_complete(measured: Callable[..., Done], server: Server, line: bytes) -> None:
    piece = line * ((64 << 10) // len(line) + 1)

    def script(_request: Request) -> Iterator[Step]:
        yield Send(head())
        for _ in range(20 * MIB // len(piece)):
            yield Send(frame(piece))
        yield from (Send(frame(part)) for part in (sse(chunk("at last")), sse(chunk(finish_reason="stop")), sse("[DONE]")))
        yield Send(LAST_FRAME)

    server.play(script)
    done = measured("hi")
    assert (done.status, done.stdout) == (0, b"at last\n")
    assert done.peak < MOST_MEMORY


def test_large_events_are_not_kept_together(measured: Callable[..., Done], server: Server) -> None:
    values = [{f"\N{GRINNING FACE}k{number:06d}": 1.5} for number in range(95_000)]
    event = sse(chunk(delta={"content": "x", "x": values}))
    server.play(
        whole(lambda: event * 5 + sse(chunk(finish_reason="stop")) + sse("[DONE]"), content_type="text/event-stream")
    )
    done = measured("hi")
    assert (done.status, done.stdout) == (0, b"xxxxx\n")
    assert done.peak < MOST_MEMORY


@pytest.mark.parametrize("rest", ["hangs", "trickles", "breaks off"])
@pytest.mark.parametrize("arguments", [[], ["--max-time", "3"], ["--timeout", "2"]], ids=["plain", "max-time", "timeout"])
def test_an_error_whose_body_does_not_end_is_told_with_what_came(
    world: World, server: Server, rest: str, arguments: list[str]
) -> None:
    def script(_request: Request) -> Iterator[Step]:
        yield Send(head(400, {"Content-Length": "100000"}, content_type="application/json", chunked=False))
        yield Send(b'{"error":{"message":"too long a prompt')
        while rest == "trickles":
            yield Wait(0.1)
            yield Send(b"x")
        if rest == "hangs":
            yield Hang()

    server.play(script)
    done = world.run("hi", *arguments, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert done.returncode == 8
    assert re.search(rb"^error: .* says 400: .*too long a prompt", done.stderr)


def test_a_body_of_several_gzip_members_is_read_to_its_end(world: World, server: Server) -> None:
    events = [sse(chunk("one")), sse(chunk(" two")), sse(chunk(finish_reason="stop")) + sse("[DONE]")]
    server.play(
        whole(lambda: b"".join(map(gzip.compress, events)), content_type="text/event-stream", content_encoding="gzip")
    )
    done = world.run("hi", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert (done.returncode, done.stdout) == (0, b"one two\n")


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    st.sampled_from([b"", b"junk", b"\x1f", b"\0\x1f\x8b"]),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_the_cut_of_a_compressed_body_never_matters(members: list[bytes], rest: bytes, cuts: list[int]) -> None:
    data = b"".join(map(gzip.compress, members)) + rest
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[left:right] for left, right in pairwise(edges)]
    assert b"".join(body._gunzipped(pieces)) == b"".join(members)
