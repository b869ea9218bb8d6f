"""What the engine is wired with: a provider, where answers come from, and observers, which receive what happens.

Each is a base class whose methods do nothing, or what nothing special needs, so that an implementation has only those that
it is about. The engine calls these methods and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.events import Event
from streaming_chat.core.turn import Turn


class ChunkSource:
    """The chunks of one answer.

    Iterating gives chunk dicts as they arrive, `wire.reply.DONE` for `[DONE]`, and a text for an event that is no chunk. It
    raises ChatError, and nothing else, when the stream fails.
    """

    #: The server's name for the request, from the response's headers.
    request_id: str | None = None

    def __iter__(self) -> Iterator[object]:
        """Yield the chunks until the answer is over."""
        raise NotImplementedError

    def call_before_waiting(self, callback: Callable[[int], None]) -> bool:  # noqa: ARG002 # for those that can tell
        """Have `callback` called whenever all that has arrived was read, with the file number of what is waited for.

        Return False where the connection cannot tell.
        """
        return False


class Provider:
    """An endpoint, or a model on this machine. Usable from several threads."""

    #: Where requests go, as it is shown and kept: the base URL, or what stands in its place.
    endpoint: str = ""
    #: Whether the model runs on this machine, as a part of this program: it has one model, and no key.
    is_local: bool = False

    @property
    def secret(self) -> str:
        """The key, where there is one to mask in an answer; else ""."""
        return ""

    def preload(self) -> None:
        """Import and load what the first request needs. May run in any thread; a failure is told by the first request."""

    def get_ready(self) -> None:
        """Prepare for a request that is likely to come. Returns at once."""

    def stream(self, request: ChatRequest) -> AbstractContextManager[ChunkSource]:
        """Send `request`. Entered when the response's headers are there; leaving it closes the connection.

        Raises ChatError for every failure.
        """
        raise NotImplementedError

    def models(self) -> list[str]:
        """Return the names of the models to choose from. Raises ChatError for every failure."""
        raise NotImplementedError

    def close(self) -> None:
        """Close connections, and end processes."""


class TurnObserver:
    """What receives the events of a turn, each as it happens."""

    def handle(self, event: Event) -> None:
        """Take note of `event`. Raising OutputClosed ends the turn: nobody reads the answer."""

    def end(self, turn: Turn) -> None:
        """The turn is over. Called once, after the last event, however it ended."""


class Display(TurnObserver):
    """An observer that shows the answer: a renderer."""

    #: Whether pieces of one text that arrived together are one event for it, with the time of the first.
    joins_text: bool = True

    @property
    def is_cut(self) -> bool:
        """Whether something was not shown in the end."""
        return False

    def patient(self) -> AbstractContextManager[None]:
        """Return a context in which a device that takes nothing is not waited for."""
        return nullcontext()

    def take_up(self, source: int) -> None:
        """Write what waits, for as long as nothing is to be read from the file number `source`."""
