"""A scripted HTTP/1.1 server on loopback: the test decides about every byte, and when it leaves.

A `Script` is a list of steps (`Send`, `Wait`, `Gate`, `Hang`, `Close`, `Reset`), played for one request. Nothing is
added to the bytes of a script, so a test can send a broken head, half a chunk or a stray reset. The server knows when
it sent what (`Exchange.sends`) and when the client left (`closed_by_client_at`), on the clock `time.perf_counter`,
which on Linux is the same for every process of the machine.

    with Server(http_error(429, {"error": {"message": "slow down"}}), answer(["Hel", "lo"], delay=0.02)) as server:
        ...  # point a client at server.base_url
    assert [request.json["model"] for request in server.chats] == ["test-model"] * 2

After a script the connection is kept only if the bytes sent were a complete response that promised so; otherwise it is
closed. By hand: `python tests/support/server.py --port 8080 --tokens 40 --delay 0.02`.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeAlias

CERTIFICATE = Path(__file__).parent / "data" / "localhost.pem"
"""Certificate and key of `Server(tls=True)`; a client that should trust it is given this file as its CA bundle."""

LAST_FRAME = b"0\r\n\r\n"
"""The end of a chunked body."""

GATE_POLL = 0.001  # A threading.Event cannot be polled together with a socket, so a Gate looks at it this often.


# Steps ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Send:
    """Send exactly these bytes, in one segment where the network allows it."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Gate:
    """Do nothing until the test sets the event."""

    event: threading.Event


@dataclass(frozen=True)
class Hang:
    """Do nothing until the client leaves or the server stops."""


@dataclass(frozen=True)
class Close:
    """Close the connection in an orderly way (FIN)."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection (RST): what the client has not read yet may still reach it, an orderly end does not."""


Step: TypeAlias = "Send | Wait | Gate | Hang | Close | Reset"
Script: TypeAlias = Sequence[Step]


# Bytes ----------------------------------------------------------------------------------------------------------------


def head(
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "text/event-stream",
    chunked: bool = True,
    version: str = "HTTP/1.1",
) -> bytes:
    """Return a status line and headers; without `chunked` or a Content-Length the body ends with the connection."""
    fields = {"Content-Type": content_type}
    extra = {name.title(): value for name, value in (headers or {}).items()}
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
    elif "Content-Length" not in extra:
        fields["Connection"] = "close"
    fields.update(extra)
    reason = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Unknown"
    lines = [f"{version} {status} {reason}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def frame(data: bytes) -> bytes:
    """Return data as one frame of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sse(data: Mapping[str, Any] | str, newline: str = "\n") -> bytes:
    """Return one server-sent event; a mapping is sent as JSON, a text with several lines as several `data:` lines."""
    text = data if isinstance(data, str) else _json(data)
    lines = [f"data: {line}" for line in text.split("\n")]
    return newline.join([*lines, "", ""]).encode("utf-8")


def chunk(
    content: str | None = None,
    role: str | None = None,
    finish_reason: str | None = None,
    *,
    delta: Mapping[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Return a `chat.completion.chunk`; `delta` adds fields to the delta, `extra` sets fields at the top."""
    fields: dict[str, Any] = {}
    if role is not None:
        fields["role"] = role
    if content is not None:
        fields["content"] = content
    fields.update(delta or {})
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}],
        **extra,
    }


def _json(value: object) -> str:
    """Return compact JSON, in UTF-8 as the real servers send it, or escaped where UTF-8 cannot (lone surrogates)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


# Scripts --------------------------------------------------------------------------------------------------------------


def answer(
    tokens: Iterable[str],
    delay: float = 0.0,
    first_delay: float = 0.0,
    finish_reason: str | None = "stop",
    done: bool = True,
    usage: Mapping[str, Any] | None = None,
    role_first: bool = True,
    chunked: bool = True,
    headers: Mapping[str, str] | None = None,
    model: str = "test-model",
) -> list[Step]:
    """Return a streamed answer, each part a `Send` of its own: head, role, one per token, finish, usage, `[DONE]`.

    `first_delay` lies between the role (or the head) and the first token, `delay` between two tokens. To hold the head
    back, put a `Wait` before it: `[Wait(0.3), *answer(["Hi"])]`.
    """
    wrap = frame if chunked else bytes
    steps: list[Step] = [Send(head(headers=headers, chunked=chunked))]

    def event(data: Mapping[str, Any] | str) -> None:
        steps.append(Send(wrap(sse(data))))

    if role_first:
        event(chunk("", role="assistant", model=model))
    for position, token in enumerate(tokens):
        pause = delay if position else first_delay
        if pause:
            steps.append(Wait(pause))
        event(chunk(token, model=model))
    if finish_reason is not None:
        event(chunk(finish_reason=finish_reason, model=model))
    if usage is not None:
        event(chunk(choices=[], usage=dict(usage), model=model))
    if done:
        event("[DONE]")
    if chunked:
        steps.append(Send(LAST_FRAME))
    return steps


def http_error(
    status: int,
    body: Mapping[str, Any] | str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """Return a failure with this body: a mapping as JSON, a text or bytes as they are."""
    if isinstance(body, Mapping):
        return _reply(status, _json(body).encode(), "application/json", headers)
    data = body.encode("utf-8") if isinstance(body, str) else body or b""
    return _reply(status, data, "text/plain; charset=utf-8", headers)


def json_reply(value: object, headers: Mapping[str, str] | None = None) -> list[Step]:
    """Return an ordinary, unstreamed JSON answer."""
    return _reply(200, _json(value).encode(), "application/json", headers)


def models(*ids: str) -> list[Step]:
    """Return the answer to `GET /v1/models`."""
    return json_reply({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "test"} for name in ids]})


def _reply(status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None) -> list[Step]:
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    return [Send(head(status, fields, content_type, chunked=False)), Send(body)]


def split(script: Script, cuts: Iterable[int], pause: float = 0.0) -> list[Step]:
    """Return the script with its byte stream cut at these offsets instead of where its Sends ended.

    Offsets count from the first byte of the script; other steps keep their place in the stream (so they cut it too). A
    client that reads slowly may still see neighbours as one piece: a `pause` between pieces makes that unlikely.
    """
    places = sorted(set(cuts))
    steps: list[Step] = []
    run = bytearray()
    start = 0  # Offset of the run in the stream.

    def end_run() -> None:
        nonlocal start
        edges = [0, *(place - start for place in places if 0 < place - start < len(run)), len(run)]
        for left, right in pairwise(edges):
            if left and pause:
                steps.append(Wait(pause))
            if left < right:
                steps.append(Send(bytes(run[left:right])))
        start += len(run)
        run.clear()

    for step in script:
        if isinstance(step, Send):
            run += step.data
        else:
            end_run()
            steps.append(step)
    end_run()
    return steps


def byte_by_byte(script: Script, pause: float = 0.0) -> list[Step]:
    """Return the script with every byte in a Send of its own."""
    return split(script, range(sum(len(step.data) for step in script if isinstance(step, Send))), pause)


# Records --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `headers` have lower-case names, `at` is when its last byte had been read."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class Connection:
    """One accepted connection; `closed_by_client_at` is when its end or reset by the client was noticed."""

    id: int
    closed_by_client_at: float | None = None
    tls_error: str | None = None


@dataclass
class Exchange:
    """One request and what the server did about it.

    `interrupted_at` is set when the client left before the script had ended, `finished_at` when it had ended.
    """

    request: Request
    connection: Connection
    sends: list[tuple[float, bytes]] = field(default_factory=list)
    interrupted_at: float | None = None
    finished_at: float | None = None

    @property
    def sent(self) -> list[float]:
        """The time of each Send, read just before its bytes were handed to the system."""
        return [at for at, _ in self.sends]

    def sent_at(self, needle: str | bytes) -> float:
        """Return the time of the Send that completed the first appearance of some bytes."""
        wanted = needle.encode("utf-8") if isinstance(needle, str) else needle
        sends = list(self.sends)
        start = b"".join(data for _, data in sends).find(wanted)
        assert start >= 0, f"never sent: {wanted!r}"
        ends = accumulate(len(data) for _, data in sends)
        return next(at for (at, _), end in zip(sends, ends, strict=True) if end >= start + len(wanted))


# Messages -------------------------------------------------------------------------------------------------------------


def _unchunk(data: bytes) -> tuple[bytes, int] | None:
    """Return the content of a chunked body and its encoded length, or None while it is not complete."""
    body = bytearray()
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].partition(b";")[0], 16)
        at = end + 2
        if size == 0:
            while (end := data.find(b"\r\n", at)) > at:  # Trailers.
                at = end + 2
            return (bytes(body), at + 2) if end == at else None
        if len(data) < at + size + 2:
            return None
        body += data[at : at + size]
        at += size + 2
    return None


def _fields(lines: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = f"{fields[name]}, {value.strip()}" if name in fields else value.strip()
    return fields


def _body(fields: Mapping[str, str], data: bytes) -> tuple[bytes, int] | None:
    """Return the body that begins in data and its encoded length, or None while it is not complete."""
    if "chunked" in fields.get("transfer-encoding", "").lower():
        return _unchunk(data)
    length = int(fields.get("content-length", "0"))
    return (data[:length], length) if len(data) >= length else None


def _keeps_connection(raw: bytes) -> bool:
    """Whether these bytes are one complete response after which the client may send another request."""
    start, separator, rest = raw.partition(b"\r\n\r\n")
    status, *lines = start.decode("latin-1").split("\r\n")
    fields = _fields(lines)
    framed = "content-length" in fields or "transfer-encoding" in fields
    if not separator or not framed or not status.startswith("HTTP/1.1 ") or "close" in fields.get("connection", ""):
        return False
    try:
        body = _body(fields, rest)
    except ValueError:  # A script may send nonsense on purpose.
        return False
    return body is not None and body[1] == len(rest)


# The server -----------------------------------------------------------------------------------------------------------


class _ClientLeft(Exception):
    """The client closed or reset the connection."""


class _ServerStopped(Exception):
    """The test is over."""


class _Ended(Exception):
    """A step closed the connection."""


class _Peer:
    """A non-blocking socket whose every wait also ends when the client leaves or the server stops."""

    def __init__(self, sock: socket.socket, stop: int) -> None:
        self._socket = sock
        self._stop = stop
        self._received = bytearray()

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._socket = tls = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        while True:
            try:
                return tls.do_handshake()
            except ssl.SSLWantReadError:
                self._poll(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._poll(select.POLLOUT)

    def read_request(self) -> tuple[str, str, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._received:
            self._receive(self._poll(select.POLLIN))
        start, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        first, *lines = start.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        fields = _fields(lines)
        while (body := _body(fields, rest)) is None:
            self._receive(self._poll(select.POLLIN))
            rest = bytes(self._received)[len(start) + 4 :]
        del self._received[: len(start) + 4 + body[1]]
        return method, path, fields, body[0]

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._receive(self._poll(select.POLLOUT | select.POLLIN))
            except OSError as error:
                raise _ClientLeft from error

    def wait(self, seconds: float | None = None) -> None:
        """Wait so long, or for ever."""
        deadline = None if seconds is None else time.perf_counter() + seconds
        while deadline is None or (left := deadline - time.perf_counter()) > 0:
            self._receive(self._poll(select.POLLIN, None if deadline is None else int(left * 1000)))
            if deadline is not None and left < 0.001:  # poll() counts in whole milliseconds.
                time.sleep(max(0.0, deadline - time.perf_counter()))

    def wait_for(self, event: threading.Event) -> None:
        while not event.is_set():
            self.wait(GATE_POLL)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _poll(self, events: int, milliseconds: int | None = None) -> int:
        poll = select.poll()  # Not select(), which cannot watch descriptors over 1023.
        poll.register(self._socket, events)
        poll.register(self._stop, select.POLLIN)
        ready = dict(poll.poll(milliseconds))
        if self._stop in ready:
            raise _ServerStopped
        return ready.get(self._socket.fileno(), 0)

    def _receive(self, ready: int) -> None:
        """Keep what has arrived (a next request, perhaps), or find that the client has left."""
        if not ready & ~select.POLLOUT:
            return
        try:
            data = self._socket.recv(1 << 16)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise _ClientLeft from error
        if not data:
            raise _ClientLeft
        self._received += data


class Server:
    """A server on loopback, a thread per connection.

    Each chat request takes the next of `scripts`; when they are used up, the last repeats, or `default` when given. A
    script can be a function of the request. `GET …/models` is answered with `models_script` and takes no script; with
    `models_script=None` it is a request like any other. What a script function raises is raised again at the end of the
    `with` block.
    """

    def __init__(
        self,
        *scripts: Script | Callable[[Request], Script],
        default: Script | Callable[[Request], Script] | None = None,
        models_script: Script | None = tuple(models("test-model")),  # noqa: B008 # A constant.
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
    ) -> None:
        self._scripts = list(scripts)
        self._default = default or (scripts[-1] if scripts else answer(["Hello", ", world", "!"]))
        self._models_script = models_script
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self._changed = threading.Condition()
        self._exchanges: list[Exchange] = []
        self._connections: list[Connection] = []
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.base_url = f"{'https' if tls else 'http'}://{name}:{self.port}/v1"
        # Closing the writing end makes the reading end ready in every thread's poll() at once.
        self._stop, self._stop_writer = os.pipe()
        self._acceptor = threading.Thread(target=self._accept, name="test server", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None and self._errors:
            raise self._errors[0]

    def stop(self) -> None:
        """Close every connection and end every thread."""
        if not self._acceptor.is_alive():
            return
        os.close(self._stop_writer)
        self._acceptor.join()  # No connection is accepted after this, so the list of threads is complete.
        for thread in self._threads:
            thread.join()
        os.close(self._stop)

    @property
    def exchanges(self) -> list[Exchange]:
        """All exchanges, in the order in which their requests were read."""
        with self._changed:
            return list(self._exchanges)

    @property
    def requests(self) -> list[Request]:
        """All requests."""
        return [exchange.request for exchange in self.exchanges]

    @property
    def chats(self) -> list[Request]:
        """The requests for a chat completion."""
        return [
            request
            for request in self.requests
            if request.method == "POST" and request.path.partition("?")[0].endswith("/chat/completions")
        ]

    @property
    def connections(self) -> list[Connection]:
        """All connections, in the order in which they were accepted."""
        with self._changed:
            return list(self._connections)

    def play(self, *scripts: Script | Callable[[Request], Script]) -> None:
        """Replace the scripts for the requests to come; the last one repeats."""
        with self._changed:
            self._scripts = list(scripts)
            self._default = scripts[-1]

    def wait_until(self, condition: Callable[[], object], timeout: float = 60.0, what: str = "it") -> None:
        """Wait until a condition on the records holds."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout), f"waited {timeout} s for {what} in vain: {self._exchanges}"

    def wait_for_requests(self, count: int, timeout: float = 60.0) -> list[Request]:
        """Wait until so many requests have been read, and return them all."""
        self.wait_until(lambda: len(self._exchanges) >= count, timeout, f"{count} requests")
        return self.requests

    def wait_for_close(self, exchange: Exchange, timeout: float = 60.0) -> float:
        """Wait until the client has left an exchange's connection, and return when that was noticed."""
        connection = exchange.connection
        self.wait_until(lambda: connection.closed_by_client_at is not None, timeout, "the client to leave")
        assert connection.closed_by_client_at is not None
        return connection.closed_by_client_at

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        with self._listener:
            while self._stop not in dict(poll.poll()):
                try:
                    sock, _ = self._listener.accept()
                except OSError:  # The client was gone before it was accepted.
                    continue
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._changed:
                    connection = Connection(id=len(self._connections))
                    self._connections.append(connection)
                    self._changed.notify_all()
                thread = threading.Thread(target=self._serve, args=(sock, connection), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, connection: Connection) -> None:
        peer = _Peer(sock, self._stop)
        try:
            if self._context:
                peer.start_tls(self._context)
            while self._exchange(peer, connection):
                pass
        except (_ClientLeft, ssl.SSLError, ConnectionError) as left:
            # A refused certificate comes as an SSLError from the handshake (TLS 1.2) or from the first read (1.3).
            error = left.__cause__ if isinstance(left, _ClientLeft) else left
            tls_error = str(error) if isinstance(error, ssl.SSLError) else None
            self._note(connection, tls_error=tls_error, closed_by_client_at=time.perf_counter())
        except (_ServerStopped, _Ended):
            pass
        except Exception as error:  # noqa: BLE001 # Whatever a test's function raises belongs to the test.
            with self._changed:
                self._errors.append(error)
        finally:
            peer.close()

    def _exchange(self, peer: _Peer, connection: Connection) -> bool:
        """Read one request and play its script; return whether the connection is kept."""
        method, path, fields, body = peer.read_request()
        request = Request(method, path, fields, body, time.perf_counter(), connection.id)
        exchange = Exchange(request, connection)
        with self._changed:
            self._exchanges.append(exchange)
            source = self._next_script(request)
            self._changed.notify_all()
        script = source(request) if callable(source) else source
        try:
            for step in script:
                self._play(step, peer, exchange)
        except _ClientLeft:
            # Before the connection's own record, so that whoever waits for that finds both.
            self._note(exchange, interrupted_at=time.perf_counter())
            raise
        except _Ended:
            self._note(exchange, finished_at=time.perf_counter())
            raise
        self._note(exchange, finished_at=time.perf_counter())
        return _keeps_connection(b"".join(data for _, data in exchange.sends))

    def _next_script(self, request: Request) -> Script | Callable[[Request], Script]:
        if self._models_script is not None and request.method == "GET" and request.path.endswith("/models"):
            return self._models_script
        return self._scripts.pop(0) if self._scripts else self._default

    def _play(self, step: Step, peer: _Peer, exchange: Exchange) -> None:
        if isinstance(step, Send):
            exchange.sends.append((time.perf_counter(), step.data))
            peer.send(step.data)
        elif isinstance(step, Wait):
            peer.wait(step.seconds)
        elif isinstance(step, Gate):
            peer.wait_for(step.event)
        elif isinstance(step, Hang):
            peer.wait()
        elif isinstance(step, Close):
            raise _Ended
        else:
            peer.reset()
            raise _Ended

    def _note(self, record: Connection | Exchange, **values: Any) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(record, name, value)
            self._changed.notify_all()


# By hand --------------------------------------------------------------------------------------------------------------

CANNED = """\
# Streaming

A *stream* shows **each word** as it arrives:

1. the server sends a chunk,
2. the client prints it at once.

```python
for chunk in stream:
    print(chunk, end="", flush=True)
```

Snow, 雪, ❄ and `code` go through unchanged. That is all.

"""


def canned_tokens(count: int) -> list[str]:
    """Return so many pieces of a text with some Markdown, repeated as needed."""
    pieces = [CANNED[start : start + 4] for start in range(0, len(CANNED), 4)]
    return [pieces[index % len(pieces)] for index in range(count)]


def main() -> None:
    """Serve a canned answer until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve a canned streamed answer on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--tokens", type=int, default=80, help="number of tokens (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds between tokens (default: %(default)s)")
    parser.add_argument("--first-delay", type=float, default=0.3, help="seconds to the first (default: %(default)s)")
    options = parser.parse_args()
    usage = {"prompt_tokens": 10, "completion_tokens": options.tokens, "total_tokens": options.tokens + 10}
    script = answer(canned_tokens(options.tokens), options.delay, options.first_delay, usage=usage)
    with Server(script, host=options.host, port=options.port) as server:
        print(server.base_url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
