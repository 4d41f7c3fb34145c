"""OpenTelemetry: a span for each request, in the caller's trace. Loaded only where it is switched on.

OpenTelemetry's own settings, such as OTEL_EXPORTER_OTLP_ENDPOINT, say where spans are sent.
"""

from time import perf_counter, time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from todo.entrypoints.http.middleware import Served


class Tracing:
    def __init__(self) -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "todo"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("todo")
        self._extract_context = TraceContextTextMapPropagator().extract

    def __call__(self, served: Served) -> None:
        """Names and attributes follow OpenTelemetry's conventions for HTTP servers: of the path the route alone, and
        nothing of the query, which may contain a title."""
        began = time_ns() - int((perf_counter() - served.began) * 1e9)
        span = self._tracer.start_span(
            f"{served.method} {served.route}",
            context=self._extract_context({"traceparent": served.traceparent or ""}),
            kind=SpanKind.SERVER,
            start_time=began,
            attributes={
                "http.request.method": served.method,
                "http.route": served.route,
                "http.response.status_code": served.status,
                "todo.request_id": served.request_id,
            },
        )
        if served.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(began + int(served.seconds * 1e9))

    def close(self) -> None:
        self._provider.shutdown()
