"""The observers of one turn: who is told when, and what becomes of those that fail.

A display that fails ends the turn: an answer that was half shown is not complete. An `IsolatedObserver` that fails does not.
Whoever fails, all are told of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby

from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, TextDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import Display, TurnObserver


class IsolatedObserver(TurnObserver):
    """An observer whose failure does not end the turn: it keeps something, and shows nothing.

    `name` is what fails then ("the log"). One that has failed receives no further event, but the end, as it may keep the
    turn all the same.
    """

    def __init__(self, name: str, observer: TurnObserver) -> None:
        self._name = name
        self._observer = observer
        self._failure: Exception | None = None

    def handle(self, event: Event) -> None:
        """Pass it on, unless the observer has failed."""
        if self._failure is None:
            try:
                self._observer.handle(event)
            except Exception as failure:  # noqa: BLE001 # whatever it is, it is not the answer's fault
                self._failure = failure

    def end(self, turn: Turn) -> None:
        """Pass it on."""
        try:
            self._observer.end(turn)
        except Exception as failure:  # noqa: BLE001
            self._failure = self._failure or failure

    @property
    def failure(self) -> str | None:
        """What to tell the user of a failure; None while there is none."""
        if self._failure is None:
            return None
        # As for every fault of the program's own, the class is told, and no text, which may hold anything.
        reason = self._failure.strerror if isinstance(self._failure, OSError) else None
        return f"{self._name} may lack this turn: {reason or type(self._failure).__name__}"


class Observers:
    """All observers of one turn. One that joins text receives what arrived together when `catch_up` is called."""

    def __init__(self, observers: Sequence[TurnObserver]) -> None:
        self._all = observers
        self._displays = [one for one in observers if isinstance(one, Display)]
        self._joining = [one for one in self._displays if one.joins_text]
        self._at_once = [one for one in observers if one not in self._joining]
        self._waiting: list[Event] = []
        #: Whether some of what had arrived was not shown.
        self.is_cut = False

    def tell(self, events: list[Event]) -> None:
        """Pass on events: to those that join text with the next `catch_up`, to all others now."""
        self._waiting += events
        for event in events:
            for observer in self._at_once:
                observer.handle(event)

    def catch_up(self) -> None:
        """Show what has arrived since the last call."""
        waiting, self._waiting = self._waiting, []
        try:
            for event in _joined(waiting):
                for display in self._joining:
                    display.handle(event)
        except BaseException:
            # A Ctrl-C, or a fault of the display's own: the rest is not shown any more.
            self.is_cut = True
            raise

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Do not wait for a slow device inside."""
        try:
            with ExitStack() as stack:
                for display in self._displays:
                    stack.enter_context(display.patient())
                yield
        finally:
            self.is_cut = self.is_cut or any(display.is_cut for display in self._displays)

    def before_waiting(self, source: int) -> None:
        """Show what has arrived: more is going to be read from the file number `source`."""
        self.catch_up()
        for display in self._displays:
            display.take_up(source)

    def finish(self, events: Sequence[Event], turn: Turn) -> ChatError | None:
        """Tell every observer of the last events and of the end; return the first failure that is to end the program."""
        first: ChatError | None = None
        for observer in self._all:
            for told in (partial(_tell_all, observer, events), partial(observer.end, turn)):
                failure = _failure_of(told, turn)
                first = first or failure
        return first

    def failures(self) -> Iterator[str]:
        """Yield what to tell the user of the observers that failed in silence."""
        for observer in self._all:
            if isinstance(observer, IsolatedObserver) and observer.failure:
                yield observer.failure


def _tell_all(observer: TurnObserver, events: Sequence[Event]) -> None:
    for event in events:
        observer.handle(event)


def _failure_of(told: Callable[[], None], turn: Turn) -> ChatError | None:
    """Tell an observer of the end; return what ends the program then. The others have yet to be told, whatever happens."""
    try:
        told()
    except KeyboardInterrupt:
        return None  # The answer is over: there is nothing left to interrupt.
    except OutputClosed as ending:
        return ending
    except Exception as failure:  # noqa: BLE001 # whatever it is
        # One that has failed before is the turn's error already.
        return ChatError.unexpected(failure) if turn.error is None else None
    return None


def _joined(events: list[Event]) -> Iterator[Event]:
    """Yield the events, with the pieces of one text that follow one another as one."""
    if len(events) == 1:
        yield from events
        return
    for kind, run in groupby(events, type):
        if kind is TextDelta or kind is ReasoningDelta or kind is RefusalDelta:
            some = [event for event in run if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta))]
            yield replace(some[0], text="".join(event.text for event in some))
        else:
            yield from run
