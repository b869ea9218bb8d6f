"""What happens in an answer, as values.

Field names are the API's own. `at` is a reading of the turn's monotonic clock in seconds; only differences mean anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class Outcome(str, Enum):
    """How an answer ended. Only `complete` is a whole answer."""

    COMPLETE = "complete"
    LENGTH = "length"
    FILTERED = "filtered"
    REFUSED = "refused"
    TOOL_CALLS = "tool_calls"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True)
class Sent:
    """The request is about to be sent. Always the first event: every latency figure counts from here."""

    at: float


@dataclass(frozen=True)
class Started:
    """The first chunk is here. `model` is the one that the server names; `request_id` comes from its headers."""

    at: float
    model: str
    request_id: str | None


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer, never empty, as it came."""

    at: float
    text: str


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers."""

    at: float
    text: str


@dataclass(frozen=True)
class RefusalDelta:
    """A piece of the model's refusal, which takes the place of an answer."""

    at: float
    text: str


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a tool call: `name` comes once, `arguments` in pieces. Shown, never executed.

    `index` counts the calls as they appear, because servers leave their own out, or give it twice.
    """

    at: float
    index: int
    name: str
    arguments: str


@dataclass(frozen=True)
class OtherChoice:
    """A piece of an answer that is not the first one (`n` > 1), as it came; it is not shown."""

    at: float
    choice: int
    delta: Mapping[str, Any]
    finish_reason: str | None


@dataclass(frozen=True)
class Logprobs:
    """The log probabilities of the tokens of a piece, as they came; they are not shown."""

    at: float
    logprobs: Mapping[str, Any]


@dataclass(frozen=True)
class UsageReported:
    """The server counted tokens."""

    usage: Usage


@dataclass(frozen=True)
class Retrying:
    """An attempt failed for `reason`; the next one, number `attempt` of at most `attempts`, starts in `delay` seconds."""

    at: float
    attempt: int
    attempts: int
    delay: float
    reason: str


@dataclass(frozen=True)
class Adapted:
    """The server refused a part of the request; it is sent again with the adaptation of this name."""

    at: float
    adaptation: str


@dataclass(frozen=True)
class NotStreamed:
    """The server did not stream: the answer came in one piece."""

    at: float


@dataclass(frozen=True)
class Skipped:
    """An event of the stream that is no chunk, as it came: a server's way to keep the connection alive, or its own words."""

    at: float
    data: str


@dataclass(frozen=True)
class ReasoningUnmarked:
    """A `</think>` that nothing had opened: what was told as text so far was reasoning."""

    at: float


@dataclass(frozen=True)
class Finished:
    """The end of the answer, whichever it is; always the last event."""

    at: float
    outcome: Outcome
    finish_reason: str | None


Event: TypeAlias = (
    Sent
    | Started
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | OtherChoice
    | Logprobs
    | UsageReported
    | Retrying
    | Adapted
    | NotStreamed
    | Skipped
    | ReasoningUnmarked
    | Finished
)
