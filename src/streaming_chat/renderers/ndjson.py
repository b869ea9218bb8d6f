"""One JSON object a line for each event (`--json`), flushed. Text is raw: whoever reads it decodes JSON first.

A terminal does not decode it. There, what it would obey, and what nobody would see, is escaped: it is the same JSON.

Times (`at`, and all of `timing`) are seconds since the start of the request.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import (
    Adapted,
    Event,
    Logprobs,
    NotStreamed,
    OtherChoice,
    ReasoningDelta,
    ReasoningUnmarked,
    RefusalDelta,
    Retrying,
    Sent,
    Skipped,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from streaming_chat.core.prices import NO_PRICES, Prices
from streaming_chat.core.turn import StoredError, Turn
from streaming_chat.engine.protocols import Display
from streaming_chat.terminal.output import Output
from streaming_chat.text.sanitize import sanitize_json
from streaming_chat.text.surrogates import SurrogateJoiner

#: The name of each event that is a line; `end` is the turn.
NAMES: dict[type[object], str] = {
    Started: "start",
    TextDelta: "delta",
    ReasoningDelta: "reasoning",
    RefusalDelta: "refusal",
    ToolCallDelta: "tool_call",
    OtherChoice: "other_choice",
    Logprobs: "logprobs",
    UsageReported: "usage",
    Retrying: "retry",
    Adapted: "adapted",
    NotStreamed: "not_streamed",
    Skipped: "skipped",
    ReasoningUnmarked: "reasoning_unmarked",
}


class NDJSONRenderer(Display):
    """Writes the lines of one turn."""

    joins_text = False

    def __init__(self, output: Output, prices: Prices = NO_PRICES) -> None:
        self._output = output
        self._prices = prices
        self._start = 0.0

    @property
    def is_cut(self) -> bool:
        """Whether something was not written in the end."""
        return self._output.is_cut

    def patient(self) -> AbstractContextManager[None]:
        """Do not wait for a slow reader inside."""
        return self._output.patient()

    def take_up(self, source: int) -> None:
        """Write what waits, for as long as nothing is to be read from the file number `source`."""
        self._output.take_up(source)

    def handle(self, event: Event) -> None:
        """One line, unless the event is the end, which has its own."""
        if isinstance(event, Sent):
            self._start = event.at
        name = NAMES.get(type(event))
        if name is None:
            return
        fields = dict(vars(event))
        if "at" in fields:
            fields["at"] = round(fields["at"] - self._start, 6)
        self._write({"event": name, **fields})

    def end(self, turn: Turn) -> None:
        """The last line: the whole turn."""
        self._write(end_line(turn, self._prices.cost_of_turn(turn.request.model, turn.model, turn.usage)))

    def _write(self, line: dict[str, Any]) -> None:
        try:
            # Not asdict() on the event: what a server sent raw may be nested more deeply than Python's own calls.
            text = json.dumps(line, ensure_ascii=False, allow_nan=False, default=asdict)
        except ValueError:
            # NaN and Infinity, which Python reads in what a server sent and others do not.
            finite = json.loads(json.dumps(line, default=asdict), parse_constant=lambda _: None)
            text = json.dumps(finite, ensure_ascii=False)
        # What is no character, in a server's error message or its request id, is U+FFFD here as everywhere.
        text = SurrogateJoiner().feed(text + "\n")
        self._output.write(sanitize_json(text) if self._output.is_terminal else text)


def end_line(turn: Turn, cost: float | None) -> dict[str, Any]:
    """Return the object of the last line."""
    return {
        "event": "end",
        "outcome": turn.outcome.value,
        "finish_reason": turn.finish_reason,
        "text": turn.text,
        "reasoning": turn.reasoning,
        "refusal": turn.refusal,
        "tool_calls": [asdict(call) for call in turn.tool_calls],
        "model": turn.model,
        "request_id": turn.request_id,
        "usage": asdict(turn.usage) if turn.usage else None,
        "cost": cost,
        "timing": {name: _rounded(value) for name, value in asdict(turn.timing).items()},
        "error": error_fields(turn.error),
    }


def error_fields(error: ChatError | None) -> dict[str, Any] | None:
    """An error as JSON."""
    if error is None:
        return None
    return {**asdict(StoredError.of(error)), "status": error.exit_status, "request_id": error.request_id}


def _rounded(value: Any) -> Any:
    """Microseconds are what the clock is good for."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 6) if isinstance(value, float) else value
