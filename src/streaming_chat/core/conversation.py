"""The messages of the next request: one message is one independent request, unless the chat is stateful."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple


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


#: From so many estimated tokens on, what a model counts says how long its tokens are.
_TELLING: Final = 256


class Exchange(NamedTuple):
    """A prompt and its answer."""

    prompt: str
    answer: str


class Conversation:
    """The turns so far, and which of them go along with the next request.

    Stateless, `next_messages` is `[system?, user]`, and no turn is taken in or left out.

    `branch` has the numbers of the turns before the next one, as the history counts them, stateful or not: those with a
    complete answer, and those that were kept.
    """

    def __init__(self, *, stateful: bool = False) -> None:
        self.stateful = stateful
        self.exchanges: list[Exchange] = []
        self.branch: list[int] = []
        # The numbers of the turns of `exchanges`, one for each, and of the turn that was asked last.
        self._turns: list[int | None] = []
        self._asked: int | None = None
        self._aside_turn: int | None = None
        #: The last answer, if it is not whole: it goes along only when the user says so.
        self.aside: Exchange | None = None
        # How many of the oldest do not go along with the next request, and how many a server had no room for.
        self._left_out = 0
        self._refused = 0
        # Whether the last turn that was asked is the last exchange.
        self._has_last = False
        # What a model counted: for its own frame, and for one of `estimated_tokens`.
        self._frame = 0.0
        self._tokens_per_estimate = 1.0

    @property
    def along(self) -> list[Exchange]:
        """The turns that go along."""
        return self.exchanges[self._left_out :] if self.stateful else []

    @property
    def left_out(self) -> list[Exchange]:
        """The turns that do not, for want of room."""
        return self.exchanges[: self._left_out] if self.stateful else []

    def next_messages(self, prompt: str, system: str | None) -> tuple[Message, ...]:
        """The messages to send for `prompt`."""
        messages = [Message("system", system)] if system else []
        for exchange in self.along:
            messages += [Message("user", exchange.prompt), Message("assistant", exchange.answer)]
        return (*messages, Message("user", prompt))

    def resume(self, messages: Iterable[Message], branch: Sequence[int] = ()) -> None:
        """Continue from earlier messages: each prompt that an answer follows. `branch` has the numbers of their turns."""
        texts = [message for message in messages if message.role in ("user", "assistant")]
        found = [
            Exchange(one.content, following.content)
            for one, following in pairwise(texts)
            if (one.role, following.role) == ("user", "assistant")
        ]
        self.branch += branch
        # The last ones belong together: the oldest messages may have been dropped, or be of turns without a number.
        numbers = [*[None] * len(found), *branch][len(branch) :]
        self.exchanges += found
        self._turns += numbers

    def take_back(self) -> None:
        """Forget the turn that was asked last: it is about to be asked again."""
        if self._has_last:
            self._drop_last()
        if self.branch[-1:] == [self._asked]:
            self.branch.pop()
        self.aside = None

    @property
    def parent(self) -> int | None:
        """The number of the turn before the next one; None when there is none, or when it has no number."""
        return self.branch[-1] if self.branch else None

    def add(self, prompt: str, answer: str, turn: int | None = None) -> None:
        """Keep a whole answer, that of turn number `turn`, for the requests to come."""
        self._asked = turn
        self._extend_branch(turn)
        self._has_last = self.stateful
        if self.stateful:
            self.exchanges.append(Exchange(prompt, answer))
            self._turns.append(turn)
            self.aside = None

    def set_aside(self, prompt: str, answer: str, turn: int | None = None) -> bool:
        """Half an answer would mislead the model: it is left out, unless `keep` is called. Whether there is one."""
        self._asked = turn
        self._has_last = False
        self.aside = Exchange(prompt, answer) if self.stateful and answer else None
        self._aside_turn = turn
        return self.aside is not None

    def _extend_branch(self, turn: int | None) -> None:
        if turn is not None:
            self.branch.append(turn)

    def keep(self) -> Exchange | None:
        """Let the answer that was set aside go along after all; None when there is none."""
        kept, self.aside = self.aside, None
        if kept is not None:
            self.exchanges.append(kept)
            self._turns.append(self._aside_turn)
            self._extend_branch(self._aside_turn)
            self._has_last = True
        return kept

    def undo(self) -> Exchange | None:
        """Forget the last turn, also one that was set aside; None when there is none."""
        undone, self.aside = self.aside, None
        if undone is None and self.exchanges:
            turn = self._turns[-1]
            undone = self._drop_last()
            if turn in self.branch:
                del self.branch[self.branch.index(turn) :]
        return undone

    def clear(self) -> int:
        """Forget all turns; how many there were."""
        count = len(self.exchanges)
        while self.exchanges:
            self._drop_last()
        self.branch.clear()
        self.aside = None
        return count

    def _drop_last(self) -> Exchange:
        dropped = self.exchanges.pop()
        self._turns.pop()
        self._has_last = False
        self._refused = min(self._refused, len(self.exchanges))
        self._left_out = min(self._left_out, len(self.exchanges))
        return dropped

    def leave_out_half(self) -> list[Exchange]:
        """A server had no room: leave out the older half of those that go along; which."""
        left_out = self.along[: -(-len(self.along) // 2)]
        self._left_out += len(left_out)
        self._refused = self._left_out
        return left_out

    def take_in_again(self) -> int:
        """Leaving out did not help: let all turns go along that a server had no room for; how many."""
        count, self._refused, self._left_out = self._refused, 0, 0
        return count

    def fit(self, prompt: str, system: str | None, tokens: int) -> list[Exchange]:
        """Leave out as many of the oldest turns as the next request needs to have at most `tokens`; the newly left out.

        How many tokens it has can only be estimated. A later and shorter request has room for more turns again.
        """
        before = self._left_out
        self._left_out = self._refused
        while self.along and self._tokens_of(self.next_messages(prompt, system)) > tokens:
            self._left_out += 1
        return self.left_out[before:]

    def learn(self, messages: Iterable[Message], prompt_tokens: int) -> None:
        """A model has counted `prompt_tokens` for these messages."""
        estimate = estimated_tokens(messages)
        # A short request is mostly the frame that a model's template puts around it: that is added, and multiplies nothing.
        if estimate >= _TELLING:
            self._tokens_per_estimate = prompt_tokens / estimate
        self._frame = max(0.0, prompt_tokens - estimate * self._tokens_per_estimate)

    def _tokens_of(self, messages: Iterable[Message]) -> float:
        return self._frame + estimated_tokens(messages) * self._tokens_per_estimate


def estimated_tokens(messages: Iterable[Message]) -> int:
    """About as many tokens as messages have: one for four bytes of UTF-8, and four for the frame of each message.

    Four characters of English to a token is OpenAI's own rule of thumb (help.openai.com, "What are tokens and how to count
    them?").
    """
    return sum(len(message.content.encode(errors="replace")) // 4 + 4 for message in messages)
