"""Chunk dicts → events → one `Turn`.

Strategy: what a server sends is read by its shape, never trusted to have one. A field of the wrong type is as good as
absent; nothing in a chunk can raise. The fields are those of the API's `chat.completion.chunk`, and the names under which
other servers send the same (`message` for `delta`, `reasoning` for `reasoning_content`, content as a list of parts).

Rule: an answer is whole when a non-empty `finish_reason` or `[DONE]` has arrived. Everything else is an end, not a finish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, ConnectionCut, OutputClosed, ServerError, TooMuchSent
from streaming_chat.core.events import (
    Event,
    Logprobs,
    NotStreamed,
    OtherChoice,
    Outcome,
    ReasoningDelta,
    ReasoningUnmarked,
    RefusalDelta,
    Sent,
    Skipped,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from streaming_chat.core.limits import LONGEST_FIELD, MOST_CALLS, MOST_CHARACTERS, MOST_PIECES, MOST_WIDE_CHARACTERS
from streaming_chat.core.timing import Stopwatch
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.text.lines import cut
from streaming_chat.text.secret import SecretMask
from streaming_chat.text.surrogates import SurrogateJoiner
from streaming_chat.wire.chunk import (
    calls_of,
    choices_of,
    content_of,
    delta_of,
    finish_reason_of,
    index_of,
    name_of,
    plain_text_of,
    reasoning_of,
    refusal_of,
    text_of,
    usage_of,
    whole_number,
)
from streaming_chat.wire.thinking import Part, ThinkSplitter

#: What a provider yields for `data: [DONE]`, which is no JSON.
DONE: Final[Mapping[str, Any]] = {"object": "[DONE]"}

#: How an answer with this `finish_reason` ended. One that is not here is shown as it is and counts as complete.
OUTCOME_OF_FINISH_REASON: Final[Mapping[str, Outcome]] = {
    "length": Outcome.LENGTH,
    "max_tokens": Outcome.LENGTH,
    "max_output_tokens": Outcome.LENGTH,
    "model_length": Outcome.LENGTH,
    "model_context_window_exceeded": Outcome.LENGTH,
    "content_filter": Outcome.FILTERED,
    "sensitive": Outcome.FILTERED,
    "safety": Outcome.FILTERED,
    "recitation": Outcome.FILTERED,
    "prohibited_content": Outcome.FILTERED,
    "guardrail_intervened": Outcome.FILTERED,
    "refusal": Outcome.REFUSED,
    "tool_calls": Outcome.TOOL_CALLS,
    "function_call": Outcome.TOOL_CALLS,
}


_PIECES_IN_A_BLOCK: Final = 256

#: Values of `finish_reason` under which servers report that they failed (OpenRouter, DeepSeek, Zhipu, …).
FAILURES: Final = frozenset(
    {
        *("error", "server_error", "network_error", "insufficient_system_resource"),
        *("abort", "aborted", "cancelled", "failed", "timeout"),
    }
)


class Reply:
    """One answer in the making. `start` is when it was asked for, on the turn's clock; `secret` is kept out of its texts."""

    def __init__(self, request: ChatRequest, start: float, *, secret: str = "") -> None:
        self.request = request
        self.stopwatch = Stopwatch(start)
        self._secret = secret
        self._text = _Text(secret)
        self._thinking = ThinkSplitter()
        self._reasoning = _Text(secret)
        self._refusal = _Text(secret)
        self._skipped = _Clean(secret)
        self._tool_calls: list[_Call] = []
        #: Calls that have had a piece since the last flush.
        self._unflushed: set[int] = set()
        self._characters = self._pieces = 0
        self._most_characters = MOST_CHARACTERS
        #: Whether there was more than is kept: nothing of it is taken in any more.
        self.is_full = False
        #: Of what.
        self._too_much = ""
        self._call_of_index: dict[int, int] = {}
        self._last_index = 0
        self._several = isinstance(request.extra.get("n"), int) and request.extra["n"] > 1
        self._usage: Usage | None = None
        self._finish_reason: str | None = None
        self._done = False
        #: Whether text has come behind the last finish_reason: then it was not the end yet.
        self._goes_on = False
        self._model: str | None = None
        self._request_id: str | None = None

    @property
    def has_output(self) -> bool:
        """Whether anything was shown that a second attempt would repeat."""
        return bool(self._text or self._reasoning or self._refusal or self._tool_calls)

    @property
    def whole(self) -> bool:
        """Whether the server said that this is all."""
        return self._done or self._finish_reason is not None

    @property
    def too_much(self) -> ChatError:
        """The error for an answer that `is_full`: longer than any that is kept."""
        message = f"the server sent an answer of more than {self._too_much}"
        if self.has_output:
            return ConnectionCut(f"{message}: it ends here", kind=Kind.ANSWER_TOO_LONG, began=True)
        return TooMuchSent(message, kind=Kind.ANSWER_TOO_LONG, began=False)

    def begin(self, at: float) -> Sent:
        """The first attempt begins: all figures count from here."""
        self.stopwatch.start = at
        return Sent(at)

    def attempt(self, number: int) -> None:
        """Attempt `number` begins (the first one is 1). Nothing of the one before was shown, and nothing of it stays."""
        self.stopwatch.attempts = number
        self.stopwatch.headers = None
        self._text, self._reasoning, self._refusal = (_Text(self._secret) for _ in range(3))
        self._thinking = ThinkSplitter()
        self._usage, self._model, self._request_id = None, None, None

    def headers(self, at: float, request_id: str | None) -> None:
        """The response's headers arrived."""
        self.stopwatch.headers = at
        self._request_id = request_id

    def feed(self, chunk: object, at: float) -> list[Event]:
        """What `chunk`, which arrived at `at`, adds to the answer."""
        if self._model is not None and (text := plain_text_of(chunk)) is not None:
            return self._content(text, at)
        if chunk is DONE:
            self._done = True
            return self._flush(at)
        if isinstance(chunk, str):
            return [Skipped(at, self._skipped.feed(name_of(chunk)))]
        if not isinstance(chunk, Mapping):
            return []
        events: list[Event] = []
        if chunk.get("object") == "chat.completion" and not self.has_output:
            events.append(NotStreamed(at))
        choice, others = choices_of(chunk, several=self._several)
        if self._model is None and (chunk.get("model") or chunk.get("choices") != []):
            # Azure's first chunk has neither model nor choices: it tells what its filter thinks of the prompt.
            self._model = cut(name_of(chunk.get("model"))) or self.request.model
            events.append(Started(at, self._model, self._request_id))
        if choice is not None:
            events += self._choice(choice, at)
        for other in others:
            reason = finish_reason_of(other) or None
            events.append(OtherChoice(at, index_of(other), delta_of(other), reason))
        usage = usage_of(chunk)
        if usage is not None and usage != self._usage:
            self._usage = usage
            events.append(UsageReported(usage))
        return events

    def _choice(self, choice: Mapping[str, Any], at: float) -> Iterator[Event]:
        delta = delta_of(choice)
        content = content_of(delta)
        # By its length first, which does not look at all of the answer with every chunk.
        if "message" in choice and len(content) == self._text.length and content == self._text.whole:
            content = ""  # The whole answer, once more at its end.
        reasoning = reasoning_of(delta)
        if reasoning and self._has_room_for(reasoning):
            yield from self._reasoning_delta(at, reasoning)
        yield from self._content(content, at)
        refusal = refusal_of(delta)
        if refusal and self._has_room_for(refusal) and (refusal := self._refusal.feed(refusal)):
            self.stopwatch.text(at)
            yield RefusalDelta(at, refusal)
        yield from self._calls(delta, at)
        if isinstance(choice.get("logprobs"), Mapping):
            yield Logprobs(at, choice["logprobs"])

        finish_reason = finish_reason_of(choice)
        if finish_reason:
            # A reason that takes something from the answer is not made good by a "stop" behind it.
            if _outcome_of(self._finish_reason) is Outcome.COMPLETE:
                self._finish_reason = finish_reason
            yield from self._flush(at)
            self._goes_on = False

    def _has_room_for(self, text: str) -> bool:
        """Whether a piece of an answer can be kept: it is counted then. Once one cannot, none can."""
        self._characters += len(text)
        self._pieces += 1
        if not text.isascii():
            self._most_characters = MOST_WIDE_CHARACTERS
        if self._characters > self._most_characters:
            self._give_up(f"{self._most_characters:,} characters")
        elif self._pieces > MOST_PIECES:
            self._give_up(f"{MOST_PIECES:,} pieces")
        return not self.is_full

    def _give_up(self, too_much: str) -> None:
        if not self.is_full:
            self.is_full, self._too_much = True, too_much

    def _content(self, content: str, at: float) -> list[Event]:
        if not content or not self._has_room_for(content):
            return []
        unmarked = self._thinking.is_unopened
        events: list[Event] = []
        for part, piece in self._thinking.feed(content):
            events += self._reasoning_delta(at, piece) if part is Part.REASONING else self._text_delta(at, piece)
        if self._thinking.is_unopened and not unmarked:
            events.append(ReasoningUnmarked(at))
        return events

    def _reasoning_delta(self, at: float, text: str) -> list[Event]:
        whole = self._reasoning.feed(text)
        if not whole:
            return []
        self.stopwatch.reasoning(at)
        return [ReasoningDelta(at, whole)]

    def _text_delta(self, at: float, text: str) -> list[Event]:
        whole = self._text.feed(text)
        if not whole:
            return []
        self._goes_on = True
        self.stopwatch.text(at)
        return [TextDelta(at, whole)]

    def _calls(self, delta: Mapping[str, Any], at: float) -> Iterator[Event]:
        for position, fields in enumerate(calls_of(delta)):
            if not self._has_room_for(fields["arguments"]):
                return
            number = self._call_number(fields, position)
            if number is None:
                self._give_up(f"{MOST_CALLS:,} tool calls")
                return
            call = self._tool_calls[number]
            self._unflushed.add(number)
            # Some servers say the name again with every piece of the arguments.
            is_repeated = bool(call.arguments) and fields["name"] == call.name.whole
            is_complete = is_repeated or call.name.length >= LONGEST_FIELD
            name = "" if is_complete else call.name.feed(fields["name"])
            arguments = call.arguments.feed(fields["arguments"])
            self.stopwatch.tool_call(at)
            yield ToolCallDelta(at, number, name, arguments)

    def _call_number(self, fields: Mapping[str, Any], position: int) -> int | None:
        """Which call a piece belongs to: that of its index, unless a new id begins a new one. None for one too many."""
        index, name = whole_number(fields.get("index")), cut(text_of(fields.get("id")))
        if index is not None:
            key = index
        elif name or not self._tool_calls:
            key = position
        else:
            # Neither: it goes on with the call before it, and those behind it in one list are further ones.
            key = self._last_index + (1 if position else 0)
        number = self._call_of_index.get(key)
        if number is None or self._is_another(self._tool_calls[number], fields, name):
            number = len(self._tool_calls)
            if number == MOST_CALLS:
                return None
            self._tool_calls.append(_Call(self._secret))
            self._call_of_index[key] = number
        self._tool_calls[number].id = name or self._tool_calls[number].id
        self._last_index = key
        return number

    def _is_another(self, call: _Call, fields: Mapping[str, Any], name: str) -> bool:
        """Whether a piece begins a new call at the index of `call`: by another id or, without one, by another name."""
        if name:
            return call.id not in ("", name)
        return bool(fields["name"] and call.arguments and fields["name"] != call.name.whole)

    def _flush(self, at: float) -> list[Event]:
        """What was held back in the hope of its other half."""
        flushed: list[Event] = []
        for part, piece in self._thinking.finish():
            flushed += self._reasoning_delta(at, piece) if part is Part.REASONING else self._text_delta(at, piece)
        for text, event in (
            (self._reasoning, ReasoningDelta),
            (self._text, TextDelta),
            (self._refusal, RefusalDelta),
        ):
            if rest := text.finish():
                flushed.append(event(at, rest))
        for number in sorted(self._unflushed):
            call = self._tool_calls[number]
            rests = call.name.finish(), call.arguments.finish()
            if any(rests):
                flushed.append(ToolCallDelta(at, number, *rests))
        self._unflushed.clear()
        return flushed

    def finish(
        self, at: float, *, error: ChatError | None = None, interrupted: bool = False, is_cut: bool = False
    ) -> tuple[list[Event], Turn]:
        """The last events and the turn, once the stream has ended at `at`, for whatever reason.

        A failure of the stream after the server had said that the answer is whole takes nothing from it, and is left out.
        An answer that `is_cut` has arrived, but was not shown to its end.
        """
        events = self._flush(at)
        broken_off = self._goes_on and not self._done and (interrupted or error is not None)
        whole = self.whole and not broken_off and not is_cut and not self.is_full
        if whole:
            interrupted = False
            error = error if isinstance(error, OutputClosed) else self._failure(error)
        text, reasoning = self._text.whole, self._reasoning.whole
        if self._thinking.unopened is not None:
            answer = name_of(self._thinking.unopened)
            thought = text[: len(text) - len(answer)].rpartition("</think>")[0].strip()
            text, reasoning = answer, reasoning + thought
        turn = Turn(
            request=self.request,
            text=text,
            reasoning=reasoning,
            outcome=self._outcome(error, whole=whole, interrupted=interrupted),
            finish_reason=self._finish_reason,
            usage=self._usage,
            timing=self.stopwatch.timing(at, self._usage.completion_tokens if self._usage else None),
            error=error,
            refusal=self._refusal.whole,
            tool_calls=tuple(ToolCall(call.name.whole, call.arguments.whole) for call in self._tool_calls),
            model=self._model,
            request_id=self._request_id,
        )
        return events, turn

    def _failure(self, error: ChatError | None) -> ChatError | None:
        """The failure that the server names instead of a reason to stop, with `error` for its details."""
        if _outcome_of(self._finish_reason) is not Outcome.ERROR:
            return None
        return error or ServerError(
            f"the server failed in the middle of the answer (finish_reason: {self._finish_reason})",
            kind=Kind.ANSWER_CUT,
            request_id=self._request_id,
        )

    def _outcome(self, error: ChatError | None, *, whole: bool, interrupted: bool) -> Outcome:
        if not whole:
            if interrupted or isinstance(error, OutputClosed):
                return Outcome.INTERRUPTED
            return Outcome.TRUNCATED if error is None or isinstance(error, ConnectionCut) else Outcome.ERROR
        outcome = _outcome_of(self._finish_reason)
        if outcome is not Outcome.COMPLETE:
            return outcome
        if self._refusal:
            return Outcome.REFUSED
        answer = self._thinking.unopened if self._thinking.unopened is not None else self._text.whole
        if answer:
            return Outcome.COMPLETE
        return Outcome.TOOL_CALLS if self._tool_calls else Outcome.EMPTY


class _Clean:
    """One text that comes in pieces, each of them whole characters and without the secret."""

    def __init__(self, secret: str) -> None:
        self._joiner = SurrogateJoiner()
        self._mask = SecretMask(secret)

    def feed(self, text: str) -> str:
        """What can be told of the text so far and was not yet."""
        return self._mask.feed(self._joiner.feed(text)) if text else ""

    def finish(self) -> str:
        """What was held back."""
        return self._mask.feed(self._joiner.finish()) + self._mask.finish()


class _Text(_Clean):
    """One that is kept. False while there is none."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret)
        #: Characters so far.
        self.length = 0
        self._pieces: list[str] = []
        #: Pieces put together, some hundred at a time: each by itself takes ten times as much memory as its text.
        self._blocks: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.length)

    def feed(self, text: str) -> str:
        """Take in a piece; what can be told of the text so far and was not yet."""
        if text and (text := self._mask.feed(self._joiner.feed(text))):
            self._keep(text)
        return text

    def finish(self) -> str:
        """What was held back; it is a part of the text now."""
        if rest := super().finish():
            self._keep(rest)
        return rest

    def _keep(self, text: str) -> None:
        self.length += len(text)
        self._pieces.append(text)
        if len(self._pieces) >= _PIECES_IN_A_BLOCK:
            self._blocks.append("".join(self._pieces))
            self._pieces.clear()

    @property
    def whole(self) -> str:
        """All of it."""
        # Kept put together: who has asked for it keeps it too, and a long text is not there twice.
        self._blocks = ["".join(self._blocks + self._pieces)]
        self._pieces = []
        return self._blocks[0]


class _Call:
    """One tool call in the making."""

    def __init__(self, secret: str) -> None:
        self.id = ""
        self.name = _Text(secret)
        self.arguments = _Text(secret)


def _outcome_of(finish_reason: str | None) -> Outcome:
    """What a reason means by the tables, in which `MAX_TOKENS` and `content-filter` are spelling variants of the same."""
    plain = (finish_reason or "").lower().replace("-", "_")
    return Outcome.ERROR if plain in FAILURES else OUTCOME_OF_FINISH_REASON.get(plain, Outcome.COMPLETE)
