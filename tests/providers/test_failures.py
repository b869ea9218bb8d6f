"""What no server on loopback can make happen: failures of networks, proxies and the SDK itself."""

from __future__ import annotations

import errno
import os
import ssl

import openai
import pytest

from http_library import httpx
from streaming_chat.cli.hints import Hints
from streaming_chat.core.errors import (
    ChatError,
    ConnectionCut,
    ConnectionFailed,
    NotAStream,
    ServerError,
    TimedOut,
    UsageError,
)
from streaming_chat.providers.failures import Endpoint, not_a_stream, translate, translate_construction

HINTS = Hints()

KEY = "sk-test-0123456789abcdef"
ENDPOINT = Endpoint("https://api.example.test/v1", KEY, "OPENAI_API_KEY", 30.0)
REQUEST = httpx.Request("POST", "https://api.example.test/v1/chat/completions")


def caused(failure: Exception, *causes: Exception) -> Exception:
    """`failure`, raised from the first of `causes`, which was raised from the next one."""
    if causes:
        failure.__cause__ = caused(*causes)
    return failure


def no_connection(*causes: Exception) -> Exception:
    return caused(openai.APIConnectionError(request=REQUEST), *causes)


def from_system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class ProtocolError(Exception):
    """As the SOCKS library below the HTTP library has one."""


@pytest.mark.parametrize(
    ("failure", "kind", "message", "transient"),
    [
        (
            no_connection(httpx.ConnectError("x"), from_system(errno.EHOSTUNREACH)),
            ConnectionFailed,
            "no connection to api.example.test: No route to host",
            False,
        ),
        (
            no_connection(httpx.LocalProtocolError("Illegal header value b'org-1\\n'")),
            UsageError,
            "the request cannot be sent: one of its headers has a character that no header may have",
            False,
        ),
        (
            no_connection(httpx.ConnectError("x"), from_system(errno.ENETUNREACH)),
            ConnectionFailed,
            "no connection to api.example.test: Network is unreachable",
            False,
        ),
        (no_connection(httpx.ProxyError("403")), ConnectionFailed, "the proxy refused the connection", False),
        (
            no_connection(httpx.ReadError("x"), ConnectionResetError(errno.ECONNRESET, "reset")),
            ConnectionFailed,
            "the connection broke before api.example.test answered",
            True,
        ),
        # SDK 2 wraps what the HTTP library lets through, SDK 3 does not.
        *(
            (failure, ConnectionFailed, "the name api.example.test cannot be resolved", False)
            for failure in (UnicodeError("label empty"), no_connection(UnicodeError("label empty")))
        ),
        *(
            (failure, ConnectionFailed, "the connection broke before api.example.test answered", True)
            for failure in (ProtocolError("x"), no_connection(ProtocolError("x")), OverflowError("x"))
        ),
        (no_connection(), ConnectionFailed, "the connection broke before api.example.test answered", True),
        (
            caused(openai.APITimeoutError(request=REQUEST), httpx.ConnectTimeout("x")),
            TimedOut,
            "no connection to api.example.test in time",
            False,
        ),
        (
            caused(openai.APITimeoutError(request=REQUEST), httpx.PoolTimeout("x")),
            TimedOut,
            "api.example.test sent nothing for 30 s",
            False,
        ),
        # The SDK lets this one through when the body of an error hangs.
        (httpx.ReadTimeout("x"), TimedOut, "api.example.test sent nothing for 30 s", False),
        (httpx.InvalidURL("x"), UsageError, "the address https://api.example.test/v1 cannot be used", False),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else "",
)
def test_a_request_that_does_not_get_through(
    failure: Exception, kind: type[ChatError], message: str, transient: bool
) -> None:
    error = translate(failure, ENDPOINT)
    assert (type(error), error.message, error.transient) == (kind, message, transient)


@pytest.mark.parametrize(
    "failure",
    [
        caused(httpx.ReadError("x"), from_system(errno.EHOSTUNREACH)),
        caused(httpx.ReadError("x"), from_system(errno.ENETDOWN)),
        caused(httpx.ReadError("x"), TimeoutError(errno.ETIMEDOUT, "timed out")),
        caused(httpx.ReadError("x"), ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")),
        httpx.RemoteProtocolError("illegal chunk header: bytearray(b'x')"),
        httpx.StreamError("x"),
    ],
    ids=repr,
)
def test_whatever_breaks_an_answer_that_has_begun_leaves_it_cut(failure: Exception) -> None:
    error = translate(failure, ENDPOINT, began=True)
    assert (type(error), error.message) == (ConnectionCut, "the connection broke in the middle of the answer")


def test_a_failure_that_nobody_foresaw_is_told_without_its_text() -> None:
    error = translate(RuntimeError(f"Illegal header value b'Bearer {KEY}'"), ENDPOINT)
    assert (type(error), error.message) == (ChatError, "unexpected: RuntimeError")
    assert KEY not in error.message + HINTS.hint_of(error)


def test_an_error_of_the_programs_own_stays_what_it_is() -> None:
    error = ServerError("it failed", "ask again")
    assert translate(error, ENDPOINT, began=True) is error


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ModuleNotFoundError("No module named 'openai'", name="openai"), "the OpenAI SDK is not installed"),
        (ImportError("Using SOCKS proxy"), "the proxy in the environment needs one more package"),
        (FileNotFoundError(errno.ENOENT, "no such file"), "the certificates cannot be read"),
        (ssl.SSLError(1, "[X509] no start line"), "the certificates cannot be read"),
        (ValueError("Unknown scheme for proxy URL"), "a proxy address in the environment cannot be used"),
    ],
    ids=repr,
)
def test_a_client_that_cannot_be_made_is_a_setting(failure: Exception, message: str) -> None:
    error = translate_construction(failure, ENDPOINT)
    assert (type(error), error.message) == (UsageError, message)


@pytest.mark.parametrize("start", range(2030, 1970, -3))
def test_no_cut_leaves_a_piece_of_the_key(start: int) -> None:
    error = not_a_stream("text/plain", f"You sent:{' ' * start}{KEY}", ENDPOINT, None)
    assert type(error) is NotAStream
    assert not [piece for piece in (KEY[:5], KEY[:9], KEY[-6:]) if piece in error.message]


def test_a_key_of_a_few_characters_is_not_looked_for() -> None:
    endpoint = Endpoint("http://localhost/v1", "a", "OPENAI_API_KEY", 30.0)
    assert "banana" in not_a_stream("text/plain", "banana", endpoint, None).message
