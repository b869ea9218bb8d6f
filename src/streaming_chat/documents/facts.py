"""What there is to say of a turn beside its texts, and who says what in it. Nothing here is sanitised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from streaming_chat.core.conversation import Message
from streaming_chat.history import StoredTurn, TurnSummary
from streaming_chat.text.figures import latency_line
from streaming_chat.text.lines import one_line

SPEAKERS = {"system": "System", "user": "You", "assistant": "Assistant"}


def heading(turn: StoredTurn) -> str:
    """Which turn it is, when it was, and who answered."""
    return f"turn {turn.number} · {local_time(turn)} · {one_line(turn.model)} · {turn.endpoint}"


def local_time(turn: TurnSummary) -> str:
    """When it was sent, where the user is."""
    return turn.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def facts(turn: StoredTurn) -> list[str]:
    """What was set, and what the server told of its answer."""
    told = [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in turn.settings.items()]
    if turn.served_model is not None and turn.served_model != turn.model:
        told.append(f"served by {one_line(turn.served_model)}")
    if turn.request_id is not None:
        told.append(f"request id {one_line(turn.request_id)}")
    if turn.usage is not None:
        counts = asdict(turn.usage).items()
        told += [f"{count} {name.replace('_', ' ')}" for name, count in counts if count is not None]
    return told


def end(turn: StoredTurn, cost: str | None = None) -> Iterator[str]:
    """How long it took, what it cost, if that is known, and how it ended, in lines."""
    if turn.timing is not None:
        yield latency_line(turn.timing, cost)
    if turn.outcome is None:
        yield "outcome: unfinished (it is still running, or its process was killed)"
    else:
        reason = f" (finish_reason: {one_line(turn.finish_reason)})" if turn.finish_reason is not None else ""
        yield f"outcome: {turn.status}{reason}"
    if turn.error is not None:
        yield f"error: {' '.join(turn.error.message.split())}"
        yield f"hint: {turn.error.hint}"


def speaker(message: Message) -> str:
    """Who says it."""
    return SPEAKERS.get(message.role, message.role)


def answers(turn: StoredTurn) -> Iterator[tuple[str, str]]:
    """What came of the request, but for the answer itself: who or what says it, and the text."""
    if turn.reasoning:
        yield "Reasoning", turn.reasoning
    if turn.refusal:
        yield "Refusal", turn.refusal
    for call in turn.tool_calls:
        yield "Tool call", f"{one_line(call.name)}({call.arguments})"


def with_new_messages(turns: Iterable[StoredTurn]) -> Iterator[tuple[StoredTurn, list[Message]]]:
    """Each turn with its prompt, and those messages before it that none of the turns before has had.

    In a stateful chat every request repeats what was said before.
    """
    known: set[tuple[str, Message]] = set()
    for turn in turns:
        *earlier, last = turn.messages or (Message("user", turn.prompt),)
        yield turn, [*(message for message in earlier if (turn.session, message) not in known), last]
        known |= {(turn.session, message) for message in (*turn.messages, Message("assistant", turn.text))}


def title(turns: Iterable[StoredTurn]) -> str:
    """A name for a transcript: the beginning of its first prompt, on one line."""
    words = " ".join(next(iter(turns)).prompt[:800].split())
    return words if len(words) <= 80 else words[:79].rstrip() + "…"
