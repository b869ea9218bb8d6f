"""A request that a model does not take as it is → the request that it takes.

The same field has other names, or is not to be had at all, on models of one and the same API: OpenAI's reasoning models
take `max_completion_tokens` and no sampling, some servers know no `stream_options`, some models no system role. The server
says so with status 400 or 422; then the request is changed by one row of the table and sent once more. Nothing is guessed:
a row applies only where the server names its field, and never to a value that is merely too large.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError, RequestRejected

#: How a server refuses a field by its name: "Unsupported parameter: 'top_p'", "stream_options: Extra inputs …".
_REFUSES: Final = (
    r"(unsupported|unrecognized|unrecognised|unknown|unexpected|invalid)( request)? (parameter|argument|field|value)"
    r"[^.]{{0,40}}(?<![\w.]){0}(?!\w)"
    r"|(?<![\w.]){0}(?!\w)['\"`:]{{0,2}} (is |are )?"
    r"(not supported|unsupported|not permitted|not allowed|not available|extra)"
)
#: What a server says of a value that it would take, were it another. That is for the user to change.
_VALUE: Final = re.compile(
    r"too (large|high|low|long|small)|must be|at most|at least|between|maximum|minimum|less than|greater than|reduce|[<>]"
)
_CODES: Final = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_ROLE: Final = re.compile(
    r"(does not|doesn't) support ['\"]?system|system['\"]? (role|message)s? (is|are) (not supported|unsupported)"
)


@dataclass(frozen=True)
class Adaptation:
    """One row: the field that the server refuses, what to do about it, and how to say so."""

    field: str
    change: Callable[[ChatRequest], ChatRequest]
    says: str


def _completion_tokens(request: ChatRequest) -> ChatRequest:
    if request.max_tokens is None:
        return request
    return replace(request, max_tokens=None, extra={**request.extra, "max_completion_tokens": request.max_tokens})


def _without_stream_options(request: ChatRequest) -> ChatRequest:
    extra = {name: value for name, value in request.extra.items() if name != "stream_options"}
    return replace(request, extra=extra, include_usage=False)


def _developer(request: ChatRequest) -> ChatRequest:
    messages = (replace(one, role="developer") if one.role == "system" else one for one in request.messages)
    return replace(request, messages=tuple(messages))


#: By name, under which an adaptation is remembered.
ADAPTATIONS: Final[Mapping[str, Adaptation]] = {
    "max_completion_tokens": Adaptation("max_tokens", _completion_tokens, "max_tokens is sent as max_completion_tokens"),
    "no_temperature": Adaptation(
        "temperature", lambda request: replace(request, temperature=None), "temperature is left out"
    ),
    "no_top_p": Adaptation("top_p", lambda request: replace(request, top_p=None), "top_p is left out"),
    "no_stream_options": Adaptation("stream_options", _without_stream_options, "stream_options is left out"),
    "developer": Adaptation("role", _developer, "the system message is sent in the developer role"),
}


def adapt(request: ChatRequest, names: Iterable[str]) -> ChatRequest:
    """`request` with the adaptations of these names; names that are not known are passed over."""
    for name in names:
        if name in ADAPTATIONS:
            request = ADAPTATIONS[name].change(request)
    return request


def adaptation_for(request: ChatRequest, error: ChatError) -> str | None:
    """The name of the adaptation that answers `error`, if there is one that changes anything in `request`."""
    if not isinstance(error, RequestRejected) or error.status_code not in (400, 422):
        return None
    for name, adaptation in ADAPTATIONS.items():
        if _names(adaptation.field, error) and adaptation.change(request) != request:
            return name
    # Nobody asked for the token counts but this program: they are not worth an answer, in whatever words they are refused.
    if request.include_usage and (error.param == "stream_options" or "stream_options" in error.message):
        return "no_stream_options"
    return None


def _names(field: str, error: ChatError) -> bool:
    """Whether the server refuses the field itself, not its value."""
    message = error.message.lower()
    if field == "role":
        return bool(_ROLE.search(message))
    if _VALUE.search(message):
        return False
    return (error.param == field and error.code in _CODES) or bool(re.search(_REFUSES.format(field), message))
