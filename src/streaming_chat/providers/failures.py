"""What the SDK and the HTTP library below it raise → `core.errors`.

Strategy: exceptions are told apart by the names of their classes and, for a connection, by the operating system's error at
the bottom of the chain. So this file imports neither the SDK nor its HTTP library, which differs between SDK 2 and 3.

Rule: no text of an exception is ever shown. A chain can hold the request's headers, and with them the key ("Illegal header
value b'Bearer …'"). What a server wrote in its answer is shown, less the key.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from streaming_chat.core.errors import (
    ChatError,
    ConnectionCut,
    ConnectionFailed,
    CredentialsError,
    NotAStream,
    QuotaError,
    RateLimitError,
    RequestRejected,
    ServerError,
    TimedOut,
    TooMuchSent,
    UsageError,
)
from streaming_chat.core.json_text import from_json
from streaming_chat.core.retry import LONGEST_WAIT, retry_after
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.greeting import greeting_of
from streaming_chat.text.lines import one_line
from streaming_chat.text.secret import masked

#: Status code → the error that it means. A 4xx that is not here is a rejected request, everything else the server's fault.
_ERROR_OF_STATUS: Mapping[int, type[ChatError]] = {
    401: CredentialsError,
    402: QuotaError,
    403: CredentialsError,
    408: TimedOut,
    429: RateLimitError,
}

#: Code, or type, of an error inside a stream → the status that it would have had.
_STATUS_OF_CODE: Mapping[str, int] = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}

#: The codes under which servers say that there is nothing left to spend.
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "quota_exceeded"}


def translate(failure: Exception, endpoint: Endpoint, *, began: bool = False) -> ChatError:
    """The error that `failure` means. `began` says whether a part of the answer had arrived."""
    names = {kind.__name__ for kind in type(failure).__mro__}
    # The SDK wraps what is raised below it.
    for cause in _chain(failure):
        if isinstance(cause, ChatError):
            return cause
    if "APIStatusError" in names:
        return _of_status(failure, endpoint)
    if names & {"APITimeoutError", "TimeoutException"}:
        return _timed_out(failure, endpoint)
    if any(type(cause).__name__ == "LocalProtocolError" for cause in _chain(failure)):
        return UsageError(
            "the request cannot be sent: one of its headers has a character that no header may have",
            "check OPENAI_ORG_ID and OPENAI_PROJECT_ID in the environment",
        )
    if names & {"InvalidURL", "UnsupportedProtocol"}:
        return UsageError(f"the address {endpoint.base_url} cannot be used", "check --base-url, or OPENAI_BASE_URL")
    if "DecodingError" in names:
        return _damaged(endpoint, began)
    if names & {"APIConnectionError", "TransportError", "StreamError", "OSError"}:
        return _connection(failure, endpoint, began=began)
    # From below the HTTP library: of a name that cannot be one, and of a SOCKS proxy. SDK 2 wraps them, SDK 3 does not.
    if not began and names & {"UnicodeError", "OverflowError", "ProtocolError"}:
        return _connection(failure, endpoint, began=began)
    return ChatError.unexpected(failure)


def translate_construction(failure: Exception, endpoint: Endpoint) -> ChatError:
    """The error that a failure to make the client means: nothing has been sent."""
    if isinstance(failure, ModuleNotFoundError) and failure.name == "openai":
        return UsageError("the OpenAI SDK is not installed", "pip install openai==2.9.0")
    if isinstance(failure, ImportError):
        return UsageError("the proxy in the environment needs one more package", "pip install socksio, or unset ALL_PROXY")
    if isinstance(failure, OSError):
        return UsageError(
            "the certificates cannot be read", "check --ca, and SSL_CERT_FILE and SSL_CERT_DIR in the environment"
        )
    if isinstance(failure, ValueError):
        return UsageError("a proxy address in the environment cannot be used", "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY")
    if type(failure).__name__ == "InvalidURL" and os.environ.get("NO_PROXY", os.environ.get("no_proxy")):
        # It makes addresses of what stands in there.
        return UsageError(
            "NO_PROXY in the environment, or the base URL, has an address that cannot be used",
            "write host names into NO_PROXY, without ranges and brackets; check --base-url",
        )
    return translate(failure, endpoint)


def of_error_chunk(error: object, endpoint: Endpoint, request_id: str | None) -> ChatError:
    """The error that an `error` object in a stream, or in place of one, means."""
    message = _server_message(error, endpoint) or "the server gave no reason"
    code = _code(error, endpoint)
    status = int(code) if code and re.fullmatch(r"[45]\d\d", code) else _STATUS_OF_CODE.get(code or "", 500)
    kind = QuotaError if code in _QUOTA_CODES else _kind(status)
    return kind(
        f"{endpoint.host} sent an error instead of an answer: {message}",
        "ask again; what came before it is kept"
        if kind is ServerError
        else _hint(kind, status, code, message, endpoint, None, {}),
        request_id=request_id,
        code=code,
        status_code=status if code == str(status) else None,
        param=_param(error, endpoint),
    )


def too_much(endpoint: Endpoint, what: str, *, began: bool) -> ServerError:
    """The error for `what`, which is more than is read. `began` says whether a part of the answer had arrived."""
    message = f"{endpoint.host} sent {what}"
    if began:
        return ConnectionCut(f"{message}: the answer ends here", "ask again; what came before it is kept")
    return TooMuchSent(message, "check the address (--base-url); the server is at fault")


def not_a_stream(content_type: str, start: str, endpoint: Endpoint, request_id: str | None) -> NotAStream:
    """The error for a body that is no event stream. `start` is how it begins."""
    # Before anything is cut: half a key would not be found.
    start = endpoint.without_secret(start)
    if not start.strip():
        what = "an empty answer"
    elif "html" in content_type or start.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        what = "a web page" + (f" ({one_line(title[1])})" if title and title[1].strip() else "")
    else:
        what = f"something else ({one_line(content_type) or 'no content type'}: {one_line(start)[:80]})"
    hint = "check the address (--base-url): it should end in /v1"
    return NotAStream(
        f"{endpoint.host} sent {endpoint.without_secret(what)} instead of an event stream", hint, request_id=request_id
    )


def _of_status(failure: Any, endpoint: Endpoint) -> ChatError:
    status: int = failure.status_code
    headers: Mapping[str, str] = failure.response.headers
    body = _body(failure)
    message = _server_message(body, endpoint)
    code = _code(body, endpoint)
    kind = QuotaError if status == 429 and code in _QUOTA_CODES else _kind(status)
    wait = retry_after(headers, time.time())
    error = kind(
        f"{endpoint.host} says {status}{': ' + message if message else ' ' + _reason(failure, endpoint)}".rstrip(),
        _hint(kind, status, code, message, endpoint, wait, headers),
        status_code=status,
        request_id=request_id_of(headers, endpoint),
        code=code,
        param=_param(body, endpoint),
    )
    if isinstance(error, (RateLimitError, ServerError)):
        error.retry_after = wait
    return error


def _body(failure: Any) -> object:
    """What the error's body says, also where the SDK gives up, as on a number that is too long."""
    if not isinstance(failure.body, str):
        return failure.body
    try:
        body = from_json(failure.body.strip())
    except (ValueError, RecursionError):
        return failure.body
    return body.get("error", body) if isinstance(body, Mapping) else body


def request_id_of(headers: Mapping[str, str], endpoint: Endpoint) -> str | None:
    """The server's name for the request, as OpenAI, Anthropic and Azure call the header: on one line, less the key."""
    names = ("x-request-id", "request-id", "apim-request-id")
    return next((one_line(endpoint.without_secret(headers[name])) for name in names if headers.get(name)), None)


def _kind(status: int) -> type[ChatError]:
    if 300 <= status < 400:
        return NotAStream
    return _ERROR_OF_STATUS.get(status, RequestRejected if 400 <= status < 500 else ServerError)


def _reason(failure: Any, endpoint: Endpoint) -> str:
    """The status in words, for an answer without a body that says more."""
    reason = one_line(endpoint.without_secret(failure.response.reason_phrase))
    return f"({reason})" if reason else ""


def _hint(
    kind: type[ChatError],
    status: int,
    code: str | None,
    message: str,
    endpoint: Endpoint,
    wait: float | None,
    headers: Mapping[str, str],
) -> str:
    if kind is NotAStream:
        place = one_line(endpoint.without_secret(headers.get("location", "")))
        to = f" to {place}" if place else ""
        return f"the server redirects{to}; redirects are not followed: set --base-url"
    if kind is QuotaError:
        return "look at your plan and billing; waiting does not help"
    if kind is CredentialsError:
        ending = f" (the key {masked(endpoint.api_key)})" if endpoint.secret else ""
        if not endpoint.api_key:
            return f"{endpoint.host} wants a key: set {endpoint.key_variable}"
        if status == 403:
            return f"the key in {endpoint.key_variable}{ending} may not do this: check its rights and its project"
        return f"check {endpoint.key_variable}{ending}, and that it belongs to {endpoint.host}"
    if kind is RateLimitError:
        if wait is not None and wait > LONGEST_WAIT:
            return f"the server asks for {wait:.6g} s of patience: too long to wait here"
        return "wait a moment, or send fewer requests"
    if kind is TimedOut:
        return "try again"
    if kind is ServerError:
        return "the server is at fault: try again in a moment"
    if status == 404:
        if code == "model_not_found" or "model" in message.lower():
            return "`streaming-chat models` lists the models of this endpoint; choose one with --model"
        if not endpoint.base_url.endswith("/v1"):
            return f"check the address: did you mean --base-url {endpoint.base_url}/v1 ?"
        return "check the address (--base-url) and the model (--model)"
    if status == 413:
        return "shorten the prompt"
    return "change the request: the message says what is wrong with it"


def _timed_out(failure: BaseException, endpoint: Endpoint) -> TimedOut:
    if any(type(cause).__name__ == "ConnectTimeout" for cause in _chain(failure)):
        return TimedOut(f"no connection to {endpoint.host} in time", "check the address, the network and the proxy settings")
    return TimedOut(
        f"{endpoint.host} sent nothing for {endpoint.timeout:g} s", "try again, or allow more with --timeout SECONDS"
    )


def _connection(failure: BaseException, endpoint: Endpoint, *, began: bool) -> ChatError:
    if began:
        return _cut(endpoint, began, "the connection broke")
    proxy = endpoint.proxy
    if proxy and any(isinstance(cause, ConnectionRefusedError) or _is_no_name(cause) for cause in _chain(failure)):
        return _no_way(f"the proxy {proxy} cannot be reached", "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY")
    for cause in _chain(failure):
        if _is_no_name(cause):
            return _no_way(
                f"the name {urlsplit(endpoint.base_url).hostname} cannot be resolved",
                "check the address and the network",
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _no_way(
                f"the certificate of {endpoint.host} is not trusted: {cause.verify_message}",
                "for a private authority, name its file with --ca, or in SSL_CERT_FILE",
            )
        if isinstance(cause, ssl.SSLError):
            return _no_way(
                f"no secure connection to {endpoint.host}: {(cause.reason or 'TLS failed').replace('_', ' ').lower()}",
                "does the server speak plain http://? then say so in --base-url",
            )
        if isinstance(cause, ConnectionRefusedError):
            return _no_way(f"{endpoint.host} refused the connection", "is the server running, and is the port right?")
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, (ConnectionError, TimeoutError)):
            return _no_way(f"no connection to {endpoint.host}: {cause.strerror}", "check the address and the network")
    if any(type(cause).__name__ == "ProxyError" for cause in _chain(failure)):
        return _no_way("the proxy refused the connection", "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY")
    if any(type(cause).__name__ == "RemoteProtocolError" and "too long" in str(cause) for cause in _chain(failure)):
        return TooMuchSent(f"the headers that {endpoint.host} sent are too long", "the server is at fault")
    if any(_is_not_http(cause) for cause in _chain(failure)):
        return NotAStream(f"{endpoint.host} does not speak HTTP", "check the address and the port (--base-url)")
    # It hangs up on a request, or resets a connection on which there is one that it did not read.
    hung_up = any(
        type(cause).__name__ == "RemoteProtocolError" or isinstance(cause, ConnectionResetError) for cause in _chain(failure)
    )
    if hung_up and not proxy:
        greeting = greeting_of(endpoint.base_url)
        if greeting:
            return NotAStream(
                f"{endpoint.host} does not speak HTTP: it greets with {one_line(endpoint.without_secret(greeting))!r}",
                "check the address and the port (--base-url)",
            )
    return _cut(endpoint, began, "the connection broke")


def _no_way(message: str, hint: str) -> ConnectionFailed:
    """A connection that will not come about a moment later either."""
    error = ConnectionFailed(message, hint)
    error.transient = False
    return error


def _is_no_name(cause: BaseException) -> bool:
    # The second is the resolver's own (`a..b`), not the HTTP library's, which also looks at where a redirect leads.
    return isinstance(cause, socket.gaierror) or (
        isinstance(cause, UnicodeError) and not any(kind.__name__ == "IDNAError" for kind in type(cause).__mro__)
    )


def _is_not_http(cause: BaseException) -> bool:
    # The HTTP library has one class for a peer that hangs up and for one that speaks another protocol; only its text
    # tells them apart. The text is read, never shown.
    return type(cause).__name__ == "RemoteProtocolError" and not re.search(
        "disconnected|closed connection|incomplete", str(cause)
    )


def _cut(endpoint: Endpoint, began: bool, what: str) -> ConnectionFailed:
    if began:
        return ConnectionCut(f"{what} in the middle of the answer", "ask again; what came before it is kept")
    return ConnectionFailed(f"{what} before {endpoint.host} answered", "try again; is the server overloaded?")


def _damaged(endpoint: Endpoint, began: bool) -> ServerError:
    if began:
        return ConnectionCut("the compressed answer is damaged from here on", "ask again; what came before it is kept")
    return NotAStream(f"{endpoint.host} sent a compressed answer that is damaged", "try again; the server is at fault")


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def _code(body: object, endpoint: Endpoint) -> str | None:
    if not isinstance(body, Mapping):
        return None
    code = body.get("code") or body.get("type")
    return one_line(endpoint.without_secret(str(code))) if isinstance(code, (str, int)) else None


def _param(body: object, endpoint: Endpoint) -> str | None:
    """The field that the server means: `param`, or the end of a `loc` (FastAPI, pydantic), at most three levels down."""
    for _ in range(3):
        if isinstance(body, list):
            body = body[0] if body else None
        if not isinstance(body, Mapping):
            break
        place = body.get("loc")
        param = body.get("param") or (place[-1] if isinstance(place, list) and place else None)
        if isinstance(param, str):
            return endpoint.without_secret(param)
        body = next((body[field] for field in ("message", "detail", "error") if body.get(field)), None)
    return None


def _server_message(body: object, endpoint: Endpoint) -> str:
    """The server's own words, on one line and less the key, from any of the forms in which servers give them."""
    try:
        return _words(body, endpoint)
    except RecursionError:  # Brackets inside brackets without an end.
        return ""


def _words(body: object, endpoint: Endpoint) -> str:
    if isinstance(body, Mapping):
        for field in ("message", "detail", "error", "msg"):
            if body.get(field):
                return _words(body[field], endpoint)
        return one_line(endpoint.without_secret(json.dumps(body, ensure_ascii=False))) if body else ""
    if isinstance(body, list):
        return one_line("; ".join(_words(one, endpoint) for one in body[:3]))
    # Before anything is cut: half a key would not be found.
    text = endpoint.without_secret(body) if isinstance(body, str) else ""
    if text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>(.*?)</title>", text[:10_000], re.IGNORECASE | re.DOTALL)
        return one_line(title[1]) if title else ""
    return one_line(text)
