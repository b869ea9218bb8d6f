"""Chunk dicts → events → one `Turn`.

Strategy: what a server sends is read by its shape, never trusted to have one. A field of the wrong type is as good as
absent; nothing in a chunk can raise. The fields are those of the API's `chat.completion.chunk`, and the names under which
other servers send the same (`message` for `delta`, `reasoning` for `reasoning_content`, content as a list of parts).

Rule: an answer is whole when a non-empty `finish_reason` or `[DONE]` has arrived. Everything else is an end, not a finish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError, ConnectionCut, OutputClosed
from streaming_chat.core.events import (
    Event,
    Outcome,
    ReasoningDelta,
    RefusalDelta,
    Sent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from streaming_chat.core.surrogates import SurrogateJoiner
from streaming_chat.core.timing import Stopwatch, Timing

#: What a provider yields for `data: [DONE]`, which is no JSON.
DONE: Final[Mapping[str, Any]] = {"object": "[DONE]"}

#: How an answer with this `finish_reason` ended. One that is not here is shown as it is and counts as complete.
OUTCOME_OF_FINISH_REASON: Final[Mapping[str, Outcome]] = {
    "length": Outcome.LENGTH,
    "max_tokens": Outcome.LENGTH,
    "content_filter": Outcome.FILTERED,
    "tool_calls": Outcome.TOOL_CALLS,
    "function_call": Outcome.TOOL_CALLS,
}


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asked for. `arguments` is the text that it wrote, which need not be JSON."""

    name: str
    arguments: str


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


class Reply:
    """One answer in the making. `start` is when it was asked for, on the turn's clock."""

    def __init__(self, request: ChatRequest, start: float) -> None:
        self.request = request
        self.stopwatch = Stopwatch(start)
        self._text = _Text()
        self._reasoning = _Text()
        self._refusal = _Text()
        #: Name and arguments, by index.
        self._tool_calls: dict[int, tuple[_Text, _Text]] = {}
        self._usage: Usage | None = None
        self._finish_reason: str | None = None
        self._done = False
        self._model: str | None = None
        self._request_id: str | None = None

    @property
    def has_output(self) -> bool:
        """Whether anything was shown that a second attempt would repeat."""
        return bool(self._text.pieces or self._reasoning.pieces or self._refusal.pieces or self._tool_calls)

    @property
    def whole(self) -> bool:
        """Whether the server said that this is all."""
        return self._done or self._finish_reason is not None

    def begin(self, at: float) -> Sent:
        """The first attempt begins: all figures count from here."""
        self.stopwatch.start = at
        return Sent(at)

    def attempt(self, number: int) -> None:
        """Attempt `number` begins (the first one is 1). Nothing of the one before was shown, and nothing of it stays."""
        self.stopwatch.attempts = number
        self.stopwatch.headers = None
        self._text, self._reasoning, self._refusal = _Text(), _Text(), _Text()
        self._usage, self._model, self._request_id = None, None, None

    def headers(self, at: float, request_id: str | None) -> None:
        """The response's headers arrived."""
        self.stopwatch.headers = at
        self._request_id = request_id

    def feed(self, chunk: object, at: float) -> list[Event]:
        """What `chunk`, which arrived at `at`, adds to the answer."""
        if chunk is DONE:
            self._done = True
            return self._flush(at)
        if not isinstance(chunk, Mapping):
            return []
        events: list[Event] = []
        if self._model is None:
            self._model = _name(chunk.get("model")) or self.request.model
            events.append(Started(at, self._model, self._request_id))
        choice = _first_choice(chunk.get("choices"))
        if choice is not None:
            events += self._choice(choice, at)
        usage = _usage(chunk.get("usage"))
        if usage is not None and usage != self._usage:
            self._usage = usage
            events.append(UsageReported(usage))
        return events

    def _choice(self, choice: Mapping[str, Any], at: float) -> Iterator[Event]:
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            delta = choice.get("message")
        if not isinstance(delta, Mapping):
            delta = {"content": choice.get("text")}

        if reasoning := self._reasoning.feed(_text_of(delta.get("reasoning_content")) or _text_of(delta.get("reasoning"))):
            self.stopwatch.reasoning(at)
            yield ReasoningDelta(at, reasoning)
        if text := self._text.feed(_content(delta.get("content"))):
            self.stopwatch.text(at)
            yield TextDelta(at, text)
        if refusal := self._refusal.feed(_text_of(delta.get("refusal"))):
            self.stopwatch.text(at)
            yield RefusalDelta(at, refusal)
        yield from self._calls(delta, at)

        finish_reason = _name(choice.get("finish_reason"))
        if finish_reason:
            self._finish_reason = finish_reason
            yield from self._flush(at)

    def _calls(self, delta: Mapping[str, Any], at: float) -> Iterator[Event]:
        calls = delta.get("tool_calls")
        if not isinstance(calls, list) or not calls:
            # The API's form before tools: one call, without an index.
            calls = [{"function": delta.get("function_call")}] if delta.get("function_call") else []
        for position, call in enumerate(calls):
            function = call.get("function") if isinstance(call, Mapping) else None
            if not isinstance(function, Mapping):
                continue
            index = call.get("index")
            index = index if isinstance(index, int) else position
            if index not in self._tool_calls:
                self._tool_calls[index] = _Text(), _Text()
            name, arguments = self._tool_calls[index]
            self.stopwatch.tool_call(at)
            yield ToolCallDelta(
                at, index, name.feed(_text_of(function.get("name"))), arguments.feed(_text_of(function.get("arguments")))
            )

    def _flush(self, at: float) -> list[Event]:
        """What was held back in the hope of its other half."""
        flushed: list[Event] = []
        for text, event in (
            (self._reasoning, ReasoningDelta),
            (self._text, TextDelta),
            (self._refusal, RefusalDelta),
        ):
            if rest := text.finish():
                flushed.append(event(at, rest))
        for index, (name, arguments) in self._tool_calls.items():
            rests = name.finish(), arguments.finish()
            if any(rests):
                flushed.append(ToolCallDelta(at, index, *rests))
        return flushed

    def finish(self, at: float, *, error: ChatError | None = None, interrupted: bool = False) -> tuple[list[Event], Turn]:
        """The last events and the turn, once the stream has ended at `at`, for whatever reason.

        A failure of the stream after the server had said that the answer is whole takes nothing from it, and is left out.
        """
        events = self._flush(at)
        if self.whole:
            interrupted = False
            error = error if isinstance(error, OutputClosed) else None
        turn = Turn(
            request=self.request,
            text=self._text.whole,
            reasoning=self._reasoning.whole,
            outcome=self._outcome(error, interrupted=interrupted),
            finish_reason=self._finish_reason,
            usage=self._usage,
            timing=self.stopwatch.timing(at, self._usage.completion_tokens if self._usage else None),
            error=error,
            refusal=self._refusal.whole,
            tool_calls=tuple(
                ToolCall(name.whole, arguments.whole) for _, (name, arguments) in sorted(self._tool_calls.items())
            ),
            model=self._model,
            request_id=self._request_id,
        )
        return events, turn

    def _outcome(self, error: ChatError | None, *, interrupted: bool) -> Outcome:
        if not self.whole:
            if interrupted or isinstance(error, OutputClosed):
                return Outcome.INTERRUPTED
            return Outcome.TRUNCATED if error is None or isinstance(error, ConnectionCut) else Outcome.ERROR
        outcome = OUTCOME_OF_FINISH_REASON.get(self._finish_reason or "", Outcome.COMPLETE)
        if outcome is not Outcome.COMPLETE:
            return outcome
        if self._refusal.pieces:
            return Outcome.REFUSED
        if self._text.pieces:
            return Outcome.COMPLETE
        return Outcome.TOOL_CALLS if self._tool_calls else Outcome.EMPTY


class _Text:
    """One text that comes in pieces, each of them whole characters."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._joiner = SurrogateJoiner()

    def feed(self, text: str) -> str:
        if text and (text := self._joiner.feed(text)):
            self.pieces.append(text)
        return text

    def finish(self) -> str:
        if rest := self._joiner.finish():
            self.pieces.append(rest)
        return rest

    @property
    def whole(self) -> str:
        return "".join(self.pieces)


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def _name(value: object) -> str:
    """Text that comes in one piece, so that half a character in it stays one."""
    joiner = SurrogateJoiner()
    return joiner.feed(_text_of(value)) + joiner.finish()


def _content(value: object) -> str:
    """Text, or the text of a list of parts (`[{"type": "text", "text": "…"}]`, as Mistral sends it)."""
    if isinstance(value, list):
        return "".join(_text_of(part.get("text")) if isinstance(part, Mapping) else _text_of(part) for part in value)
    return _text_of(value)


def _first_choice(choices: object) -> Mapping[str, Any] | None:
    """The choice that is shown: number 0, or the one without a number (text, say, is none)."""
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, Mapping):
            index = choice.get("index")
            if index == 0 or not isinstance(index, (int, float)):
                return choice
    return None


def _usage(value: object) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    prompt_details = value.get("prompt_tokens_details")
    completion_details = value.get("completion_tokens_details")
    usage = Usage(
        prompt_tokens=_count(value, "prompt_tokens"),
        completion_tokens=_count(value, "completion_tokens"),
        cached_tokens=_count(prompt_details, "cached_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens"),
    )
    return None if usage == Usage() else usage


def _count(value: object, field: str) -> int | None:
    number = value.get(field) if isinstance(value, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
