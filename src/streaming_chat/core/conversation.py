"""The messages of the next request: one message is one independent request, unless the chat is stateful."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Message:
    """One message, in the API's terms."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """What is asked of a provider. None means: not set by the user, so not sent. `extra` is merged into the body."""

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The user's last words."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


class Conversation:
    """The turns so far, and which of them go along with the next request.

    Stateless, `next_messages` is `[system?, user]` and `add` changes nothing.
    """

    def __init__(self, *, stateful: bool = False) -> None:
        self.stateful = stateful
        self._earlier: list[Message] = []

    def next_messages(self, prompt: str, system: str | None) -> tuple[Message, ...]:
        """The messages to send for `prompt`."""
        head = (Message("system", system),) if system else ()
        return (*head, *self._earlier, Message("user", prompt))

    def take_back(self, prompt: str) -> None:
        """Forget the last turn if it asked for `prompt`: it is about to be asked again."""
        if self._earlier[-2:-1] == [Message("user", prompt)]:
            del self._earlier[-2:]

    def add(self, prompt: str, answer: str) -> None:
        """Keep a whole answer for the requests to come. Half an answer would mislead the model: leave it out."""
        if self.stateful:
            self._earlier += [Message("user", prompt), Message("assistant", answer)]
