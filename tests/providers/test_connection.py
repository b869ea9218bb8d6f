"""Connections: one for a whole chat, there before it is needed, and replaced when the server has closed it."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import pytest

from conftest import KEY, World
from screen import Screen
from server import CERTIFICATE, Send, Server, answer
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.engine.loop import run_turn
from streaming_chat.providers import network as connection
from streaming_chat.providers.network import Connector, connect
from streaming_chat.providers.openai_sdk import OpenAISDK

REQUEST = ChatRequest(model="m", messages=(Message("user", "hi"),))
#: What a loopback server sends to be understood, and that it keeps the connection.
WHOLE = b"".join(step.data for step in answer(["Hello"]))


def ask(screen: Screen, number: int) -> None:
    screen.line("hi")
    screen.wait_until(lambda: screen.text.count("(first token:") == number)


def read_request(accepted: socket.socket) -> bool:
    """Read a whole request, whose head and body come apart; False at the end of the connection."""
    read = b""
    while more := accepted.recv(65536):
        read += more
        head, separator, body = read.partition(b"\r\n\r\n")
        if separator and len(body) == int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1]):
            return True
    return False


@contextmanager
def listening(handle: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """A server that leaves each connection, and its number, to `handle`; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(accepted: socket.socket, number: int) -> None:
            with accepted, suppress(OSError):
                handle(accepted, number)

        def accept() -> None:
            number = 0
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(accepted, number), daemon=True).start()
                number += 1

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


# In a chat ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_one_connection_serves_the_whole_chat_and_is_there_before_the_first_message(world: World, tls: bool) -> None:
    with Server(tls=tls) as server:
        base_url = server.base_url.replace("127.0.0.1", "localhost")
        trusted = ["--ca", str(CERTIFICATE)] if tls else []
        screen = world.screen("--base-url", base_url, *trusted, env={"OPENAI_API_KEY": KEY})
        screen.wait_for("You:")
        server.wait_until(lambda: server.connections)
        assert not server.requests
        for number in (1, 2, 3):
            ask(screen, number)
        assert [request.connection for request in server.chats] == [0, 0, 0]
        assert [one.tls_error for one in server.connections] == [None]


def test_one_that_the_server_closed_is_replaced_while_the_next_message_is_typed(world: World) -> None:
    closed, again = threading.Event(), threading.Event()

    def handle(accepted: socket.socket, number: int) -> None:
        if number:
            again.set()
        read_request(accepted)
        accepted.sendall(WHOLE)
        if not number:
            accepted.close()
            closed.set()
            return
        read_request(accepted)

    with listening(handle) as base_url:
        screen = world.screen("--base-url", base_url, "--no-history")
        screen.wait_for("You:")
        ask(screen, 1)
        assert closed.wait(60)
        screen.wait_until(lambda: screen.text.count("You:") == 2)
        screen.send("h")
        assert again.wait(60)
        ask(screen, 2)
        assert "attempt" not in screen.text


# From below -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection counts as one that has been idle for long at once."""
    monkeypatch.setattr(connection, "_FRESH", -1.0)


@pytest.mark.usefixtures("without_freshness")
def test_a_request_that_meets_the_end_of_an_idle_connection_is_sent_again_unseen() -> None:
    def handle(accepted: socket.socket, number: int) -> None:
        read_request(accepted)
        accepted.sendall(WHOLE)
        if not number:
            # The second request is there when it hangs up: too late for anybody to notice before.
            read_request(accepted)
            accepted.close()

    with listening(handle) as base_url:
        provider = OpenAISDK(base_url, None, 60)
        turns = [run_turn(REQUEST, provider, [], retries=0)]
        wait_until_warm(provider)
        turns.append(run_turn(REQUEST, provider, [], retries=0))
        provider.close()
    assert [(turn.text, turn.error) for turn in turns] == [("Hello", None)] * 2


@pytest.mark.usefixtures("without_freshness")
def test_a_server_that_hangs_up_each_time_is_told() -> None:
    def handle(accepted: socket.socket, _number: int) -> None:
        read_request(accepted)
        accepted.close()

    with listening(handle) as base_url:
        provider = OpenAISDK(base_url, None, 60)
        turn = run_turn(REQUEST, provider, [], retries=0)
        provider.close()
    assert turn.error is not None
    assert turn.timing.attempts == 1


@pytest.mark.parametrize("behind", [b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
@pytest.mark.parametrize("delay", [0, 0.02])
def test_what_a_server_says_behind_its_answer_is_no_part_of_the_next_one(behind: bytes, delay: float) -> None:
    def handle(accepted: socket.socket, _number: int) -> None:
        while read_request(accepted):
            accepted.sendall(WHOLE if delay else WHOLE + behind)
            if delay:
                time.sleep(delay)
                accepted.sendall(behind)
            said.release()

    said = threading.Semaphore(0)
    with listening(handle) as base_url:
        provider = OpenAISDK(base_url, None, 60)
        turns = []
        for _ in range(3):
            turns.append(run_turn(REQUEST, provider, [], retries=0))
            assert said.acquire(timeout=60)  # On loopback, what is sent has arrived.
        provider.close()
    assert [(turn.text, turn.error) for turn in turns] == [("Hello", None)] * 3


def test_what_a_server_says_before_it_was_asked_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tell a connection that has been idle for too long that it is closed, with status 408."""
    said = threading.Event()

    def handle(accepted: socket.socket, number: int) -> None:
        if number:
            read_request(accepted)
            accepted.sendall(WHOLE)
        else:
            accepted.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            said.set()

    with listening(handle) as base_url:
        provider = OpenAISDK(base_url, None, 60)
        provider.preload()
        assert said.wait(60)
        monkeypatch.setattr(connection, "_FRESH", -1.0)
        turn = run_turn(REQUEST, provider, [], retries=0)
        provider.close()
    assert (turn.text, turn.error) == ("Hello", None)


def test_a_request_whose_answer_had_begun_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def handle(accepted: socket.socket, _number: int) -> None:
        while read_request(accepted):
            requests.append(1)
            if len(requests) == 1:
                accepted.sendall(WHOLE)
            else:
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Ty")
                accepted.shutdown(socket.SHUT_RDWR)

    with listening(handle) as base_url:
        provider = OpenAISDK(base_url, None, 60)
        run_turn(REQUEST, provider, [], retries=0)
        wait_until_warm(provider)
        monkeypatch.setattr(connection, "_FRESH", -1.0)
        turn = run_turn(REQUEST, provider, [], retries=0)
        provider.close()
    assert turn.error is not None
    assert len(requests) == 2


def test_a_slow_handshake_does_not_make_a_new_connection_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FRESH", 1.0)
    requests = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def handle(accepted: socket.socket, _number: int) -> None:
        time.sleep(1.5)
        with context.wrap_socket(accepted, server_side=True) as encrypted:
            if read_request(encrypted):
                requests.append(1)

    with listening(handle) as base_url:
        address = base_url.replace("http://127.0.0.1", "https://localhost")
        provider = OpenAISDK(address, KEY, 60, ca=str(CERTIFICATE))
        turn = run_turn(REQUEST, provider, [], retries=0)
        provider.close()
    assert turn.error is not None
    assert len(requests) == 1


def test_a_failure_to_connect_ahead_is_told_at_once_and_soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        place = gone.getsockname()
    connector = Connector(*place, tls=False, ca=None, timeout=60)
    connector.errors = httpcore
    connector.open_ahead()
    with socket.create_server(place):
        with pytest.raises(httpcore.ConnectError):
            connector.connect_tcp(*place)
        connector._failure = (time.monotonic(), ConnectionRefusedError())
        monkeypatch.setattr(connection, "_STALE_FAILURE", -1.0)
        connector.connect_tcp(*place).close()


def test_behind_a_proxy_nothing_waits_for_what_comes_next(world: World) -> None:
    """The proxy's connection does not tell when it is waited for, so a slow reader is waited for as ever."""
    text = "x" * 250_000
    begun = [step for step in answer([text], finish_reason=None, done=False) if isinstance(step, Send)][:-1]

    def handle(accepted: socket.socket, _number: int) -> None:
        read_request(accepted)
        accepted.sendall(b"".join(step.data for step in begun))
        accepted.recv(1)

    with listening(handle) as base_url:
        program = subprocess.Popen(
            [sys.executable, "-m", "streaming_chat", "--base-url", "http://chat.invalid/v1", "--insecure-http", "hi"],
            env={**world.environment, "OPENAI_API_KEY": KEY, "http_proxy": base_url.removesuffix("/v1")},
            cwd=world.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        read = bytearray()
        while len(read) < len(text):
            more = os.read(program.stdout.fileno(), 1 << 16)
            assert more, program.stderr.read()
            read += more
            time.sleep(0.01)
        program.kill()
        program.communicate()
    assert read == text.encode()


def wait_until_warm(provider: OpenAISDK) -> None:
    deadline = time.monotonic() + 60
    while not (provider._kept and provider._kept._has_idle):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def addresses(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, tuple[Any, ...]]) -> None:
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_args, **_more: [(family, socket.SOCK_STREAM, 6, "", place) for family, place in found],
    )


def test_an_address_that_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
        gone.close()
        addresses(
            monkeypatch,
            (socket.AF_INET6, ("::1", nobody[1])),
            (socket.AF_INET, nobody),
            (socket.AF_INET, there.getsockname()),
        )
        with connect("name", 1, 60) as connection:
            assert connection.getpeername() == there.getsockname()


def test_an_address_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        # Its queue is full, and Linux does not answer whoever wants into it.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        time.sleep(0.05)
        addresses(monkeypatch, (socket.AF_INET, silent.getsockname()), (socket.AF_INET, there.getsockname()))
        with connect("name", 1, 60) as connection:
            assert connection.getpeername() == there.getsockname()
        addresses(monkeypatch, (socket.AF_INET, silent.getsockname()))
        with pytest.raises(TimeoutError):
            connect("name", 1, 0.1)
        for one in waiting:
            one.close()


def test_where_nobody_answers_the_last_reason_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    addresses(monkeypatch, (socket.AF_INET, nobody))
    with pytest.raises(ConnectionRefusedError):
        connect("name", 1, 60)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", ".", "\udc80"])
def test_a_name_that_cannot_be_one_is_left_to_the_request(host: str) -> None:
    connector = Connector(host, 80, tls=False, ca=None, timeout=60)
    connector.open_ahead()
    assert not connector.has_one


def test_the_file_of_authorities_that_cannot_be_read_is_told(ask: Callable[..., Any]) -> None:
    done = ask("hi", "--ca", "nowhere.pem", env={"OPENAI_BASE_URL": "https://127.0.0.1:9/v1"})
    assert done.returncode == 2
    assert b"the certificates cannot be read" in done.stderr
    assert b"--ca" in done.stderr


def test_another_authority_is_not_trusted(world: World) -> None:
    with Server(tls=True) as server:
        base_url = server.base_url.replace("127.0.0.1", "localhost")
        done = world.run("hi", "--retries", "0", "--base-url", base_url, env={"OPENAI_API_KEY": KEY})
    assert done.returncode == 5
    assert b"is not trusted" in done.stderr
    assert not server.requests
