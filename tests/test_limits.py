"""A server that sends too much: the program stops reading, keeps the text so far, says so, and stays below 200 MiB."""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import KEY, World
from server import Request, Send, Server, Step, chunk, frame, head, sse

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
    """What a run of the program came to. `peak` is in MiB, `sent` the bytes that the server could send."""

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


def whole(body: bytes, *, status: int = 200, **headers: str) -> Script:
    """A response with exactly this body."""

    def script(_request: Request) -> Iterator[Step]:
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
        pytest.param(endless(ERROR, b"x", status=400), 8, "400.*too long a prompt", b"", id="an error"),
        pytest.param(endless(b"", b"x", status=503), 5, "503", b"", id="an error without a word"),
        pytest.param(
            whole(bomb(1024 * MIB, ERROR), status=400, content_encoding="gzip"),
            8,
            "400.*too long a prompt",
            b"",
            id="an error of gzip",
        ),
        pytest.param(
            whole(bomb(256 * MIB, ERROR, 15), status=401, content_encoding="deflate"),
            3,
            "401",
            b"",
            id="an error of deflate",
        ),
        pytest.param(
            whole(gzip.compress(bomb(1024 * MIB, ERROR)), status=400, content_encoding="gzip, gzip"),
            8,
            "400.*too long a prompt",
            b"",
            id="an error of gzip in gzip",
        ),
        pytest.param(
            whole(zlib.compress(b" " * 256 * MIB), status=400, content_type="application/json; charset=zlib"),
            8,
            "400",
            b"",
            id="an error whose charset decompresses",
        ),
        pytest.param(
            whole(bomb(1024 * MIB, BEGUN, filler=b"x"), content_encoding="gzip"),
            7,
            "more than 8 MiB",
            b"so far\n",
            id="a line of gzip",
        ),
        pytest.param(
            whole(gzip.compress(bomb(1024 * MIB, BEGUN, filler=b"x")), content_encoding="gzip, gzip"),
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
    print(done.peak, done.stderr[-600:])
    assert (done.status, done.stdout) == (status, text), done.stderr
    assert re.search(error, done.error)
    assert len(done.error) < 700
    assert done.peak < MOST_MEMORY
