"""Spans, as a real collector receives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.databases import sqlite_url
from tests.support.serving import serving


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Its URL, and the requests that it has received."""
    sent: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def decode_spans(sent: list[bytes]) -> list[Span]:
    exports = [ExportTraceServiceRequest.FromString(one) for one in sent]
    return [
        span
        for export in exports
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_each_request_is_a_span_in_its_callers_trace(tmp_path: Path) -> None:
    with collector() as (url, sent):
        settings = {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
            ann = server.person()
            ann.add("a secret title")
            trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
            ann.api.get("/api/tasks?q=secret", headers={"traceparent": f"00-{trace}-{parent}-01"})
        # The server sends them before it ends.
        added, listed = sorted(decode_spans(sent), key=lambda span: span.start_time_unix_nano)
        assert (added.name, listed.name) == ("POST /api/tasks", "GET /api/tasks")
        assert (listed.trace_id.hex(), listed.parent_span_id.hex()) == (trace, parent)
        assert added.trace_id.hex() != trace
        assert added.start_time_unix_nano < added.end_time_unix_nano < listed.start_time_unix_nano
        attributes = {one.key: one.value for one in listed.attributes}
        assert attributes["http.response.status_code"].int_value == 200
        whole = b"".join(sent)
        for secret in ("secret", ann.user_id, ann.token):
            assert secret.encode() not in whole
