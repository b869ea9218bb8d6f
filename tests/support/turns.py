"""Turns as the history has them, made up: whole ones, and any that hypothesis can think of."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st

from streaming_chat.core.arrivals import KINDS, Arrival
from streaming_chat.core.conversation import Message
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import ToolCall
from streaming_chat.history import StoredError, StoredTurn


def stored(text: str, prompt: str = "Why?", *, number: int = 1, piece: int = 4, **fields: Any) -> StoredTurn:
    """A whole answer, a piece of so many characters every tenth of a second."""
    pieces = range(0, len(text), piece)
    values: dict[str, Any] = {
        "number": number,
        "session": "5e55",
        "started_at": datetime(2025, 12, 10, 17, 34, 32, 123000, tzinfo=timezone.utc),
        "endpoint": "https://api.example.com/v1",
        "model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini-2024-07-18",
        "request_id": "req_1",
        "outcome": Outcome.COMPLETE,
        "finish_reason": "stop",
        "usage": Usage(prompt_tokens=12, completion_tokens=34),
        "timing": Timing(total=0.5 + len(pieces) / 10, headers=0.3, first_token=0.4),
        "prompt": prompt,
        "settings": {},
        "messages": (Message("user", prompt),),
        "text": text,
        "reasoning": "",
        "refusal": "",
        "tool_calls": (),
        "error": None,
        "arrivals": tuple(
            Arrival(round(0.4 + place / piece / 10, 6), "text", min(piece, len(text) - place)) for place in pieces
        ),
        **fields,
    }
    return StoredTurn(**values)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_counts = st.none() | st.integers(0, 2**63 - 1)
_seconds = st.floats(0, 1e6)
_maybe_seconds = st.none() | _seconds
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)
_settings = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 2**60),
        "extra": st.dictionaries(_texts, _json, min_size=1, max_size=3),
    },
)


@st.composite
def turns(draw: st.DrawFn) -> StoredTurn:
    """Any turn that the history can hold."""
    messages = [*draw(st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), _texts), max_size=3))]
    messages.append(Message("user", draw(_texts)))
    usage = draw(st.builds(Usage, _counts, _counts, _counts, _counts))
    ended = draw(st.booleans())
    timing = st.builds(
        Timing,
        total=_seconds,
        headers=_maybe_seconds,
        first_token=_maybe_seconds,
        first_reasoning=_maybe_seconds,
        gaps=st.none() | st.builds(Gaps, _seconds, _seconds, _seconds),
        tokens_per_second=_maybe_seconds,
        attempts=st.integers(1, 9),
    )
    at = draw(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
    arrivals = st.builds(
        lambda microseconds, kind, length: Arrival(microseconds / 1e6, kind, length),
        st.integers(0, 2**40 - 1),
        st.sampled_from(KINDS),
        st.integers(0, 2**20 - 1),
    )
    return StoredTurn(
        number=draw(st.integers(1, 99)),
        session=draw(_texts),
        conversation=draw(_texts),
        parent=None,
        started_at=at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=timezone.utc),
        endpoint=draw(st.text("abc/:.", max_size=20).map(lambda name: f"http://{name.strip('/')}")),
        model=draw(_texts),
        served_model=draw(st.none() | _texts),
        request_id=draw(st.none() | _texts),
        outcome=draw(st.sampled_from(Outcome)) if ended else None,
        finish_reason=draw(st.none() | _texts),
        usage=None if usage == Usage() else usage,
        timing=draw(timing) if ended else None,
        prompt=messages[-1].content,
        settings=draw(_settings),
        messages=tuple(messages),
        text=draw(_texts),
        reasoning=draw(_texts),
        refusal=draw(_texts),
        tool_calls=tuple(draw(st.lists(st.builds(ToolCall, _texts, _texts), max_size=2))),
        error=draw(
            st.none() | st.builds(StoredError, _texts, _texts, _texts, st.none() | st.integers(100, 599), st.none() | _texts)
        ),
        arrivals=tuple(draw(st.lists(arrivals, max_size=6))),
    )
