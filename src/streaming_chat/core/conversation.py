"""The messages of the next request: one message is one independent request, unless the chat is stateful."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Message:
    """One message, in the API's terms."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """What is asked of a provider. None means: not set by the user, so not sent. `extra` is merged into the body.

    With `include_usage` the server is asked to count tokens (API reference, "Create chat completion", `stream_options`).
    """

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    include_usage: bool = False

    @property
    def prompt(self) -> str:
        """The user's last words."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


class Exchange(NamedTuple):
    """A prompt and its answer."""

    prompt: str
    answer: str


class Conversation:
    """The turns so far, and which of them go along with the next request.

    Stateless, `next_messages` is `[system?, user]`, and `add` and `set_aside` change nothing.
    """

    def __init__(self, *, stateful: bool = False) -> None:
        self.stateful = stateful
        self.exchanges: list[Exchange] = []
        #: The last answer, if it is not whole: it goes along only when the user says so.
        self.aside: Exchange | None = None
        # How many tokens a model has counted for one of `estimated_tokens`.
        self._tokens_per_estimate = 1.0

    def next_messages(self, prompt: str, system: str | None) -> tuple[Message, ...]:
        """The messages to send for `prompt`."""
        messages = [Message("system", system)] if system else []
        for exchange in self.exchanges if self.stateful else ():
            messages += [Message("user", exchange.prompt), Message("assistant", exchange.answer)]
        return (*messages, Message("user", prompt))

    def resume(self, messages: Iterable[Message]) -> None:
        """Go on from earlier messages: each prompt that has an answer behind it."""
        texts = [message for message in messages if message.role in ("user", "assistant")]
        for one, following in pairwise(texts):
            if (one.role, following.role) == ("user", "assistant"):
                self.exchanges.append(Exchange(one.content, following.content))

    def take_back(self, prompt: str) -> None:
        """Forget the last turn if it asked for `prompt`: it is about to be asked again."""
        if self.exchanges and self.exchanges[-1].prompt == prompt:
            del self.exchanges[-1]

    def add(self, prompt: str, answer: str) -> None:
        """Keep a whole answer for the requests to come."""
        if self.stateful:
            self.exchanges.append(Exchange(prompt, answer))
            self.aside = None

    def set_aside(self, prompt: str, answer: str) -> bool:
        """Half an answer would mislead the model: it is left out, unless `keep` is called. Whether there is one."""
        self.aside = Exchange(prompt, answer) if self.stateful and answer else None
        return self.aside is not None

    def keep(self) -> Exchange | None:
        """Let the answer that was set aside go along after all; None when there is none."""
        kept, self.aside = self.aside, None
        if kept is not None:
            self.exchanges.append(kept)
        return kept

    def undo(self) -> Exchange | None:
        """Forget the last turn; None when there is none."""
        return self.exchanges.pop() if self.exchanges else None

    def clear(self) -> int:
        """Forget all turns; how many there were."""
        count = len(self.exchanges)
        self.exchanges.clear()
        self.aside = None
        return count

    def leave_out(self, count: int) -> list[Exchange]:
        """Leave out the oldest turns; which."""
        left_out = self.exchanges[:count]
        del self.exchanges[:count]
        return left_out

    def fit(self, prompt: str, system: str | None, tokens: int) -> list[Exchange]:
        """Leave out the oldest turns until the next request has at most `tokens`, as far as can be told; which."""
        left_out: list[Exchange] = []
        while self.exchanges and self._tokens_of(self.next_messages(prompt, system)) > tokens:
            left_out += self.leave_out(1)
        return left_out

    def learn(self, messages: Iterable[Message], prompt_tokens: int) -> None:
        """A model has counted `prompt_tokens` for these messages."""
        self._tokens_per_estimate = prompt_tokens / max(1, estimated_tokens(messages))

    def _tokens_of(self, messages: Iterable[Message]) -> float:
        return estimated_tokens(messages) * self._tokens_per_estimate


def estimated_tokens(messages: Iterable[Message]) -> int:
    """About as many tokens as messages have: one for four bytes of UTF-8, and four for the frame of each message.

    Four characters of English to a token is OpenAI's own rule of thumb (help.openai.com, "What are tokens and how to count
    them?").
    """
    return sum(len(message.content.encode(errors="replace")) // 4 + 4 for message in messages)
