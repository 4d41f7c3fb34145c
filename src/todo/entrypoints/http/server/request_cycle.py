"""One request and its response: the ASGI side of the HTTP protocol."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

import httptools

from todo.entrypoints.http.problems import get_phrase
from todo.entrypoints.http.server.flow_control import FlowControl, WriteBatch

_WITHOUT_BODY = (204, 304)
EVENT_STREAM = b"text/event-stream"


def make_scope(
    parser: httptools.HttpRequestParser, target: bytes, headers: list[tuple[bytes, bytes]], root_path: str
) -> dict[str, Any]:
    """The part of an ASGI scope that a request's head says. Raises HttpParserError if its target is no URL."""
    url = httptools.parse_url(target)
    path = url.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": parser.get_http_version(),
        "method": parser.get_method().decode("ascii"),
        "scheme": "http",
        "path": root_path + (unquote(path) if "%" in path else path),
        "raw_path": root_path.encode() + url.path,
        "root_path": root_path,
        "query_string": url.query or b"",
        "headers": headers,
    }


@cache
def format_status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {get_phrase(status)}".encode()


class RequestCycle:
    """Calls the application with a request, and writes what it sends: the head together with the start of the body,
    which saves a system call. That the headers are consistent is the application's responsibility; that none breaks
    out of its line is checked here."""

    def __init__(
        self,
        scope: dict[str, Any],
        transport: asyncio.Transport,
        flow: FlowControl,
        batch: WriteBatch,
        default_headers: Sequence[tuple[bytes, bytes]],
        *,
        expects_100_continue: bool,
        keep_alive: bool,
        on_complete: Callable[[], None],
    ) -> None:
        self.keep_alive = keep_alive
        self.is_started = False
        self.is_complete = False
        self.has_all_of_body = False  # whether the request has come whole
        self._scope = scope
        self._transport = transport
        self._flow = flow
        self._batch = batch
        self._default_headers = default_headers
        self._expects_100_continue = expects_100_continue
        self._on_complete = on_complete
        self._body = bytearray()
        self._received = asyncio.Event()
        self._is_disconnected = False
        self._is_endless = False  # a stream of events, which ends when the server does
        self._ends_streams = self._is_stopping = False
        self._head = b""
        self._is_chunked = False
        self._remaining = 0  # bytes of the response's body that Content-Length still promises

    async def run(self, app: Any) -> None:
        self._batch.active += 1
        try:
            await app(self._scope, self.receive, self.send)
        finally:
            self._batch.active -= not self._is_endless
            if not (self.is_complete or self._is_disconnected):
                self._transport.close()  # or the client would take what it got for the whole response

    def feed_body(self, body: bytes) -> int:
        """Returns how many bytes the application has not read yet."""
        self._body += body
        self._received.set()
        return len(self._body)

    def feed_end(self) -> None:
        self.has_all_of_body = True
        self._received.set()

    def disconnect(self) -> None:
        self._is_disconnected = True
        self._received.set()

    def end_stream(self) -> None:
        """Tells the application that its stream of events, if the response is or becomes one, has to end."""
        self._ends_streams = True
        if self._is_endless:
            self._is_stopping = True
            self._received.set()

    async def receive(self) -> dict[str, Any]:
        if self._expects_100_continue and not self._transport.is_closing():
            self._expects_100_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._is_over():
            if not self.has_all_of_body:  # what follows the body is another request's
                self._flow.resume_reading()
            await self._received.wait()
            self._received.clear()
        if self._is_over():
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self.has_all_of_body}

    async def send(self, message: Any) -> None:
        if not (self._flow.is_writable or self._is_disconnected):
            await self._flow.drain()
        if self._is_disconnected:
            return
        if message["type"] == "http.response.start" and not self.is_started:
            self._start(message["status"], message["headers"])
        elif message["type"] == "http.response.body" and self.is_started and not self.is_complete:
            self._write(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']}")

    def _is_over(self) -> bool:
        return self._is_disconnected or self.is_complete or self._is_stopping

    def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.is_started = True
        self._expects_100_continue = False
        lines = [format_status_line(status), *map(b": ".join, headers), *map(b": ".join, self._default_headers)]
        known = dict(headers)
        has_body = self._scope["method"] != "HEAD" and status not in _WITHOUT_BODY
        self._is_chunked = has_body and b"content-length" not in known
        if self._is_chunked:
            lines.append(b"transfer-encoding: chunked")
            self._is_endless = known.get(b"content-type") == EVENT_STREAM
            self._batch.active -= self._is_endless
            if self._ends_streams:
                self.end_stream()
        elif has_body:
            self._remaining = int(known[b"content-length"])
        if known.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        lines += b"", b""
        head = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
            self.is_started = False
            raise RuntimeError("a header has a control character in it")  # RFC 9110, section 5.5
        self._head = head

    def _write(self, body: bytes, *, is_last: bool) -> None:
        if self._scope["method"] == "HEAD":
            body = b""
        elif self._is_chunked:
            body = b"%b%b" % (b"%x\r\n%b\r\n" % (len(body), body) if body else b"", b"0\r\n\r\n" if is_last else b"")
        else:
            self._remaining -= len(body)
            if self._remaining < 0 or (is_last and self._remaining):
                raise RuntimeError("the body is not as long as Content-Length says")
        response, self._head = self._head + body, b""
        if not is_last:
            self._transport.write(response)
            return
        self.is_complete = True
        self._received.set()
        self._batch.write(self._transport, response)
        self._on_complete()
