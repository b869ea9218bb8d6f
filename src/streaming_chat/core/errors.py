"""Every way in which the program can fail, and the exit status that goes with it.

ChatError                   1    unexpected
├── UsageError              2    wrong use, or a setting that cannot be
├── CredentialsError        3    no key, or one that the server does not accept (401, 403)
├── RateLimitError          4    too many requests (429)
│   └── QuotaError          4    nothing left to spend: waiting does not help
├── ServerError             5    the server failed (5xx, an error inside the stream)
│   ├── ConnectionFailed    5    no connection, or one that broke before the first byte
│   │   └── ConnectionCut   7    the connection broke in the middle of an answer, whose text so far is kept
│   ├── NotAStream          5    something came, but it is not an event stream
│   └── TooMuchSent         5    more came than is read, and nothing of an answer before it
├── TimedOut                6    nothing came for longer than `--timeout`, or the turn took longer than `--max-time`
├── RequestRejected         8    the server does not take this request (400, 404, 409, 413, 422)
└── OutputClosed          141    whoever read the answer has left (`| head`)
    └── OutputFailed        1    the answer cannot be written (a full disk)

Whatever is raised inside the program on purpose is one of these.
"""

from __future__ import annotations

import re
from typing import Any

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.exit_status import ExitStatus


class ChatError(Exception):
    """A failure as facts: `message` says what happened, `kind` names it.

    `status_code` and `request_id` are the server's, where it answered; `code` is its own name for the failure, `param` the
    field of the request that it is about, `facts` has what else a hint may need (core/error_kinds.py). `hint` says what to
    do: whoever shows the error fills it in (cli/hints.py), and it is empty before that. The texts may hold what a server
    sent: they are raw, and whoever shows them sanitises them.
    """

    exit_status: int = ExitStatus.UNEXPECTED
    #: The kind of an error that is raised without one.
    default_kind: Kind = Kind.UNEXPECTED
    #: Whether the same request may well succeed a moment later. Decides on retries.
    transient = False
    #: Seconds after which the server wants to be asked again, where it said so.
    retry_after: float | None = None

    def __init__(  # noqa: PLR0913 # every fact has a name, and all but the message may be absent
        self,
        message: str,
        hint: str = "",
        *,
        kind: Kind | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        code: str | None = None,
        param: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind or self.default_kind
        self.status_code = status_code
        self.request_id = request_id
        self.code = code
        self.param = param
        self.facts = facts

    @classmethod
    def unexpected(cls, failure: Exception) -> ChatError:
        """A fault of the program's own. Its class is told, its text is not: that may hold anything."""
        return cls(f"unexpected: {type(failure).__name__}")


class UsageError(ChatError):
    """Wrong use, or a setting that cannot be."""

    exit_status = ExitStatus.USAGE
    default_kind = Kind.USAGE


class CredentialsError(ChatError):
    """No key, or one that the server does not accept."""

    exit_status = ExitStatus.CREDENTIALS


class RateLimitError(ChatError):
    """Too many requests."""

    exit_status = ExitStatus.RATE_LIMIT
    transient = True


class QuotaError(RateLimitError):
    """Nothing left to spend; the server says 429 here too, but waiting does not help."""

    transient = False


class ServerError(ChatError):
    """The server failed: a 5xx, or an error object inside the stream."""

    exit_status = ExitStatus.SERVER
    transient = True


class ConnectionFailed(ServerError):
    """No connection, or one that broke before the first byte of the answer."""


class ConnectionCut(ConnectionFailed):
    """The connection broke in the middle of an answer."""

    exit_status = ExitStatus.INCOMPLETE


class NotAStream(ServerError):
    """The server answered, but not with an event stream."""

    transient = False


class TooMuchSent(ServerError):
    """The server sent more than is read (core/limits.py) before anything of an answer."""

    transient = False


class TimedOut(ChatError):
    """Nothing came for longer than the `timeout` setting, or the turn took longer than `max_time`."""

    exit_status = ExitStatus.TIMEOUT


class RequestRejected(ChatError):
    """The server does not take this request as it is."""

    exit_status = ExitStatus.REJECTED


class OutputClosed(ChatError):
    """Whoever read the answer has left: a quiet end."""

    exit_status = ExitStatus.OUTPUT_CLOSED

    def __init__(self) -> None:
        super().__init__("nobody reads the answer any more", kind=Kind.OUTPUT_CLOSED)


class OutputFailed(OutputClosed):
    """The answer cannot be written: a full disk, most likely."""

    exit_status = ExitStatus.UNEXPECTED

    def __init__(self, reason: str) -> None:
        ChatError.__init__(self, f"the answer cannot be written: {reason}", kind=Kind.OUTPUT_FAILED)


#: How servers say that a request has more tokens than the model takes: OpenAI, vLLM, llama.cpp, Anthropic, Mistral.
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}tokens|too many tokens|prompt is too long|too large for model",
    re.IGNORECASE,
)


def is_too_long(error: ChatError) -> bool:
    """Whether the server rejected a request because it has more tokens than the model takes."""
    if not isinstance(error, RequestRejected):
        return False
    return error.code == "context_length_exceeded" or bool(_TOO_LONG.search(error.message))
