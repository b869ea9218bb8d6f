"""One request and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.exit_status import STATUS_OF_OUTCOME
from streaming_chat.core.timing import Timing


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asked for. `arguments` is the text that it wrote, which need not be JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class StoredError:
    """What went wrong, as the user was told. `type` is the class in core/errors.py, `code` the server's own name."""

    type: str
    message: str
    hint: str
    status_code: int | None
    code: str | None

    @classmethod
    def of(cls, error: ChatError) -> StoredError:
        """`error` as it is kept."""
        return cls(type(error).__name__, error.message, error.hint, error.status_code, error.code)


@dataclass(frozen=True)
class Turn:
    """One request and what came of it: the record that everything after the stream reads.

    `error` is set when something failed; `outcome` says whether the text is whole all the same. `model` and `request_id`
    are the server's own.
    """

    request: ChatRequest
    text: str
    reasoning: str
    outcome: Outcome
    finish_reason: str | None
    usage: Usage | None
    timing: Timing
    error: ChatError | None = None
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    request_id: str | None = None

    @property
    def exit_status(self) -> int:
        """What this turn means for the shell (core/exit_status.py)."""
        return STATUS_OF_OUTCOME[self.outcome] if self.error is None else self.error.exit_status
