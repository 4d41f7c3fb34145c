"""uvicorn's HTTP/1.1, but for three things that never reach the application."""

import asyncio
import re
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from todo.entrypoints.http import problems

_HEAD = re.compile(rb"[A-Z]+ .*?\r\n\r\n", re.DOTALL)
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)


class JoinedWrites:
    """A transport that writes once in a turn of the event loop: an answer's head and body in one go, and not in two.

    A write costs as much as a tenth of a short answer. What is long is written on at once, so that the transport
    can say when the client takes no more.
    """

    LONG = 16 * 1024
    """Bytes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        if len(data) > self.LONG:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class Protocol(HttpToolsProtocol):
    """What is no HTTP is answered with a problem document; an Upgrade is ignored (RFC 9110, section 7.8).

    httptools takes the body of a request that asks for an upgrade for the next protocol's data, and it is lost;
    some clients offer h2c with their first request. What is mended is a head that comes in one piece at the start of
    what is received, as those clients send it.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type] # it does what a transport does

    def data_received(self, data: bytes) -> None:
        if b"upgrade:" in data.lower():
            head = _HEAD.match(data)
            if head is not None:
                data = _UPGRADE.sub(b"ignored", head[0]) + data[head.end() :]
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says it for a person
        _, body, _ = problems.render(problems.InvalidRequest("This is not a valid HTTP/1.1 request."))
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {uuid4().hex}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
