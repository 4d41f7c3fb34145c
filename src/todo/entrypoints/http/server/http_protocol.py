"""HTTP/1.1 for uvicorn: what a client sends is parsed by httptools, and each client has bounds of time and size.

uvicorn's own protocol lets clients stall, send without end, and not read their responses. It takes another one by its
setting ``http``; all that this module assumes of uvicorn is that call, ``ServerState`` and ``shutdown()``.
"""

import asyncio
import logging
import re
from collections import deque
from typing import Any
from uuid import uuid4

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from todo.entrypoints.http import problems
from todo.entrypoints.http.server import limits
from todo.entrypoints.http.server.flow_control import FlowControl, WriteBatch
from todo.entrypoints.http.server.request_cycle import RequestCycle, format_status_line, make_scope

logger = logging.getLogger("todo.http")

_HEAD = re.compile(rb"[A-Z]+ .*?\r\n\r\n", re.DOTALL)
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)

_NOT_HTTP = "This is not a valid HTTP/1.1 request."

_batch = WriteBatch()


class HttpProtocol(asyncio.Protocol):
    """A connection. What is not HTTP is answered with a problem document; Upgrade is ignored (RFC 9110, section 7.8).

    httptools takes the body of a request that asks for an upgrade for the next protocol's data, and some clients offer
    h2c with their first request. So the header is renamed in a head that comes in one piece at the start of what is
    received, as those clients send it. Of any other the body is lost, and the connection ends with its response: what
    comes next would be taken for a request.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app = config.loaded_app
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._hosts = 0  # Host fields of the request
        self._expects_100_continue = False
        self._is_in_head = False
        self._receiving_since: float | None = None  # when the request began that is still incomplete
        self._received = self._chunk = 0  # bytes of that request, and bytes that came last
        self._newest: RequestCycle | None = None  # the request that is received, or was last
        self._served: RequestCycle | None = None
        self._pipeline: deque[RequestCycle] = deque()
        """Requests that wait behind the one that is served, the oldest first."""
        self._held: RequestCycle | None = None
        """A request that is served once the client has read the responses before it: it would occupy a slot."""
        self._rejection: tuple[int, str] | None = None  # by a callback of the parser
        self._refusal: tuple[int, str] | None = None  # of a request, to be sent once those before it are answered
        self._is_shutting_down = False
        self._ended_at: float | None = None  # when the last response was sent
        self._unread, self._stuck_since = 0, 0.0
        """Bytes that the client had not read at the last check, and since when it reads nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as of any TCP server
        self._transport = transport
        self._flow = FlowControl(transport)
        # A client that has left already has no address.
        named = {"server": transport.get_extra_info("sockname"), "client": transport.get_extra_info("peername")}
        self._addresses = {name: tuple(found[:2]) if found else None for name, found in named.items()}
        self._server_state.connections.add(self)  # type: ignore[arg-type] # it asks for shutdown() alone
        self._idle_since = self._loop.time()
        self._timer = self._loop.call_later(limits.CHECK_INTERVAL, self._check_timeouts)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._server_state.connections.discard(self)
        self._timer.cancel()
        self._flow.resume_writing()
        for cycle in (self._newest, self._served):
            if cycle is not None and not cycle.is_complete:
                cycle.disconnect()

    def pause_writing(self) -> None:
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        self._flow.resume_writing()
        if self._held is not None and not self._transport.is_closing():
            held, self._held = self._held, None
            self._run(held)

    def data_received(self, data: bytes) -> None:
        if self._ended_at is not None:
            return
        if b"upgrade:" in data.lower():
            head = _HEAD.match(data)
            if head is not None:
                data = _UPGRADE.sub(b"ignored", head[0]) + data[head.end() :]
        # The parser skips spaces. Only looked for where a request begins, as all but pipelined ones do.
        if self._receiving_since is None and b"  " in data[: data.find(b"\r\n")]:
            self._refuse(400, _NOT_HTTP)
            return
        self._chunk = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            if self._is_in_head and len(self._headers) == limits.MAX_FIELDS:
                self._refuse_length()
            else:
                self._refuse(*(self._rejection or (400, _NOT_HTTP)))
            return
        if self._receiving_since is not None:
            self._received += len(data)
            if self._received > (limits.MAX_HEAD if self._is_in_head else limits.MAX_MESSAGE):
                self._refuse_length()

    def on_message_begin(self) -> None:
        self._receiving_since = self._loop.time()
        self._received, self._is_in_head = -self._chunk, True  # how much of that is its own, only the parser knows
        self._url, self._headers, self._hosts, self._expects_100_continue = b"", [], 0, False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer field is none of the head's (RFC 9110, section 6.5.1)
        if len(self._headers) == limits.MAX_FIELDS:
            raise httptools.HttpParserError("too many fields")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_100_continue = True
        elif name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self._reject(501, "The only transfer coding that is understood here is chunked.")  # RFC 9112, section 6.1
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self._pipeline) == limits.MAX_PIPELINED:
            raise httptools.HttpParserError("too many pipelined requests")
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._reject(*((400, _NOT_HTTP) if version == "0.9" else (505, "Send the request by HTTP/1.1.")))
        if version == "1.1" and self._hosts != 1:
            self._reject(400, "A request has one Host field.")  # RFC 9112, section 3.2
        scope = make_scope(self._parser, self._url, self._headers, self._config.root_path)
        scope |= {"state": self._app_state.copy(), **self._addresses}
        before, self._is_in_head = self._newest, False
        self._newest = RequestCycle(
            scope,
            self._transport,
            self._flow,
            _batch,
            self._server_state.default_headers,
            expects_100_continue=self._expects_100_continue,
            keep_alive=version != "1.0"
            and not self._is_shutting_down
            and self._parser.should_keep_alive()
            and not self._parser.should_upgrade(),
            on_complete=self._on_complete,
        )
        if before is None or before.is_complete:
            self._serve(self._newest)
        else:
            self._flow.pause_reading()
            self._pipeline.append(self._newest)

    def _reject(self, status: int, detail: str) -> None:
        """For the parser's callbacks, which can only raise."""
        self._rejection = status, detail
        raise httptools.HttpParserError(detail)

    def on_body(self, body: bytes) -> None:
        assert self._newest is not None
        if not self._newest.is_complete and self._newest.feed_body(body) > limits.MAX_UNREAD_BODY:
            self._flow.pause_reading()

    def on_message_complete(self) -> None:
        assert self._newest is not None
        self._receiving_since = None
        self._newest.feed_end()

    def _serve(self, cycle: RequestCycle) -> None:
        self._served = cycle
        if self._is_shutting_down:
            cycle.end_stream()
        if self._flow.is_writable:
            self._run(cycle)
        else:
            self._held = cycle

    def _run(self, cycle: RequestCycle) -> None:
        task = self._loop.create_task(cycle.run(self._app))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _on_complete(self) -> None:
        self._server_state.total_requests += 1
        if self._transport.is_closing():
            return
        if self._served is not None and not self._served.keep_alive:
            self._end()
            return
        self._idle_since = now = self._loop.time()
        if not self._flow.is_reading and self._receiving_since is not None:
            self._receiving_since = now  # it was not the client who delayed the next request
        is_last = not self._pipeline
        if not is_last:
            self._serve(self._pipeline.popleft())
        if self._refusal is not None:
            self._refuse(*self._refusal)
        elif is_last:
            self._flow.resume_reading()

    def shutdown(self) -> None:
        """The next response is the last. To close idle connections at once could lose requests on their way."""
        self._is_shutting_down = True
        if self._served is not None:
            self._served.end_stream()
        last = self._pipeline[-1] if self._pipeline else self._served
        if last is not None:
            last.keep_alive = False
        self._timer.cancel()
        self._timer = self._loop.call_later(limits.SHUTDOWN_DELAY, self._check_timeouts)

    def _check_timeouts(self) -> None:
        now, unread = self._loop.time(), self._flow.count_unread()
        if unread != self._unread:
            self._unread, self._stuck_since = unread, now
        if unread and now - self._stuck_since > limits.REQUEST_TIMEOUT:
            self._transport.abort()
        elif self._transport.is_closing():
            pass  # the rest is still sent, to a client that reads it
        elif self._ended_at is not None:
            if not unread and (self._is_shutting_down or now - self._ended_at > limits.LINGER_TIMEOUT):
                self._transport.close()
        elif self._receiving_since is not None and self._flow.is_reading:
            if now - self._receiving_since > limits.REQUEST_TIMEOUT:
                self._refuse(
                    408, f"The request did not come whole within {limits.REQUEST_TIMEOUT} seconds; send it again."
                )
        elif (
            (self._newest is None or self._newest.is_complete)
            and (self._is_shutting_down or now - self._idle_since > self._config.timeout_keep_alive)
            and not self._flow.has_unread_input()  # a request that has just come is still answered
        ):
            _batch.flush()
            self._transport.close()
        self._timer = self._loop.call_later(limits.CHECK_INTERVAL, self._check_timeouts)

    def _refuse_length(self) -> None:
        if self._is_in_head:
            self._refuse(431, limits.HEAD_TOO_LONG)
        else:
            self._end()

    def _refuse(self, status: int, detail: str) -> None:
        """Answers in place of the application, once the requests before are answered, and ends the connection."""
        served = self._served
        is_served = served is self._newest and self._receiving_since is not None and not self._is_in_head
        if served is not None and not served.is_complete and not is_served:
            self._refusal = status, detail
            self._flow.pause_reading()
            return
        _batch.flush()
        if served is None or not (is_served and served.is_started):
            request_id = uuid4().hex
            logger.warning("request %s was refused before it was complete: %d, %s", request_id, status, detail)
            _, headers, body = problems.render(problems.InvalidRequest(detail, status=status))
            added = [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
            lines = [format_status_line(status), *map(b": ".join, [*headers, *added]), b"", body]
            self._transport.write(b"\r\n".join(lines))
        self._end()

    def _end(self) -> None:
        """Nothing more is answered. What the client still sends is dropped until it had time to read: a socket that is
        closed over unread bytes resets the connection, which can destroy the response (RFC 9112, section 9.6)."""
        _batch.flush()
        self._ended_at = self._loop.time()
        self._receiving_since = self._held = None
        if self._served is not None and not self._served.is_complete:
            self._served.disconnect()
        self._pipeline.clear()
        if not self._transport.is_closing():  # the client may just have gone
            self._transport.write_eof()
            self._flow.resume_reading()
