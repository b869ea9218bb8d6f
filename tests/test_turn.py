"""run_turn() with a renderer that is at fault: the answer is kept, and not passed off as shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from server import chunk
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Event, Outcome, TextDelta
from streaming_chat.core.reply import DONE, Turn
from streaming_chat.turn import run_turn


class Chunks(list[Any]):
    """Chunks that are there at once, so that their text is told at the end."""

    def call_before_waiting(self, _callback: object) -> bool:
        """It is never waited for more."""
        return True


class Whole:
    """A provider of one answer."""

    @contextmanager
    def stream(self, _request: ChatRequest) -> Iterator[Chunks]:
        yield Chunks([chunk("one "), chunk("two"), chunk(finish_reason="stop"), DONE])


class Faulty:
    """A renderer that fails in the middle of an answer."""

    def __init__(self, *, takes_together: bool) -> None:
        self.takes_together = takes_together
        self.turn: Turn | None = None

    def handle(self, event: Event) -> None:
        """Fail at text."""
        if isinstance(event, TextDelta):
            raise IndexError("string index out of range")

    def end(self, turn: Turn) -> None:
        """Be told, too."""
        self.turn = turn


@pytest.mark.parametrize("takes_together", [True, False])
def test_an_answer_that_could_not_be_shown_is_an_error(takes_together: bool) -> None:
    renderer = Faulty(takes_together=takes_together)
    turn = run_turn(ChatRequest("m", (Message("user", "hi"),)), Whole(), [renderer], retries=0)
    assert renderer.turn is turn
    assert turn.outcome is Outcome.ERROR
    assert turn.error is not None
    assert "IndexError" in turn.error.message
    assert turn.text.startswith("one ")
