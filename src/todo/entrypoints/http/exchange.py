"""A request and its answer, as the server's protocol sends it."""

import asyncio
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from todo.entrypoints.http import problems

_WITHOUT_BODY = (204, 304)


@cache
def status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {problems.phrase(status)}".encode()


class Row:
    """Answers that wait for the event loop's next turn, to be written one behind the other.

    While many are served at once that saves a tenth of a request's time on the processor, for whoever is awake need not
    be woken for what comes next. Few need not wait for it.
    """

    LONG = 16 * 1024
    """Bytes of what is written at once, so that the transport can say when the client takes no more."""
    MANY = 8
    """Requests at once."""

    def __init__(self, served: Collection[Any]) -> None:
        self._served = served
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, answer: bytes) -> None:
        if len(self._served) <= self.MANY or len(answer) > self.LONG:
            transport.write(answer)
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, answer))

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, answer in waiting:
            if not transport.is_closing():
                transport.write(answer)


class Exchange(RequestResponseCycle):
    """A request and its answer, whose head is written with the beginning of its body.

    uvicorn's takes a tenth of a request's time to look at each header, and to write head and body by themselves. That
    headers hold together is the application's to see to; that none breaks out of its line is seen to here.
    """

    _head = b""

    def __init__(self, row: Row, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._row = row

    async def receive(self) -> Any:
        """As uvicorn's, which reads on even if all of this request is there: what comes then is another's."""
        if self.more_body or self._is_over():
            return await super().receive()
        await self.message_event.wait()
        self.message_event.clear()
        if self._is_over():
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _is_over(self) -> bool:
        return self.disconnected or self.response_complete

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], message["headers"])
        elif message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            self._write(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} has no place here.")

    def _begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [status_line(status), *map(b": ".join, headers), *map(b": ".join, self.default_headers)]
        known = dict(headers)
        self.chunked_encoding = not (
            b"content-length" in known or status in _WITHOUT_BODY or self.scope["method"] == "HEAD"
        )
        if self.chunked_encoding:
            lines.append(b"transfer-encoding: chunked")
        elif self.scope["method"] != "HEAD":
            self.expected_content_length = int(known.get(b"content-length", 0))
        if known.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        lines += b"", b""
        head = b"\r\n".join(lines)
        if head.count(b"\n") >= len(lines):
            raise RuntimeError("A header breaks out of its line.")
        self._head = head

    def _write(self, body: bytes, *, is_last: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self.chunked_encoding:
            body = b"%b%b" % (b"%x\r\n%b\r\n" % (len(body), body) if body else b"", b"0\r\n\r\n" if is_last else b"")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (is_last and self.expected_content_length):
                raise RuntimeError("The body is not as long as its head says.")
        answer, self._head = self._head + body, b""
        if not is_last:
            self.transport.write(answer)
            return
        self.response_complete = True
        self.message_event.set()
        self._row.write(self.transport, answer)
        self.on_response()  # which ends the connection where that is to be
