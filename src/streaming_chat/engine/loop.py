"""run_turn(): the only streaming loop in the program.

It is given a provider (where the chunks come from), renderers (who is told what happens) and a clock, and knows of none
more than the few lines of protocol below. The clock is read when a chunk is there and before anything of it is shown.

A renderer that fails ends the turn: an answer that was half shown is no whole one. A `Record` that fails does not: it shows
nothing, so the others go on, and the failure is a notice when all is over. Whoever fails, every one is told of the end.

What has arrived together is shown together: where the provider says when it begins to wait, text is written once for all
chunks before that, in one piece. Nothing waits for a timer, or for what has not arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Protocol

from streaming_chat.core.adaptation import adapt, adaptation_for
from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.events import Adapted, Event, Finished, ReasoningDelta, RefusalDelta, Retrying, TextDelta
from streaming_chat.core.retry import retry_delay
from streaming_chat.core.turn import Turn
from streaming_chat.engine import deadline
from streaming_chat.wire.reply import Reply


class Provider(Protocol):
    """Where answers come from: chunk dicts as they arrive, `wire.reply.DONE` for `[DONE]`, a text for what is no chunk.

    Reading them raises ChatError, and nothing else, when the stream fails. Chunks with a `request_id`, the server's name for
    the request, are asked for it; those with `call_before_waiting` are told what to do before they wait for more. A provider
    with a `secret`, its key, never finds it in an answer. One with `preload()` is told to import and load what it needs
    before the clock starts.
    """

    def stream(self, request: ChatRequest) -> AbstractContextManager[Iterable[Any]]:
        """Send `request`. Entered when the response's headers are there; leaving it closes the connection."""


class Renderer(Protocol):
    """Someone who is told what happens in an answer, while it happens.

    One with `takes_together` true gets pieces of one text that arrived together as one event, with the time of the first.
    One with `patient()`, `take_up(source)` and `is_cut` of an `Output` does not keep the server waiting for a slow device.
    """

    def handle(self, event: Event) -> None:
        """Something happened. OutputClosed ends the turn: nobody is reading."""

    def end(self, turn: Turn) -> None:
        """It is over, and this is what it was."""


class Record:
    """An observer that keeps something of a turn and shows nothing of it: its failure is told, and the turn goes on.

    `name` is what fails then ("the log"). One that has failed hears of no further event, but of the end, as it may keep the
    whole turn all the same.
    """

    def __init__(self, name: str, observer: Renderer) -> None:
        self._name = name
        self._observer = observer
        self._failure: Exception | None = None

    def handle(self, event: Event) -> None:
        """Pass it on."""
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
        """What to say of it; None while there is nothing."""
        if self._failure is None:
            return None
        # As for every fault of the program's own, the class is told, and no text, which may hold anything.
        reason = self._failure.strerror if isinstance(self._failure, OSError) else None
        return f"{self._name} may lack this turn: {reason or type(self._failure).__name__}"


def run_turn(
    request: ChatRequest,
    provider: Provider,
    renderers: Sequence[Renderer],
    *,
    retries: int,
    max_time: float | None = None,
    notice: Callable[[str], None] = lambda _text: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    shorten: Callable[[ChatRequest, ChatError], ChatRequest | None] = lambda _request, _error: None,
    deferred: Callable[[], AbstractContextManager[None]] = nullcontext,
    advise: Callable[[ChatError], None] = lambda _error: None,
) -> Turn:
    """Send `request`, tell the renderers of every event, and return the turn, which every renderer was told of too.

    A request that a server refuses is sent again as `shorten` makes it, if that makes anything of it.
    After `max_time` seconds, retries and their waits included, the turn ends with TimedOut.
    `advise` completes the error of the turn, if there is one, before any renderer sees it.
    Signals that come while the renderers are told of the end wait inside `deferred`.
    A failure, and Ctrl-C (KeyboardInterrupt), end the turn and are told by its outcome. OutputClosed, and SystemExit from
    a signal, do so too and are raised again, once the turn has been handed to the renderers; so is, as ChatError, the fault
    of a renderer that comes as late as that. `notice` is told of each `Record` among them that has failed.
    """
    audience = _Audience(renderers)
    reply = Reply(request, clock(), secret=getattr(provider, "secret", ""))
    error: ChatError | None = None
    interrupted = False
    leave: BaseException | None = None
    try:
        with deadline.at_most(max_time):
            # What the client has to get ready is not the server's time, so the turn begins after it.
            getattr(provider, "preload", _nothing)()
            audience.tell([reply.begin(clock())])
            audience.catch_up()
            error = _attempts(reply, provider, audience, retries, clock, sleep, shorten)
    except KeyboardInterrupt:
        interrupted = True
    except OutputClosed as ending:
        error = leave = ending
    except SystemExit as ending:
        interrupted = True
        leave = ending
    except ChatError as failure:
        error = failure
    except Exception as failure:  # noqa: BLE001 # a fault of the program's own must not cost the turn its record
        error = ChatError.unexpected(failure)
    # A slow terminal may have taken longer.
    at = clock() if audience.ended is None else audience.ended
    events, turn = reply.finish(at, error=error, interrupted=interrupted, is_cut=audience.is_cut)
    if turn.error is not None:
        advise(turn.error)
    events.append(Finished(at, turn.outcome, turn.finish_reason))
    with deferred():
        for renderer in renderers:
            for told in (partial(_tell_all, renderer, events), partial(renderer.end, turn)):
                fault = _failure_of(told, turn)
                # A terminal that is closed sends SIGHUP first: that is why the program ends.
                leave = leave or fault
        for renderer in renderers:
            if isinstance(renderer, Record) and renderer.failure:
                notice(renderer.failure)
    if leave is not None:
        raise leave
    return turn


def _tell_all(renderer: Renderer, events: Sequence[Event]) -> None:
    for event in events:
        renderer.handle(event)


def _failure_of(told: Callable[[], None], turn: Turn) -> ChatError | None:
    """Tell a renderer of the end; what ends the program then. The others have yet to be told, whatever happens here."""
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


def _attempts(
    reply: Reply,
    provider: Provider,
    audience: _Audience,
    retries: int,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    shorten: Callable[[ChatRequest, ChatError], ChatRequest | None],
) -> ChatError | None:
    """Stream, again after a failure that may pass or a request that can be adapted; the failure that remains, or None."""
    attempt = retried = 0
    while True:
        attempt += 1
        audience.ended = None
        reply.attempt(attempt)
        try:
            with provider.stream(reply.request) as chunks:
                reply.headers(clock(), getattr(chunks, "request_id", None))
                tells = getattr(chunks, "call_before_waiting", _cannot)(audience.before_waiting)
                # Without it, what a slow device does not take would wait for the next chunk.
                with audience.patient() if tells else nullcontext():
                    try:
                        for chunk in chunks:
                            audience.tell(reply.feed(chunk, clock()))
                            if reply.is_full:
                                raise reply.too_much
                            if not tells:
                                audience.catch_up()
                    finally:
                        audience.ended = clock()
                        audience.catch_up()
            return None
        except OutputClosed:
            raise
        except ChatError as failure:
            # After the first text a second attempt would show another answer below half of this one.
            if reply.has_output or reply.whole:
                return failure
            adaptation = adaptation_for(reply.request, failure)
            delay, message = retry_delay(failure, retried + 1), failure.message
            shorter = shorten(reply.request, failure) if adaptation is None else None
            if adaptation is None and shorter is None and (delay is None or retried == retries):
                return failure
        audience.ended = None
        if adaptation is not None:
            reply.request = adapt(reply.request, [adaptation])
            audience.tell([Adapted(clock(), adaptation)])
        elif shorter is not None:
            reply.request = shorter
        elif delay is not None:
            left = deadline.left()
            if left is not None and delay >= left:
                return deadline.out_of_time(message)
            retried += 1
            audience.tell([Retrying(clock(), retried + 1, retries + 1, delay, message)])
            audience.catch_up()
            sleep(delay)


class _Audience:
    """The renderers of one turn. Those that take together what arrived together are told of it by `catch_up`."""

    def __init__(self, renderers: Sequence[Renderer]) -> None:
        self._at_once = [one for one in renderers if not getattr(one, "takes_together", False)]
        self._together = [one for one in renderers if getattr(one, "takes_together", False)]
        self._patient: list[Any] = [one for one in renderers if hasattr(one, "patient")]
        self._waiting: list[Event] = []
        #: When the stream of the last attempt was over; None before that, and when there is another attempt.
        self.ended: float | None = None
        #: Whether what had arrived was not all shown.
        self.is_cut = False

    def tell(self, events: list[Event]) -> None:
        """These happened."""
        self._waiting += events
        for event in events:
            for renderer in self._at_once:
                renderer.handle(event)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Nobody is waited for inside."""
        try:
            with ExitStack() as stack:
                for renderer in self._patient:
                    stack.enter_context(renderer.patient())
                yield
        finally:
            self.is_cut = self.is_cut or any(renderer.is_cut for renderer in self._patient)

    def before_waiting(self, source: int) -> None:
        """Nothing else has arrived so far, and more is going to be read from the file number `source`."""
        self.catch_up()
        for renderer in self._patient:
            renderer.take_up(source)

    def catch_up(self) -> None:
        """Nothing else has arrived so far."""
        waiting, self._waiting = self._waiting, []
        try:
            for event in _joined(waiting):
                for renderer in self._together:
                    renderer.handle(event)
        except BaseException:
            # A Ctrl-C, or a fault of the renderer's own: the rest is not shown any more.
            self.is_cut = True
            raise


def _joined(events: list[Event]) -> Iterator[Event]:
    """The events, with the pieces of one text that follow one another as one."""
    if len(events) == 1:
        yield from events
        return
    for kind, run in groupby(events, type):
        if kind is TextDelta or kind is ReasoningDelta or kind is RefusalDelta:
            some = [event for event in run if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta))]
            yield replace(some[0], text="".join(event.text for event in some))
        else:
            yield from run


def _cannot(_callback: Callable[[int], None]) -> bool:
    """What chunks without `call_before_waiting` do."""
    return False


def _nothing() -> None:
    """What a provider without `preload` does."""
