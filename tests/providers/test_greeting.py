"""A server that speaks first does not speak HTTP, and the message says what it says."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from server import Close, Server
from streaming_chat.providers.greeting import greeting_of


@contextmanager
def greeting(words: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that greets, reads, and hangs up; its address, and what it was sent."""
    heard: list[bytes] = []

    class Greets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(words)
            heard.append(self.request.recv(65536))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greets) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", heard
        server.shutdown()


def test_an_ssh_server_is_told_by_its_greeting_and_not_asked_again(ask: Callable[..., Any]) -> None:
    with greeting(b"SSH-2.0-OpenSSH_9.6\r\n") as (address, heard):
        done = ask("hi", env={"OPENAI_BASE_URL": address})
    said = done.stderr.decode()
    assert done.returncode == 5
    assert "does not speak HTTP: it greets with 'SSH-2.0-OpenSSH_9.6'" in said
    assert "attempt" not in said
    # The second time nothing is sent, and with it no key.
    assert [bool(sent) for sent in heard] == [True, False]


def test_its_words_are_harmless(ask: Callable[..., Any]) -> None:
    with greeting(b"220 \x1b]0;owned\x07\xe2\x80\xae ready\r\n") as (address, _):
        said = ask("hi", env={"OPENAI_BASE_URL": address}).stderr
    assert b"\x1b" not in said
    assert b"\xe2\x80\xae" not in said


def test_a_server_that_waits_to_be_asked_has_no_greeting(server: Server) -> None:
    server.play([Close()])
    assert greeting_of(server.base_url) is None


@pytest.mark.parametrize("address", ["https://127.0.0.1:1/v1", "http://127.0.0.1:1/v1", "http://127.0.0.1:99999/v1", "no"])
def test_what_cannot_be_asked_has_none(address: str) -> None:
    assert greeting_of(address) is None
