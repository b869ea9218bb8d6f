"""The only streaming loop of the program: one request, its attempts, and the events of its answer.

`TurnRun` is a generator of events, in lists of those that came of one chunk; `run_turn` pushes them to observers, and the
Python API (api.py) yields them. The clock is read when a chunk is there and before anything of it is shown.

What has arrived together is shown together: where the provider says when it begins to wait, text is written once for all
chunks before that, in one piece. Nothing waits for a timer, or for what has not arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import NamedTuple

from streaming_chat.core.adaptation import adapt, adaptation_for
from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.events import Adapted, Event, Finished, Retrying
from streaming_chat.core.retry import retry_delay
from streaming_chat.core.turn import Turn
from streaming_chat.engine import deadline
from streaming_chat.engine.observers import Observers
from streaming_chat.engine.protocols import Provider, TurnObserver
from streaming_chat.wire.reply import Reply

Shorten = Callable[[ChatRequest, ChatError], "ChatRequest | None"]


class TurnRun:
    """One turn in progress: `batches` yields its events, then `finish` makes the turn.

    `retries` is the number of attempts after the first. `shorten` makes a refused request shorter, or returns None.
    `observers` hear from the provider when it begins to wait, where it can tell.
    """

    def __init__(  # noqa: PLR0913 # the world of a turn, each part by its name
        self,
        request: ChatRequest,
        provider: Provider,
        *,
        retries: int,
        observers: Observers | None = None,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        shorten: Shorten = lambda _request, _error: None,
    ) -> None:
        self._reply = Reply(request, clock(), secret=provider.secret)
        self._provider = provider
        self._retries = retries
        self._observers = observers or Observers(())
        self._can_show = observers is not None
        self._clock = clock
        self._sleep = sleep
        self._shorten = shorten
        self._retried = 0
        #: When the stream of the last attempt was over; None before that, and while there is another attempt.
        self._ended: float | None = None
        #: Whether the provider says when it waits: then the observers catch up by themselves.
        self.says_when_it_waits = False

    def batches(self) -> Generator[list[Event], None, None]:
        """Yield events as they happen, those of one chunk together; the first is `Sent`.

        Raises ChatError, what ended the answer. Closing the generator closes the connection.
        """
        # What the client has to get ready is not the server's time, so the turn begins after it.
        self._provider.preload()
        yield [self._reply.begin(self._clock())]
        attempt = 0
        while True:
            attempt += 1
            self._ended = None
            self._reply.attempt(attempt)
            try:
                yield from self._attempt()
                return
            except OutputClosed:
                raise
            except ChatError as failure:
                error = failure
            yield from self._before_another_attempt(error)

    def _attempt(self) -> Iterator[list[Event]]:
        """Send the request once, and yield what comes of it."""
        reply, clock = self._reply, self._clock
        with self._provider.stream(reply.request) as chunks:
            reply.headers(clock(), chunks.request_id)
            says = self._can_show and chunks.call_before_waiting(self._observers.before_waiting)
            self.says_when_it_waits = says
            # Without it, what a slow device does not take would wait for the next chunk.
            with self._observers.patient() if says else nullcontext():
                try:
                    for chunk in chunks:
                        yield reply.feed(chunk, clock())
                        if reply.is_full:
                            raise reply.too_much
                finally:
                    self._ended = clock()
                    self._observers.catch_up()
                    self.says_when_it_waits = False

    def _before_another_attempt(self, failure: ChatError) -> Iterator[list[Event]]:
        """Make the next attempt one that may succeed, and wait until it may be made. Raises `failure` when there is none."""
        reply = self._reply
        # After the first text a second attempt would show another answer below half of this one.
        if reply.has_output or reply.whole:
            raise failure
        adaptation = adaptation_for(reply.request, failure)
        if adaptation is not None:
            self._ended = None
            reply.request = adapt(reply.request, [adaptation])
            yield [Adapted(self._clock(), adaptation)]
            return
        shorter = self._shorten(reply.request, failure)
        if shorter is not None:
            reply.request = shorter
            return
        delay = retry_delay(failure, self._retried + 1)
        if delay is None or self._retried == self._retries:
            raise failure
        self._ended = None
        left = deadline.left()
        if left is not None and delay >= left:
            raise deadline.out_of_time(failure.message)
        self._retried += 1
        yield [Retrying(self._clock(), self._retried + 1, self._retries + 1, delay, failure.message)]
        self._sleep(delay)

    def finish(self, *, error: ChatError | None, interrupted: bool, is_cut: bool = False) -> tuple[list[Event], Turn]:
        """Return the last events, `Finished` among them, and the turn.

        `error` is what ended it; `is_cut` says that not all was shown. Called once, when `batches` is over or closed.
        """
        # A slow terminal may have taken longer.
        at = self._clock() if self._ended is None else self._ended
        events, turn = self._reply.finish(at, error=error, interrupted=interrupted, is_cut=is_cut)
        return [*events, Finished(at, turn.outcome, turn.finish_reason)], turn


class _Ending(NamedTuple):
    """What ended the stream of a turn; `leave` is raised again when all is told."""

    error: ChatError | None = None
    interrupted: bool = False
    leave: BaseException | None = None


def run_turn(  # noqa: PLR0913 # the world of a turn, each part by its name
    request: ChatRequest,
    provider: Provider,
    observers: Sequence[TurnObserver],
    *,
    retries: int,
    max_time: float | None = None,
    notice: Callable[[str], None] = lambda _text: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    shorten: Shorten = lambda _request, _error: None,
    critical_section: Callable[[], AbstractContextManager[None]] = nullcontext,
    advise: Callable[[ChatError], None] = lambda _error: None,
) -> Turn:
    """Send `request`, tell the observers of every event, and return the turn, which every observer was told of too.

    A request that a server refuses is sent again as `shorten` makes it, unless that is None. After `max_time` seconds,
    retries and their waits included, the turn ends with TimedOut. `advise` completes the error of the turn, if there is
    one, before any observer sees it. Signals that come while the observers are told of the end wait inside
    `critical_section`. `notice` is told of each `IsolatedObserver` that has failed.

    A failure, and Ctrl-C (KeyboardInterrupt), end the turn and are told by its outcome. OutputClosed, and SystemExit from
    a signal, do so too and are raised again, once the turn has been handed to the observers; so is, as ChatError, the fault
    of an observer that comes as late as that.
    """
    group = Observers(observers)
    run = TurnRun(request, provider, retries=retries, observers=group, clock=clock, sleep=sleep, shorten=shorten)
    ending = _pushed(run, group, max_time)
    events, turn = run.finish(error=ending.error, interrupted=ending.interrupted, is_cut=group.is_cut)
    if turn.error is not None:
        advise(turn.error)
    with critical_section():
        # A terminal that is closed sends SIGHUP first: that is why the program ends.
        fault = group.finish(events, turn)
        for failure in group.failures():
            notice(failure)
    leave = ending.leave or fault
    if leave is not None:
        raise leave
    return turn


def _pushed(run: TurnRun, observers: Observers, max_time: float | None) -> _Ending:
    """Push every event to the observers, until the stream ends."""
    try:
        with deadline.at_most(max_time), closing(run.batches()) as batches:
            for events in batches:
                observers.tell(events)
                if not run.says_when_it_waits:
                    observers.catch_up()
    except KeyboardInterrupt:
        return _Ending(interrupted=True)
    except OutputClosed as ending:
        return _Ending(error=ending, leave=ending)
    except SystemExit as ending:
        return _Ending(interrupted=True, leave=ending)
    except ChatError as failure:
        return _Ending(error=failure)
    except Exception as failure:  # noqa: BLE001 # a fault of the program's own must not cost the turn its record
        return _Ending(error=ChatError.unexpected(failure))
    return _Ending()
