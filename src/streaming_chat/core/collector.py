"""The one collector: the events of a turn → what of it is kept, for the history and for the transcript of a session.

When each delta arrived is kept in eight bytes (arrivals.py). The texts come whole with the end of the turn; until then, a
`Piece` is what came since the last one was taken.
"""

from __future__ import annotations

from array import array
from io import StringIO

from streaming_chat.core.arrivals import KIND_OF_EVENT, arrival_words
from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, Sent, Started, TextDelta, ToolCallDelta


class Piece:
    """What came since the last save: the events themselves would take twenty times as much memory.

    `calls` has the index, the name and the arguments of each piece of a tool call.
    """

    def __init__(self) -> None:
        self.started: Started | None = None
        self.texts = {kind: StringIO() for kind in KIND_OF_EVENT.values()}
        self.calls: list[tuple[int, str, str]] = []
        self.arrivals = array("Q")


class Collector:
    """Collects one turn. `with_texts` says whether pieces of the texts are wanted before the turn is over."""

    def __init__(self, *, with_texts: bool) -> None:
        self._with_texts = with_texts
        self._start = 0.0
        self._piece = Piece()

    def handle(self, event: Event) -> None:
        """Add what `event` says. Times count from `Sent`."""
        piece = self._piece
        if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
            kind = KIND_OF_EVENT[type(event)]
            if self._with_texts:
                piece.texts[kind].write(event.text)
            piece.arrivals.extend(arrival_words(event.at - self._start, kind, len(event.text)))
        elif isinstance(event, ToolCallDelta):
            if self._with_texts:
                piece.calls.append((event.index, event.name, event.arguments))
            length = len(event.name) + len(event.arguments)
            piece.arrivals.extend(arrival_words(event.at - self._start, "tool_call", length))
        elif isinstance(event, Sent):
            self._start = event.at
        elif isinstance(event, Started):
            piece.started = event

    def take(self) -> Piece:
        """What came since the last call."""
        piece, self._piece = self._piece, Piece()
        return piece
