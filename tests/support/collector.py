"""An OpenTelemetry collector on loopback, which decodes what it is sent (OTLP over HTTP, protobuf).

with Collector() as collector:
    ...  # run a program with collector.environment
(span,) = collector.spans
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


class Collector:
    """Answers every request with `status`; with `hangs` it takes requests and never answers."""

    def __init__(self, *, status: int = 200, hangs: bool = False) -> None:
        self.requests: list[Any] = []
        #: The headers and the bodies of all requests, as they came.
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._leave = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.raw.append(bytes(self.headers) + body)
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                if hangs:
                    collector._leave.wait(120)
                collector.requests.append(_KINDS[self.path].FromString(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.address}"}

    @property
    def spans(self) -> list[Any]:
        """All spans, in the order in which they came."""
        return [
            span
            for request in self.requests
            if isinstance(request, ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Any]:
        """The attributes of what sent the first spans."""
        request = next(one for one in self.requests if isinstance(one, ExportTraceServiceRequest))
        return attributes(request.resource_spans[0].resource)

    def points(self, name: str) -> list[Any]:
        """The data points of the histogram `name`, and its unit with each."""
        return [point for metric in self._metrics() if metric.name == name for point in metric.histogram.data_points]

    def units(self) -> dict[str, str]:
        """Metric → unit."""
        return {metric.name: metric.unit for metric in self._metrics()}

    def _metrics(self) -> Iterator[Any]:
        for request in self.requests:
            if isinstance(request, ExportMetricsServiceRequest):
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        yield from scope.metrics


def attributes(owner: Any) -> dict[str, Any]:
    """The attributes of a span, an event, a resource or a data point, as plain values."""
    return {one.key: _plain(one.value) for one in owner.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind)
