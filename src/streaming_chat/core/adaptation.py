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

#: How a server says that it does not know or take a field, rather than its value.
_REFUSED: Final = re.compile(
    r"unsupported|not supported|does not support|unrecognized|unrecognised|unknown|unexpected|not permitted"
    r"|not allowed|isn't supported|invalid (parameter|argument|role)|extra (fields|inputs)",
    re.IGNORECASE,
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
    return replace(request, extra={name: value for name, value in request.extra.items() if name != "stream_options"})


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
    return None


def _names(field: str, error: ChatError) -> bool:
    """Whether the server refuses the field itself."""
    if field == "role":
        about = bool(re.search(r"messages\S*role$", error.param or "")) or bool(re.search(r"\bsystem\b", error.message))
        about = about and "role" in f"{error.param} {error.message}"
    else:
        # As a whole word: `max_tokens` stands inside `max_tokens_to_sample` and other names.
        about = error.param == field or bool(re.search(rf"(?<![\w.]){field}(?!\w)", error.message))
    return about and bool(_REFUSED.search(f"{error.code or ''} {error.message}".replace("_", " ")))
