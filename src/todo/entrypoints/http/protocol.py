"""HTTP/1.1 as uvicorn has it, but for what it would let a client do to us before the application sees anything: stall,
send without end, not take its answers."""

import asyncio
import logging
import re
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import unquote
from uuid import uuid4
from weakref import WeakKeyDictionary

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from todo.entrypoints.http import problems
from todo.entrypoints.http.exchange import Exchange, Row, status_line

if sys.platform != "win32":  # which tells less of its sockets
    from fcntl import ioctl
    from termios import TIOCOUTQ

logger = logging.getLogger("todo.http")

LOOK = 2
"""Seconds between two looks at what a client does."""

REST = 5
"""Seconds that a connection is kept for the next request."""

LAST_CALL = 0.5
"""Seconds in which a request that is on its way to a server that stops is still answered."""

SLOW = 30
"""Seconds that a client may take to send a request whole, or not take anything of what is sent."""

FIELDS = 100
"""The most that a head has: each takes much more memory than its bytes."""

HEAD_LENGTH, MESSAGE_LENGTH = 64 * 1024, 1024 * 1024
"""The most bytes of a request that are read, behind those it begins with: of its head, and of all of it. What the
application reads of a body has a bound of its own."""

PIPELINED = 1000
"""The most requests of a connection that wait behind the one that is served."""

LINGER = 2
"""Seconds for which a client may send on behind its last answer."""

_HEAD = re.compile(rb"[A-Z]+ .*?\r\n\r\n", re.DOTALL)
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)


_rows: "WeakKeyDictionary[ServerState, Row]" = WeakKeyDictionary()


class Protocol(HttpToolsProtocol):
    """What is no HTTP is answered with a problem document; an Upgrade is ignored (RFC 9110, section 7.8).

    httptools takes the body of a request that asks for an upgrade for the next protocol's data; some clients offer h2c
    with their first request. What is mended is a head that comes in one piece at the start of what is received, as
    those clients send it. Of any other the body is lost, and so the connection ends with its answer: else what comes
    next would be taken for a request.

    Clients have their time, and a connection looks at its own now and then: uvicorn starts a timer for every request,
    and has one for those at rest alone.
    """

    _receiving_since: float | None = None
    _arrived = 0
    """Bytes that came last."""
    _received = 0
    """Bytes that came since a request began, and before it is whole."""
    _is_in_head = False
    _stuck_since = 0.0
    _untaken_before = 0
    _served: RequestResponseCycle | None = None
    _held: tuple[RequestResponseCycle, ASGI3Application] | None = None
    """A request that is served once the client has taken the answers before it: until then it would take a place."""
    _refused: tuple[int, str] | None = None
    """A request that is refused once those before it are answered."""
    _is_ending = False
    _ended_at: float | None = None
    """When the last answer was sent."""
    _at_rest_since = 0.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._row = _rows.setdefault(server_state, Row(server_state.tasks))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # asyncio's own types say less
        self._at_rest_since = self.loop.time()
        self._look = self.loop.call_later(LOOK, self._judge_client)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)  # which tells the newest request alone
        self._leave_served()

    def _leave_served(self) -> None:
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._ended_at is not None:
            return
        if b"upgrade:" in data.lower():
            head = _HEAD.match(data)
            if head is not None:
                data = _UPGRADE.sub(b"ignored", head[0]) + data[head.end() :]
        self._arrived = len(data)
        super().data_received(data)
        if self._receiving_since is not None:
            self._received += len(data)
            if self._received > (HEAD_LENGTH if self._is_in_head else MESSAGE_LENGTH):
                self._cut_off()

    def on_message_begin(self) -> None:
        self._receiving_since = self.loop.time()
        self._received, self._is_in_head = -self._arrived, True  # how much of that is its own, only the parser knows
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer's field, which is none of the head's (RFC 9110, section 6.5.1)
        if len(self.headers) == FIELDS:
            raise httptools.HttpParserError("too many fields")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """As uvicorn's, but for WebSockets and its own bound on requests."""
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        if len(self.pipeline) == PIPELINED:
            raise httptools.HttpParserError("too many requests at once")
        before: RequestResponseCycle | None = self.cycle
        self.cycle = Exchange(
            self._row,
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0"
            and not self._is_ending
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade(),
            on_response=self.on_response_complete,
        )
        self._is_in_head = False
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        if self.flow.write_paused:
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held is not None and not self.transport.is_closing():
            held, self._held = self._held, None
            super()._start_asgi_task(*held)

    def on_message_complete(self) -> None:
        self._receiving_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but for its timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._served is not None and not self._served.keep_alive:
            self._end()
            return
        self._at_rest_since = now = self.loop.time()
        if self.flow.read_paused and self._receiving_since is not None:
            self._receiving_since = now  # it was not the client who held up the next request
        is_last = not self.pipeline
        if not is_last:
            self._start_asgi_task(*self.pipeline.pop())
        if self._refused is not None:
            self._refuse(*self._refused)
        elif is_last:
            self.flow.resume_reading()

    def shutdown(self) -> None:
        """The next answer is the last. uvicorn would close what is at rest at once, and lose what is on its way."""
        self._is_ending = True
        last = self.pipeline[0][0] if self.pipeline else self._served
        if last is not None:
            last.keep_alive = False
        self._look.cancel()
        self._look = self.loop.call_later(LAST_CALL, self._judge_client)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says it for a person
        if self._is_in_head and len(self.headers) == FIELDS:
            self._cut_off()
        else:
            self._refuse(400, "This is not a valid HTTP/1.1 request.")

    def _cut_off(self) -> None:
        if self._is_in_head:
            most = f"{HEAD_LENGTH // 1024} KiB, or has more than {FIELDS} fields"
            self._refuse(431, f"The request's head is longer than {most}; send fewer headers.")
        else:
            self._end()

    def _judge_client(self) -> None:
        now, untaken = self.loop.time(), self._untaken()
        if untaken != self._untaken_before:
            self._untaken_before, self._stuck_since = untaken, now
        cycle: RequestResponseCycle | None = self.cycle
        is_answered = cycle is None or cycle.response_complete
        if untaken and now - self._stuck_since > SLOW:
            self.transport.abort()
        elif self.transport.is_closing():
            pass  # what is left is still sent, to a client that takes it
        elif self._ended_at is not None:
            if not untaken and (self._is_ending or now - self._ended_at > LINGER):
                self.transport.close()
        elif self._receiving_since is not None and not self.flow.read_paused:
            if now - self._receiving_since > SLOW:
                self._refuse(408, f"The request did not come whole within {SLOW} seconds; send it again.")
        elif is_answered and (self._is_ending or now - self._at_rest_since > REST):
            self._row.flush()
            self.transport.close()
        self._look = self.loop.call_later(LOOK, self._judge_client)

    def _untaken(self) -> int:
        """Bytes of answers that the client has not acknowledged: those that wait here, and those that wait in the
        kernel, which takes megabytes before it lets any wait here."""
        waiting: int = self.transport.get_write_buffer_size()
        connected = self.transport.get_extra_info("socket")
        if sys.platform != "win32" and connected is not None:
            with suppress(OSError):  # it has just been closed
                waiting += int.from_bytes(ioctl(connected.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
        return waiting

    def _refuse(self, status: int, detail: str) -> None:
        """With what the application would send, had it seen the request; and the connection ends. What came before the
        request is answered first."""
        served = self._served
        is_of_served = served is self.cycle and self._receiving_since is not None and not self._is_in_head
        if served is not None and not served.response_complete and not is_of_served:
            self._refused = status, detail
            self.flow.pause_reading()
            return
        self._row.flush()
        if served is None or not (is_of_served and served.response_started):
            request_id = uuid4().hex
            logger.warning("request %s was refused before it was whole: %d", request_id, status)
            _, body, _ = problems.render(problems.InvalidRequest(detail, status=status))
            head = (
                f"{status_line(status).decode()}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self._end()

    def _end(self) -> None:
        """Nothing more is answered. What the client still sends is dropped until it had time to read: a socket that is
        closed over unread bytes resets the connection, which can take the answer from it (RFC 9112, section 9.6)."""
        self._row.flush()
        self._ended_at = self.loop.time()
        self._receiving_since = None
        self._leave_served()
        self._held = None
        self.pipeline.clear()
        if not self.transport.is_closing():  # its client may just have gone
            self.transport.write_eof()
            self.flow.resume_reading()
