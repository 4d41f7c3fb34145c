"""uvicorn's HTTP/1.1, but for what never reaches the application."""

import asyncio
import re
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import uuid4

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from todo.entrypoints.http import problems

if sys.platform != "win32":  # which tells less of its sockets
    from fcntl import ioctl
    from termios import TIOCOUTQ

LOOK = 2
"""Seconds between two looks at what a client does."""

REST = 5
"""Seconds that a connection is kept for the next request."""

LAST_CALL = 0.5
"""Seconds in which a request that is on its way to a server that stops is still answered."""

SLOW = 30
"""Seconds that a client may take to send a request whole, or not take anything of what is sent."""

_HEAD = re.compile(rb"[A-Z]+ .*?\r\n\r\n", re.DOTALL)
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)


class JoinedWrites:
    """A transport that keeps the head of an answer until its body begins, so that both go out in one system call.

    While many are served at once it also keeps what is short until the event loop's next turn, so that what wakes
    clients comes in rows: that takes a tenth of a request's time on the processor. Few need not wait for that.
    """

    LONG = 16 * 1024
    """Bytes of what is sent on at once, so that the transport can say when the client takes no more."""
    MANY = 8
    """Requests at once."""

    def __init__(self, transport: Any, served: Collection[Any]) -> None:
        self._transport = transport
        self._served = served
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        if len(data) > self.LONG:
            self.flush()

    def answered(self) -> None:
        if len(self._served) <= self.MANY:
            self.flush()

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """What is no HTTP is answered with a problem document; an Upgrade is ignored (RFC 9110, section 7.8).

    httptools takes the body of a request that asks for an upgrade for the next protocol's data, and it is lost;
    some clients offer h2c with their first request. What is mended is a head that comes in one piece at the start of
    what is received, as those clients send it.

    Clients have their time, and a connection looks at its own now and then: uvicorn starts a timer for every request,
    and has one for those at rest alone.
    """

    transport: Any
    _receiving_since: float | None = None
    _stuck_since = 0.0
    _untaken_before = 0
    _served: RequestResponseCycle | None = None
    _is_ending = False
    _at_rest_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(JoinedWrites(transport, self.tasks))  # type: ignore[arg-type] # it does what one does
        self._at_rest_since = self.loop.time()
        self._look = self.loop.call_later(LOOK, self._judge_client)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if b"upgrade:" in data.lower():
            head = _HEAD.match(data)
            if head is not None:
                data = _UPGRADE.sub(b"ignored", head[0]) + data[head.end() :]
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._receiving_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._is_ending:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        self._receiving_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but for its timer."""
        self.server_state.total_requests += 1
        self.transport.answered()
        if self.transport.is_closing():
            return
        self._at_rest_since = now = self.loop.time()
        if self.flow.read_paused and self._receiving_since is not None:
            self._receiving_since = now  # it was not the client who held up the next request
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        """The next answer is the last. uvicorn would close what is at rest at once, and lose what is on its way."""
        self._is_ending = True
        last = self.pipeline[0][0] if self.pipeline else self._served
        if last is not None:
            last.keep_alive = False
        self._look.cancel()
        self._look = self.loop.call_later(LAST_CALL, self._judge_client)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says it for a person
        self._refuse(400, "This is not a valid HTTP/1.1 request.")

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
        elif self._receiving_since is not None and not self.flow.read_paused:
            if now - self._receiving_since > SLOW:
                self._refuse(408, f"The request did not come whole within {SLOW} seconds; send it again.")
        elif is_answered and (self._is_ending or now - self._at_rest_since > REST):
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
        """With what the application would send, had it seen the request; and the connection ends."""
        served = self._served
        if served is None or served.response_complete or not (served.response_started or self.pipeline):
            _, body, _ = problems.render(problems.InvalidRequest(detail, status=status))
            head = (
                f"HTTP/1.1 {status} {problems.phrase(status)}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nx-request-id: {uuid4().hex}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
