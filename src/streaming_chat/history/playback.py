"""A turn that was kept → what happened in it, as it happened: so that it can be shown again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Event, Finished, Outcome, ReasoningDelta, RefusalDelta, Sent, TextDelta, ToolCallDelta
from streaming_chat.core.record import StoredTurn
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn

_DELTAS: dict[str, Callable[[float, str], Event]] = {"text": TextDelta, "reasoning": ReasoningDelta, "refusal": RefusalDelta}


def events_of(turn: StoredTurn) -> Iterator[Event]:
    """The events of `turn`; `at` counts from the request, in seconds. Texts without arrivals come with the last one."""
    yield Sent(0.0)
    texts = {"text": turn.text, "reasoning": turn.reasoning, "refusal": turn.refusal}
    places = dict.fromkeys(texts, 0)
    calls = _characters_of_calls(turn)
    at = 0.0
    for arrival in turn.arrivals:
        at = arrival.at
        if arrival.kind == "tool_call":
            yield from _calls(at, islice(calls, arrival.length))
            continue
        place = places[arrival.kind]
        places[arrival.kind] += arrival.length
        if piece := texts[arrival.kind][place : place + arrival.length]:
            yield _DELTAS[arrival.kind](at, piece)
    for kind, text in texts.items():
        if rest := text[places[kind] :]:
            yield _DELTAS[kind](at, rest)
    yield from _calls(at, calls)
    yield Finished(at, turn.outcome or Outcome.TRUNCATED, turn.finish_reason)


def _characters_of_calls(turn: StoredTurn) -> Iterator[tuple[int, bool, str]]:
    """The index of the call, whether it is of its name, and the character, one by one."""
    for index, call in enumerate(turn.tool_calls):
        for is_name, text in ((True, call.name), (False, call.arguments)):
            for char in text:
                yield index, is_name, char


def _calls(at: float, characters: Iterable[tuple[int, bool, str]]) -> Iterator[Event]:
    for index, of_call in groupby(characters, key=itemgetter(0)):
        parts = {True: "", False: ""}
        for is_name, of_part in groupby(of_call, key=itemgetter(1)):
            parts[is_name] = "".join(char for _, _, char in of_part)
        yield ToolCallDelta(at, index, parts[True], parts[False])


def as_turn(turn: StoredTurn) -> Turn:
    """The turn as it was handed to the renderers. One that was never ended is taken for cut."""
    last = turn.arrivals[-1].at if turn.arrivals else 0.0
    error = None
    if turn.error is not None:
        error = ChatError(turn.error.message, turn.error.hint, status_code=turn.error.status_code, code=turn.error.code)
    settings = dict(turn.settings)
    return Turn(
        request=ChatRequest(turn.model, turn.messages, extra=settings.pop("extra", {}), **settings),
        text=turn.text,
        reasoning=turn.reasoning,
        outcome=turn.outcome or Outcome.TRUNCATED,
        finish_reason=turn.finish_reason,
        usage=turn.usage,
        timing=turn.timing or Timing(total=last),
        error=error,
        refusal=turn.refusal,
        tool_calls=turn.tool_calls,
        model=turn.served_model,
        request_id=turn.request_id,
    )
