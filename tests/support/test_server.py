import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise import despite_noise
from server import (
    CERTIFICATE,
    LAST_FRAME,
    Close,
    Gate,
    Hang,
    Reset,
    Send,
    Server,
    Wait,
    answer,
    byte_by_byte,
    canned_tokens,
    chunk,
    frame,
    head,
    http_error,
    json_reply,
    models,
    split,
    sse,
)

BODY = b'{"model":"test-model"}'
# For times that include a wake-up of another thread.
SLACK = 0.5


def connect(server: Server) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask(sock: socket.socket, path: str = "/v1/chat/completions", method: str = "POST") -> None:
    sock.sendall(
        b"%b %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (method.encode(), path.encode(), len(BODY), BODY)
    )


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def stream_bytes(script: list) -> bytes:
    return b"".join(step.data for step in script if isinstance(step, Send))


def deltas(body: bytes) -> list[dict]:
    events = [line.removeprefix("data: ") for line in body.decode().splitlines() if line]
    return [json.loads(event) for event in events if event != "[DONE]"]


@pytest.fixture
def http() -> Iterator[Callable[[Server], HTTPConnection]]:
    opened: list[HTTPConnection] = []

    def open_one(server: Server) -> HTTPConnection:
        opened.append(HTTPConnection("127.0.0.1", server.port, timeout=60))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


def test_an_answer_has_the_shape_of_the_api(http):
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    with Server(answer(["Hel", "lo ❄"], usage=usage)) as server:
        connection = http(server)
        connection.request("POST", "/v1/chat/completions", BODY)
        response = connection.getresponse()
        body = response.read()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert body.endswith(b"data: [DONE]\n\n")
    role, first, second, finish, final = deltas(body)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [part["choices"][0]["delta"]["content"] for part in (first, second)] == ["Hel", "lo ❄"]
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (final["choices"], final["usage"]) == ([], usage)


def test_a_script_decides_about_every_byte():
    raw = b"HTTP/1.1 200 \xff\r\n\r\n\x00nonsense"
    with Server([Send(raw), Close()]) as server, connect(server) as sock:
        ask(sock)
        assert read_all(sock) == raw


def test_requests_are_recorded(http):
    with Server() as server:
        before = time.perf_counter()
        connection = http(server)
        connection.request("POST", "/v1/chat/completions", BODY, {"X-Thing": "one"})
        connection.getresponse().read()
        (request,) = server.wait_for_requests(1)
    assert (request.method, request.path, request.headers["x-thing"]) == ("POST", "/v1/chat/completions", "one")
    assert request.json == {"model": "test-model"}
    assert before < request.at < time.perf_counter()
    assert server.chats == [request]


def test_a_chunked_request_body_is_decoded(http):
    with Server() as server:
        connection = http(server)
        connection.request("POST", "/v1/chat/completions", iter([b'{"a"', b":1}"]), encode_chunked=True)
        connection.getresponse().read()
        assert server.chats[0].json == {"a": 1}


def test_scripts_are_used_in_turn_and_the_last_repeats(http):
    with Server(http_error(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}), json_reply({"n": 2})) as server:
        connection = http(server)
        seen = []
        for _ in range(3):
            connection.request("POST", "/v1/chat/completions", BODY)
            response = connection.getresponse()
            seen.append((response.status, json.loads(response.read()), response.headers["Retry-After"]))
        assert len(server.connections) == 1
    assert seen == [(429, {"error": {"message": "slow down"}}, "1"), (200, {"n": 2}, None), (200, {"n": 2}, None)]


def test_a_default_follows_the_scripts(http):
    with Server(json_reply(1), default=json_reply(2)) as server:
        connection = http(server)
        seen = []
        for _ in range(3):
            connection.request("POST", "/v1/chat/completions", BODY)
            seen.append(json.loads(connection.getresponse().read()))
        server.play(json_reply(3))
        connection.request("POST", "/v1/chat/completions", BODY)
        seen.append(json.loads(connection.getresponse().read()))
    assert seen == [1, 2, 2, 3]


def test_a_function_of_the_request_can_answer(http):
    with Server(lambda request: json_reply(request.path)) as server:
        connection = http(server)
        connection.request("GET", "/v1/elsewhere")
        assert json.loads(connection.getresponse().read()) == "/v1/elsewhere"
        assert server.chats == []


def test_an_exception_in_such_a_function_reaches_the_test():
    def fail(_: object) -> list:
        raise LookupError("no such answer")

    server = Server(fail)
    with connect(server) as sock:
        ask(sock)
        assert sock.recv(10) == b""
    with pytest.raises(LookupError, match="no such answer"), server:
        pass


def test_the_list_of_models_takes_no_script(http):
    with Server(json_reply("scripted")) as server:
        connection = http(server)
        connection.request("GET", "/v1/models")
        assert json.loads(connection.getresponse().read())["data"][0]["id"] == "test-model"
        connection.request("POST", "/v1/chat/completions", BODY)
        assert json.loads(connection.getresponse().read()) == "scripted"
    with Server(models("a", "b"), models_script=None) as server:
        connection = http(server)
        connection.request("GET", "/v1/models")
        assert [model["id"] for model in json.loads(connection.getresponse().read())["data"]] == ["a", "b"]


def test_send_times_are_those_at_which_the_client_receives():
    def check() -> None:
        received = []
        with Server(answer(["a", "b", "c"], delay=0.03, first_delay=0.05)) as server, connect(server) as sock:
            ask(sock)
            data = b""
            while not data.endswith(LAST_FRAME):
                data += sock.recv(65536)
                received.append((time.perf_counter(), data))
            (exchange,) = server.exchanges
        assert len(exchange.sent) == 8  # Head, role, three tokens, finish, [DONE], last frame.
        arrivals = [next(at for at, data in received if f'"content":"{token}"'.encode() in data) for token in "abc"]
        sends = [exchange.sent_at(f'"content":"{token}"') for token in "abc"]
        assert sends == exchange.sent[2:5]
        assert all(0 < arrival - sent < SLACK for arrival, sent in zip(arrivals, sends, strict=True))
        role = exchange.sent[1]
        gaps = [later - earlier for earlier, later in zip([role, *sends], sends, strict=False)]
        assert all(wait <= gap < wait + SLACK for wait, gap in zip([0.05, 0.03, 0.03], gaps, strict=True))

    despite_noise(check)


def test_short_waits_are_kept():
    def check() -> None:
        with Server(answer(map(str, range(100)), delay=0.0005)) as server, connect(server) as sock:
            ask(sock)
            data = b""
            while not data.endswith(LAST_FRAME):
                data += sock.recv(65536)
            first, *_, last = server.exchanges[0].sent[2:102]
        assert 99 * 0.0005 <= last - first < 99 * 0.0005 + SLACK

    despite_noise(check)


def test_a_gate_waits_for_the_test():
    event = threading.Event()
    with Server([Send(b"before"), Gate(event), Send(b"after"), Close()]) as server, connect(server) as sock:
        ask(sock)
        assert sock.recv(100) == b"before"
        opened = time.perf_counter()
        event.set()
        assert read_all(sock) == b"after"
        assert opened <= server.exchanges[0].sent_at(b"after") <= time.perf_counter()


@pytest.mark.parametrize("step", [Wait(600), Hang(), Gate(threading.Event())], ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("abrupt", [False, True], ids=["close", "reset"])
def test_a_client_that_leaves_is_noticed_at_once(step, abrupt):
    with Server([Send(b"x"), step]) as server:
        with connect(server) as sock:
            ask(sock)
            sock.recv(1)
            if abrupt:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        left = time.perf_counter()
        (exchange,) = server.exchanges
        # Within the minute of the step, of which it need not see the end.
        assert server.wait_for_close(exchange) - left < 60
        assert exchange.interrupted_at is not None
        assert exchange.finished_at is None


def test_leaving_is_noticed_within_five_milliseconds_on_an_idle_machine():
    def check() -> None:
        with connect(server) as sock:
            ask(sock)
            sock.recv(1)
            left = time.perf_counter()
        assert server.wait_for_close(server.exchanges[-1]) - left < 0.005

    with Server([Send(b"x"), Wait(600)]) as server:
        for _ in range(3):
            despite_noise(check)


def test_a_client_that_leaves_between_requests_is_no_interruption():
    with Server(json_reply(1)) as server:
        with connect(server) as sock:
            ask(sock)
            sock.recv(1000)
        (exchange,) = server.exchanges
        server.wait_for_close(exchange)
        assert exchange.interrupted_at is None
        assert exchange.finished_at is not None


def test_a_client_that_does_not_read_blocks_neither_the_notice_nor_the_end():
    with Server([Send(b"x" * 50_000_000)]) as server:
        with connect(server) as sock:
            ask(sock)
            server.wait_for_requests(1)
        server.wait_for_close(server.exchanges[0])
        with connect(server) as sock:
            ask(sock)
            server.wait_for_requests(2)
            server.stop()


def test_a_reset_is_a_reset():
    with Server([Send(b"partial"), Wait(0.01), Reset()]) as server, connect(server) as sock:
        ask(sock)
        assert sock.recv(100) == b"partial"
        with pytest.raises(ConnectionResetError):
            sock.recv(100)


def test_a_complete_chunked_answer_keeps_the_connection():
    script = answer(["hi"])
    with Server(script) as server, connect(server) as sock:
        for _ in range(2):
            ask(sock)
            data = b""
            while not data.endswith(LAST_FRAME):
                data += sock.recv(65536)
            assert data == stream_bytes(script)
        assert [request.connection for request in server.requests] == [0, 0]


@pytest.mark.parametrize(
    "script",
    [
        answer(["hi"])[:-1],
        [*answer(["hi"])[:-1], Send(b"zz\r\n")],
        [*answer(["hi"]), Send(b"more")],
        [Send(head()), Send(b"5\r\n0\r\n\r\n")],
        answer(["hi"], headers={"connection": "close"}),
        answer(["hi"], chunked=False),
        [Send(head(version="HTTP/1.0", chunked=False)), Send(b"body")],
        [Send(head(headers={"content-length": "10"}, chunked=False)), Send(b"short")],
        [Send(b"HTTP/1.1 200 OK\r\nContent-")],
        [],
    ],
    ids=[
        "no end",
        "bad frame",
        "too much",
        "half a frame",
        "close",
        "not chunked",
        "1.0",
        "short",
        "half a head",
        "nothing",
    ],
)
def test_any_other_answer_ends_with_the_connection(script):
    with Server(script) as server, connect(server) as sock:
        ask(sock)
        assert read_all(sock) == stream_bytes(script)


def test_trailers_belong_to_a_complete_answer():
    with Server([Send(head() + frame(b"x") + b"0\r\nDigest: 1\r\n\r\n")]) as server, connect(server) as sock:
        for _ in range(2):
            ask(sock)
            assert sock.recv(1000).endswith(b"Digest: 1\r\n\r\n")


def test_a_cut_chunked_answer_is_an_error_to_a_client(http):
    with Server(answer(["hi"])[:-1]) as server:
        connection = http(server)
        connection.request("POST", "/v1/chat/completions", BODY)
        with pytest.raises(IncompleteRead):
            connection.getresponse().read()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 3000), max_size=40))
def test_cutting_changes_the_places_and_nothing_else(cuts):
    script = answer(["Hel", "lo ❄", "!"], delay=0.01, first_delay=0.02)
    pieces = split(script, cuts)
    assert stream_bytes(pieces) == stream_bytes(script)
    assert [step for step in pieces if not isinstance(step, Send)] == [Wait(0.02), Wait(0.01), Wait(0.01)]

    def edges(steps: list) -> set[int]:
        ends, at = set(), 0
        for step in steps:
            if isinstance(step, Send):
                assert step.data
                at += len(step.data)
            ends.add(at)
        return ends

    total = len(stream_bytes(script))
    run_ends = {len(stream_bytes(script[:place])) for place, step in enumerate(script) if isinstance(step, Wait)}
    assert edges(pieces) == {cut for cut in cuts if 0 < cut < total} | run_ends | {total}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=20))
def test_a_client_reads_the_same_however_the_bytes_are_cut(cuts):
    script = answer(["Hel", "lo ❄", "!"], chunked=False)
    with Server(split(script, cuts)) as server, connect(server) as sock:
        ask(sock)
        assert read_all(sock) == stream_bytes(script)
        assert b"".join(data for _, data in server.exchanges[0].sends) == stream_bytes(script)


def test_single_bytes_arrive_one_at_a_time_when_there_is_a_pause():
    with Server(byte_by_byte([Send(b"abc"), Close()], pause=0.02)) as server, connect(server) as sock:
        ask(sock)
        assert list(iter(lambda: sock.recv(100), b"")) == [b"a", b"b", b"c"]


def test_events_can_have_any_line_ending_and_many_lines():
    assert sse("a\nb", newline="\r\n") == b"data: a\r\ndata: b\r\n\r\n"
    assert sse({"é": 1}) == 'data: {"é":1}\n\n'.encode()
    assert json.loads(sse(chunk("\ud83d"))[6:])["choices"][0]["delta"]["content"] == "\ud83d"
    assert chunk(delta={"reasoning_content": "hm"}, model="m")["choices"][0]["delta"] == {"reasoning_content": "hm"}


def test_many_clients_are_served_at_once():
    count = 50
    everyone = threading.Event()
    with Server([Gate(everyone), *json_reply(1)]) as server:
        socks = [connect(server) for _ in range(count)]
        for sock in socks:
            ask(sock)
        server.wait_for_requests(count)
        everyone.set()
        for sock in socks:
            with sock:
                assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert {request.connection for request in server.requests} == set(range(count))


def test_no_thread_and_no_socket_is_left():
    before = set(threading.enumerate())
    with Server([Hang()]) as server, connect(server) as sock:
        ask(sock)
        server.wait_for_requests(1)
        server.stop()
        assert sock.recv(1) == b""
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_waiting_in_vain_fails():
    with Server() as server, pytest.raises(AssertionError, match="1 requests in vain"):
        server.wait_for_requests(1, timeout=0.01)


def test_it_can_listen_on_ipv6():
    try:
        server = Server(json_reply(6), host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with server, urllib.request.urlopen(server.base_url + "/x") as response:
        assert server.base_url.startswith("http://[::1]:")
        assert json.load(response) == 6


def test_tls_works_for_a_client_that_trusts_the_certificate():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with Server(answer(["hi"]), tls=True) as server:
        assert server.base_url.startswith("https://127.0.0.1:")
        connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", BODY)
            assert connection.getresponse().read().endswith(b"[DONE]\n\n")
        connection.close()


def test_tls_fails_for_any_other_client():
    with Server(tls=True) as server:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(server.base_url + "/models", context=ssl.create_default_context())
        server.wait_until(lambda: server.connections[0].closed_by_client_at, timeout=60)
        assert "unknown ca" in server.connections[0].tls_error.lower().replace("_", " ")
        assert server.requests == []


def test_it_serves_by_hand():
    script = Path(__file__).with_name("server.py")
    argv = [sys.executable, str(script), "--tokens", "30", "--delay", "0", "--first-delay", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        base_url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", base_url)
        with urllib.request.urlopen(base_url + "/chat/completions", data=BODY) as response:
            parts = deltas(response.read())
        process.terminate()
    assert [part["choices"][0]["delta"].get("content") for part in parts[1:31]] == canned_tokens(30)
