"""`--otel`: a span and a few measurements of every turn, to an OpenTelemetry collector (OTLP over HTTP).

Where to, and with which headers, is said by the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, …;
opentelemetry.io, "Environment Variable Specification" and "OTLP Exporter Configuration").

Strategy: while an answer streams, nothing is done but to keep the few events that matter. What is left, the import of the
SDK first, happens in a thread, after the end of the turn. The end of the program waits for that thread: for its import,
and then for `_LONGEST_FLUSH`. Nothing that fails here is worth more than a notice.

Rule: prompts and answers are in what is exported only with `otel_content`, and so are a server's words about a failure,
which may repeat them. The key never is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from streaming_chat import __version__
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.events import Adapted, Event, Finished, NotStreamed, Retrying, Started
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.observers.gen_ai import (
    SECONDS,
    TOKENS,
    Attributes,
    common_attributes,
    content_attributes,
    error_type,
    peer,
    span_attributes,
)
from streaming_chat.text.secret import without_secret
from streaming_chat.text.surrogates import SurrogateJoiner

if TYPE_CHECKING:
    from requests import Session

_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
#: Seconds that the end of the program waits for the import of the SDK, and then for the collector, at most.
_LONGEST_IMPORT = 2.0
_LONGEST_FLUSH = 1.0


class Telemetry:
    """The telemetry of one session. `base_url` is None for the embedded model. UsageError without the SDK."""

    def __init__(self, *, base_url: str | None, content: bool, secret: str | None, notice: Callable[[str], None]) -> None:
        if not _is_installed():
            raise UsageError("telemetry needs the OpenTelemetry SDK, which is not installed", kind=Kind.TELEMETRY_LIBRARY)
        parts = urlsplit(base_url or "")
        self.peer = peer(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self.content = content
        self._secret = secret
        self._notice = notice
        self._turns: SimpleQueue[_Ended | None] = SimpleQueue()
        self._way = _Way()
        self._thread: threading.Thread | None = None
        self._is_ready = threading.Event()

    def recorder(self, conversation: str) -> Recorder:
        """Who is told of one turn of this conversation."""
        return Recorder(self, conversation)

    def take(self, ended: _Ended) -> None:
        """A turn is over. Returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._export, name="telemetry", daemon=True)
            self._thread.start()
        self._turns.put(ended)

    def wait_for_import(self) -> None:
        """Wait until the SDK is imported, if that has begun: nothing else is to be imported meanwhile.

        Two threads that import libraries which import one another can each wait for what the other one is importing; Python
        ends that with an error in one of them.
        """
        # Whoever does not want to wait has pressed Ctrl-C: the rest of the end is still done.
        with suppress(KeyboardInterrupt):
            if self._thread is not None:
                self._is_ready.wait(_LONGEST_IMPORT)

    def close(self) -> None:
        """Send what is left, in so far as it can be sent soon, and tell what cannot."""
        if self._thread is None:
            return
        self._way.is_at_its_end = True
        self._turns.put(None)
        try:
            self._is_ready.wait(_LONGEST_IMPORT)
            self._way.deadline = time.monotonic() + _LONGEST_FLUSH
            self._thread.join(_LONGEST_FLUSH)
        except KeyboardInterrupt:
            # Whoever does not want to wait that long need not.
            self._way.problem = self._way.problem or "interrupted"
        if self._thread.is_alive():
            self._way.problem = self._way.problem or f"no answer within {_LONGEST_FLUSH:g} s"
        if self._way.problem:
            self._notice(f"telemetry was not exported: {self._way.problem}")

    def clean(self, attributes: Attributes) -> Attributes:
        """`attributes` in characters that UTF-8 has, and without the key."""
        return {
            name: self._clean(value)
            if isinstance(value, str)
            else [self._clean(one) for one in value]
            if isinstance(value, list)
            else value
            for name, value in attributes.items()
        }

    def _clean(self, text: str) -> str:
        joiner = SurrogateJoiner()
        text = joiner.feed(text) + joiner.finish()
        return without_secret(text, self._secret)

    def _export(self) -> None:
        """The thread."""
        try:
            instruments = _Instruments(self._way)
        except Exception as failure:  # noqa: BLE001 # a variable that the SDK cannot read, most likely
            self._way.problem = f"the SDK could not be set up ({type(failure).__name__}); are the OTEL_ variables right?"
            return
        finally:
            self._is_ready.set()
        try:
            while (ended := self._turns.get()) is not None:
                instruments.add(ended, self)
            instruments.close()
        except Exception as failure:  # noqa: BLE001 # a thread's traceback would stand in the chat
            self._way.problem = f"unexpected: {type(failure).__name__}"


class Recorder(TurnObserver):
    """The observer of one running turn."""

    def __init__(self, telemetry: Telemetry, conversation: str) -> None:
        self._telemetry = telemetry
        self._conversation = conversation
        self._events: list[Event] = []

    def handle(self, event: Event) -> None:
        """Keep what a span tells of."""
        if isinstance(event, (Started, Retrying, Adapted, NotStreamed, Finished)):
            self._events.append(event)

    def end(self, turn: Turn) -> None:
        """Hand the turn over."""
        # A turn's clock has no date: what is between the two clocks is read anew for each, as one of them may be set.
        offset = time.time_ns() - time.perf_counter_ns()
        self._telemetry.take(_Ended(turn, tuple(self._events), offset, self._conversation))


@dataclass(frozen=True)
class _Ended:
    """A turn, with what happened in it. `offset` is nanoseconds from the turn's clock to the time of day."""

    turn: Turn
    events: tuple[Event, ...]
    offset: int
    conversation: str

    def time_of_day(self, at: float) -> int:
        """Nanoseconds since 1970."""
        return self.offset + round(at * 1e9)

    @property
    def end(self) -> float:
        """When it ended, on the turn's clock."""
        return next(event.at for event in reversed(self.events) if isinstance(event, Finished))

    @property
    def start(self) -> float:
        """When it was sent first."""
        return self.end - self.turn.timing.total

    @property
    def first_chunk(self) -> float | None:
        """Seconds until the first chunk of the answer. None when there was none, or when the answer came in one piece."""
        if any(isinstance(event, NotStreamed) for event in self.events):
            return None
        return next((event.at - self.start for event in reversed(self.events) if isinstance(event, Started)), None)


class _Way:
    """The way to the collector, and what went wrong on it last."""

    def __init__(self) -> None:
        self.problem: str | None = None
        #: Whether the program is about to end: then nothing is tried twice.
        self.is_at_its_end = False
        #: Until when it waits, on time.monotonic().
        self.deadline: float | None = None

    def session(self) -> Session:
        """An HTTP session for one exporter."""
        from requests import RequestException, Session

        way = self

        class WatchedSession(Session):
            def request(self, method: Any, url: Any, *arguments: Any, **keywords: Any) -> Any:
                if way.is_at_its_end:
                    left = way.deadline - time.monotonic() if way.deadline else _LONGEST_FLUSH
                    keywords["timeout"] = min(keywords.get("timeout") or left, max(0.05, left))
                try:
                    response = super().request(method, url, *arguments, **keywords)
                except RequestException as failure:
                    way.problem = _told(failure, str(url))
                    if not way.is_at_its_end:
                        raise
                    # The exporters try again after this one's subclasses, and wait a second before.
                    raise RequestException from None
                way.problem = None if response.ok else f"{_host(str(url))} answered {response.status_code}"
                return response

        return WatchedSession()


class _Instruments:
    """The SDK's tracer and meter, and what is recorded with them."""

    def __init__(self, way: _Way) -> None:
        _silence()
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What stands in the environment goes before these, which the SDK would have the other way round.
        ours = {"service.name": "streaming-chat", "service.version": __version__}
        resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        # The program ends without Python's own exit handlers, and closes these itself.
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=way.session())))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(session=way.session()))
        self._metrics = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)

        self._tracer = self._traces.get_tracer("streaming_chat", __version__)
        meter = self._metrics.get_meter("streaming_chat", __version__)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk of a streamed answer.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def add(self, ended: _Ended, telemetry: Telemetry) -> None:
        """One turn more."""
        self._trace(ended, telemetry)
        self._measure(ended, telemetry)

    def close(self) -> None:
        """Send what has not been sent."""
        self._traces.shutdown()
        self._metrics.shutdown()

    def _trace(self, ended: _Ended, telemetry: Telemetry) -> None:
        from opentelemetry.trace import SpanKind, StatusCode

        turn = ended.turn
        attributes = span_attributes(
            turn, telemetry.peer, conversation=ended.conversation, first_chunk=ended.first_chunk
        ) | (content_attributes(turn) if telemetry.content else {})
        attributes = telemetry.clean(attributes)
        span = self._tracer.start_span(
            f"chat {attributes['gen_ai.request.model']}",
            kind=SpanKind.CLIENT,
            start_time=ended.time_of_day(ended.start),
            attributes=attributes,
        )
        for event in ended.events:
            if isinstance(event, Retrying):
                told: Attributes = {"attempt": event.attempt, "delay": event.delay}
                if telemetry.content:
                    told["reason"] = event.reason
                span.add_event("retry", telemetry.clean(told), ended.time_of_day(event.at))
            elif isinstance(event, Adapted):
                span.add_event("adapted", {"adaptation": event.adaptation}, ended.time_of_day(event.at))
        if error_type(turn) is not None:
            span.set_status(StatusCode.ERROR)
        span.end(ended.time_of_day(ended.end))

    def _measure(self, ended: _Ended, telemetry: Telemetry) -> None:
        turn = ended.turn
        common = telemetry.clean(common_attributes(turn, telemetry.peer))
        error = error_type(turn)
        self._duration.record(turn.timing.total, common | ({"error.type": error} if error else {}))
        if ended.first_chunk is not None:
            self._first_chunk.record(ended.first_chunk, common)
        if turn.usage is not None:
            for kind, count in (("input", turn.usage.prompt_tokens), ("output", turn.usage.completion_tokens)):
                if count is not None:
                    self._tokens.record(count, common | {"gen_ai.token.type": kind})


def _is_installed() -> bool:
    try:
        return all(find_spec(name) for name in _NEEDED)
    except ModuleNotFoundError:
        return False


def _silence() -> None:
    """The SDK tells of its failures through logging, whose last resort is the bare stderr."""
    import logging

    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).addHandler(logging.NullHandler())


def _told(failure: Exception, url: str) -> str:
    """What went wrong, without the exception's own words."""
    from requests import exceptions

    for kind, words in (
        (exceptions.Timeout, "no answer in time from {}"),
        (exceptions.SSLError, "TLS failed with {}"),
        (exceptions.ProxyError, "the proxy on the way to {} failed"),
        (exceptions.ConnectionError, "no connection to {}"),
    ):
        if isinstance(failure, kind):
            return words.format(_host(url))
    return f"{_host(url) or 'what OTEL_EXPORTER_OTLP_ENDPOINT says'} is no address to send to"


def _host(url: str) -> str:
    """Host and port: a user name and a password may stand before them, and a key behind."""
    return urlsplit(url).netloc.rpartition("@")[2]
