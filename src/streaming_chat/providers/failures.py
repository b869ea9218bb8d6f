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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streaming_chat.core.error_kinds import Kind
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
from streaming_chat.core.retry import retry_after
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
    for is_meant, error_of in _TRANSLATIONS:
        if is_meant(failure, names, began):
            return error_of(failure, endpoint, began)
    return ChatError.unexpected(failure)


def translate_construction(failure: Exception, endpoint: Endpoint) -> ChatError:
    """The error that a failure to make the client means: nothing has been sent."""
    if isinstance(failure, ModuleNotFoundError) and failure.name == "openai":
        return UsageError("the OpenAI SDK is not installed", kind=Kind.SDK_MISSING)
    if isinstance(failure, ImportError):
        return UsageError("the proxy in the environment needs one more package", kind=Kind.PROXY_PACKAGE)
    if isinstance(failure, OSError):
        return UsageError("the certificates cannot be read", kind=Kind.CERTIFICATES_UNREADABLE)
    if isinstance(failure, ValueError):
        return UsageError("a proxy address in the environment cannot be used", kind=Kind.PROXY)
    if type(failure).__name__ == "InvalidURL" and os.environ.get("NO_PROXY", os.environ.get("no_proxy")):
        # It makes addresses of what stands in there.
        return UsageError(
            "NO_PROXY in the environment, or the base URL, has an address that cannot be used",
            kind=Kind.NO_PROXY,
        )
    return translate(failure, endpoint)


def of_error_chunk(error: object, endpoint: Endpoint, request_id: str | None) -> ChatError:
    """The error that an `error` object in a stream, or in place of one, means."""
    message = _server_message(error, endpoint) or "the server gave no reason"
    code = _code(error, endpoint)
    status = int(code) if code and re.fullmatch(r"[45]\d\d", code) else _STATUS_OF_CODE.get(code or "", 500)
    meant = QuotaError if code in _QUOTA_CODES else _error_class(status)
    return meant(
        f"{endpoint.host} sent an error instead of an answer: {message}",
        kind=Kind.ANSWER_CUT if meant is ServerError else _kind(meant, status, code, message, endpoint),
        request_id=request_id,
        code=code,
        status_code=status if code == str(status) else None,
        param=_param(error, endpoint),
        **_facts(endpoint),
    )


def too_much(endpoint: Endpoint, what: str, *, began: bool) -> ServerError:
    """The error for `what`, which is more than is read. `began` says whether a part of the answer had arrived."""
    message = f"{endpoint.host} sent {what}"
    if began:
        return ConnectionCut(f"{message}: the answer ends here", kind=Kind.ANSWER_CUT)
    return TooMuchSent(message, kind=Kind.TOO_MUCH_SENT)


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
    return NotAStream(
        f"{endpoint.host} sent {endpoint.without_secret(what)} instead of an event stream",
        kind=Kind.NOT_A_STREAM,
        request_id=request_id,
    )


def _of_status(failure: Any, endpoint: Endpoint) -> ChatError:
    status: int = failure.status_code
    headers: Mapping[str, str] = failure.response.headers
    body = _body(failure)
    message = _server_message(body, endpoint)
    code = _code(body, endpoint)
    meant = QuotaError if status == 429 and code in _QUOTA_CODES else _error_class(status)
    wait = retry_after(headers, time.time())
    error = meant(
        f"{endpoint.host} says {status}{': ' + message if message else ' ' + _reason(failure, endpoint)}".rstrip(),
        kind=_kind(meant, status, code, message, endpoint),
        status_code=status,
        request_id=request_id_of(headers, endpoint),
        code=code,
        param=_param(body, endpoint),
        wait=wait,
        location=one_line(endpoint.without_secret(headers.get("location", ""))),
        **_facts(endpoint),
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


def _error_class(status: int) -> type[ChatError]:
    if 300 <= status < 400:
        return NotAStream
    return _ERROR_OF_STATUS.get(status, RequestRejected if 400 <= status < 500 else ServerError)


def _reason(failure: Any, endpoint: Endpoint) -> str:
    """The status in words, for an answer without a body that says more."""
    reason = one_line(endpoint.without_secret(failure.response.reason_phrase))
    return f"({reason})" if reason else ""


#: Class → the kind of an error of that class, where the status says no more.
_KIND_OF_CLASS: Mapping[type[ChatError], Kind] = {
    NotAStream: Kind.REDIRECTED,
    QuotaError: Kind.QUOTA,
    RateLimitError: Kind.RATE_LIMIT,
    TimedOut: Kind.SERVER_TIMED_OUT,
    ServerError: Kind.SERVER_FAILED,
}


def _kind(meant: type[ChatError], status: int, code: str | None, message: str, endpoint: Endpoint) -> Kind:
    """Return the kind of an error of the class `meant` that a server reports."""
    if meant is CredentialsError:
        if not endpoint.api_key:
            return Kind.KEY_MISSING
        return Kind.KEY_FORBIDDEN if status == 403 else Kind.KEY_REJECTED
    if meant in _KIND_OF_CLASS:
        return _KIND_OF_CLASS[meant]
    if status == 404:
        is_model = code == "model_not_found" or "model" in message.lower()
        return Kind.MODEL_NOT_FOUND if is_model else Kind.PATH_NOT_FOUND
    return Kind.PROMPT_TOO_LARGE if status == 413 else Kind.REQUEST_REJECTED


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    """What a hint may need of the endpoint; of the key its last characters alone."""
    return {
        "host": endpoint.host,
        "base_url": endpoint.base_url,
        "key_variable": endpoint.key_variable,
        "key": masked(endpoint.api_key) if endpoint.secret else "",
    }


def _timed_out(failure: BaseException, endpoint: Endpoint) -> TimedOut:
    if any(type(cause).__name__ == "ConnectTimeout" for cause in _chain(failure)):
        return TimedOut(f"no connection to {endpoint.host} in time", kind=Kind.CONNECT_TIMEOUT)
    return TimedOut(f"{endpoint.host} sent nothing for {endpoint.timeout:g} s", kind=Kind.READ_TIMEOUT)


def _connection(failure: BaseException, endpoint: Endpoint, *, began: bool) -> ChatError:
    """Return the error for a connection that was not made, or broke."""
    if began:
        return _cut(endpoint, began, "the connection broke")
    causes = list(_chain(failure))
    proxy = endpoint.proxy
    if proxy and any(isinstance(cause, ConnectionRefusedError) or _is_no_name(cause) for cause in causes):
        return _unreachable(f"the proxy {proxy} cannot be reached", Kind.PROXY_UNREACHABLE)
    for cause in causes:
        for is_meant, kind, message in _CAUSES:
            if is_meant(cause):
                return _unreachable(message(cause, endpoint), kind)
    return _of_http(causes, endpoint)


def _of_http(causes: list[BaseException], endpoint: Endpoint) -> ChatError:
    """Return the error for a connection on which something else than an answer came."""
    names = {type(cause).__name__ for cause in causes}
    if "ProxyError" in names:
        return _unreachable("the proxy refused the connection", Kind.PROXY)
    if any(type(cause).__name__ == "RemoteProtocolError" and "too long" in str(cause) for cause in causes):
        return TooMuchSent(f"the headers that {endpoint.host} sent are too long", kind=Kind.HEADERS_TOO_LONG)
    if any(_is_not_http(cause) for cause in causes):
        return NotAStream(f"{endpoint.host} does not speak HTTP", kind=Kind.NOT_HTTP)
    # It hangs up on a request, or resets a connection on which there is one that it did not read.
    hung_up = "RemoteProtocolError" in names or any(isinstance(cause, ConnectionResetError) for cause in causes)
    greeting = greeting_of(endpoint.base_url) if hung_up and not endpoint.proxy else None
    if greeting:
        said = one_line(endpoint.without_secret(greeting))
        return NotAStream(f"{endpoint.host} does not speak HTTP: it greets with {said!r}", kind=Kind.NOT_HTTP)
    return _cut(endpoint, False, "the connection broke")


def _unreachable(message: str, kind: Kind) -> ConnectionFailed:
    """Return the error for a connection that will not be made a moment later either."""
    error = ConnectionFailed(message, kind=kind)
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


def _is_system_error(cause: BaseException) -> bool:
    is_other = isinstance(cause, (ConnectionError, TimeoutError))
    return isinstance(cause, OSError) and bool(cause.errno) and not is_other


#: What a connection failed for, the first that fits → its kind, and the message about it.
_CAUSES: Sequence[tuple[Callable[[BaseException], bool], Kind, Callable[[Any, Endpoint], str]]] = (
    (
        _is_no_name,
        Kind.UNREACHABLE,
        lambda _cause, endpoint: f"the name {urlsplit(endpoint.base_url).hostname} cannot be resolved",
    ),
    (
        lambda cause: isinstance(cause, ssl.SSLCertVerificationError),
        Kind.CERTIFICATE,
        lambda cause, endpoint: f"the certificate of {endpoint.host} is not trusted: {cause.verify_message}",
    ),
    (
        lambda cause: isinstance(cause, ssl.SSLError),
        Kind.TLS,
        lambda cause, endpoint: (
            f"no secure connection to {endpoint.host}: {(cause.reason or 'TLS failed').replace('_', ' ').lower()}"
        ),
    ),
    (
        lambda cause: isinstance(cause, ConnectionRefusedError),
        Kind.CONNECTION_REFUSED,
        lambda _cause, endpoint: f"{endpoint.host} refused the connection",
    ),
    (
        _is_system_error,
        Kind.UNREACHABLE,
        lambda cause, endpoint: f"no connection to {endpoint.host}: {cause.strerror}",
    ),
)


def _cut(endpoint: Endpoint, began: bool, what: str) -> ConnectionFailed:
    if began:
        return ConnectionCut(f"{what} in the middle of the answer", kind=Kind.ANSWER_CUT)
    return ConnectionFailed(f"{what} before {endpoint.host} answered", kind=Kind.CONNECTION_BROKEN)


def _damaged(endpoint: Endpoint, began: bool) -> ServerError:
    if began:
        return ConnectionCut("the compressed answer is damaged from here on", kind=Kind.ANSWER_CUT)
    return NotAStream(f"{endpoint.host} sent a compressed answer that is damaged", kind=Kind.DAMAGED_ANSWER)


#: Names of the classes of a failure, and whether an answer had begun → the error it means: the first that fits.
_TRANSLATIONS: Sequence[
    tuple[Callable[[Exception, set[str], bool], bool], Callable[[Exception, Endpoint, bool], ChatError]]
] = (
    (lambda _failure, names, _began: "APIStatusError" in names, lambda failure, endpoint, _: _of_status(failure, endpoint)),
    (
        lambda _failure, names, _began: bool(names & {"APITimeoutError", "TimeoutException"}),
        lambda failure, endpoint, _: _timed_out(failure, endpoint),
    ),
    (
        lambda failure, _names, _began: any(type(cause).__name__ == "LocalProtocolError" for cause in _chain(failure)),
        lambda *_: UsageError(
            "the request cannot be sent: one of its headers has a character that no header may have",
            kind=Kind.HEADER_CHARACTER,
        ),
    ),
    (
        lambda _failure, names, _began: bool(names & {"InvalidURL", "UnsupportedProtocol"}),
        lambda _failure, endpoint, _: UsageError(f"the address {endpoint.base_url} cannot be used", kind=Kind.BASE_URL),
    ),
    (
        lambda _failure, names, _began: "DecodingError" in names,
        lambda _failure, endpoint, began: _damaged(endpoint, began),
    ),
    (
        lambda _failure, names, _began: bool(names & {"APIConnectionError", "TransportError", "StreamError", "OSError"}),
        lambda failure, endpoint, began: _connection(failure, endpoint, began=began),
    ),
    # From below the HTTP library: of a name that cannot be one, and of a SOCKS proxy. SDK 2 wraps them, SDK 3 does not.
    (
        lambda _failure, names, began: not began and bool(names & {"UnicodeError", "OverflowError", "ProtocolError"}),
        lambda failure, endpoint, began: _connection(failure, endpoint, began=began),
    ),
)


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
