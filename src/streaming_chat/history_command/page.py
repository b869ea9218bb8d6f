"""One turn, whole, as a page to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from streaming_chat.core.prices import NO_PRICES, Prices
from streaming_chat.history import StoredTurn
from streaming_chat.history_command.lines import local_time, one_line
from streaming_chat.renderers.status import latency_line

_SPEAKERS = {"system": "System", "user": "You", "assistant": "Assistant"}


def page(turn: StoredTurn, clean: Callable[[str], str], prices: Prices = NO_PRICES) -> Iterator[str]:
    """Header, messages, answer, end; each text out of the history has gone through `clean`."""
    yield one_line(clean(f"turn {turn.number} · {local_time(turn)} · {turn.model} · {turn.endpoint}"))
    if facts := " · ".join(_facts(turn)):
        yield one_line(clean(facts))
    for speaker, text in _speeches(turn):
        yield ""
        yield clean(f"{speaker}: {text}")
    yield ""
    if turn.timing is not None:
        cost = prices.shown_cost(turn.model, turn.served_model, turn.usage)
        yield one_line(clean(latency_line(turn.timing, cost)))
    yield one_line(clean(_end(turn)))
    if turn.error is not None:
        yield one_line(clean(f"error: {turn.error.message}"))
        yield one_line(clean(f"hint: {turn.error.hint}"))


def _facts(turn: StoredTurn) -> Iterator[str]:
    for name, value in turn.settings.items():
        yield f"{name} {json.dumps(value, ensure_ascii=False)}"
    if turn.served_model not in (None, turn.model):
        yield f"served by {turn.served_model}"
    if turn.request_id is not None:
        yield f"request id {turn.request_id}"
    if turn.usage is not None:
        for name, count in asdict(turn.usage).items():
            if count is not None:
                yield f"{count} {name.replace('_', ' ')}"


def _speeches(turn: StoredTurn) -> Iterator[tuple[str, str]]:
    for message in turn.messages:
        yield _SPEAKERS.get(message.role, message.role), message.content
    if turn.reasoning:
        yield "Reasoning", turn.reasoning
    if turn.refusal:
        yield "Refusal", turn.refusal
    for call in turn.tool_calls:
        yield "Tool call", f"{call.name}({call.arguments})"
    if turn.text:
        yield "Assistant", turn.text


def _end(turn: StoredTurn) -> str:
    if turn.outcome is None:
        return "outcome: unfinished (it is still running, or its process was killed)"
    reason = f" (finish_reason: {turn.finish_reason})" if turn.finish_reason is not None else ""
    return f"outcome: {turn.status}{reason}"
