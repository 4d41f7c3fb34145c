"""The same bytes in, given to our HTTP protocol and to uvicorn's own: the same statuses and bodies out.

Different on purpose: what is not HTTP is answered with a problem document in place of plain text, and after the
requests before it (RFC 9112, section 9.3.2); an offered upgrade is ignored; there are bounds. These have tests of
their own.
"""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from todo.entrypoints.http.server.http_protocol import HttpProtocol

TURNS = 60  # of the event loop, after which nothing more is written


class MemoryTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    request = {name: scope[name] for name in ("method", "http_version", "path")}
    seen = json.dumps(request | {"query": scope["query_string"].decode("latin-1"), "body": body.decode("latin-1")})
    headers = [(b"content-length", str(len(seen)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": seen.encode()})


async def exchange(kind: type[Any], chunks: list[bytes]) -> list[tuple[int, bytes]]:
    """Statuses and bodies of the responses. Of a 400 the status alone."""
    config = Config(echo, log_config=None, lifespan="off")
    config.load()
    protocol, transport = kind(config=config, server_state=ServerState(), app_state={}), MemoryTransport()
    protocol.connection_made(transport)
    for chunk in chunks:
        if not transport.is_closed:
            protocol.data_received(chunk)
            await asyncio.sleep(0)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    rest, responses = bytes(transport.written).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""), []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        is_head = b'"method": "HEAD"' in head
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        is_without_body = is_head or not rest or rest.startswith(b"HTTP/1.1 ")
        body, rest = (b"", rest) if is_without_body else (rest[:length], rest[length:])
        responses.append((status, body if status == 200 else b""))
    return responses


def compare(chunks: list[bytes]) -> None:
    async def run() -> None:
        ours, theirs = await exchange(HttpProtocol, chunks), await exchange(HttpToolsProtocol, chunks)
        if (400, b"") in theirs:  # at once, and what came before it may stay without an answer
            assert ours[-1] == theirs[-1] == (400, b"")
            assert ours[: len(theirs) - 1] == theirs[:-1]
        else:
            assert ours == theirs

    asyncio.run(run())


CORPUS = {
    "get": b"GET /a%20b?c=%64 HTTP/1.1\r\nHost: x\r\n\r\n",
    "head": b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n",
    "trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "close": b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    "pipelined": b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\n!"
    b"GET /3 HTTP/1.1\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n!!",
    "both": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nonsense": b"nonsense\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", CORPUS.values(), ids=CORPUS)
def test_a_request_is_answered_alike_whole_and_split_at_every_byte(request_bytes: bytes) -> None:
    compare([request_bytes])
    for place in range(1, len(request_bytes)):
        compare([request_bytes[:place], request_bytes[place:]])


TOKENS = st.sampled_from(
    [
        *CORPUS.values(),
        b"GET / HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"abc",
        b"\x00",
        b"HTTP/1.1",
    ]
)


@settings(max_examples=300)
@given(st.lists(TOKENS, min_size=1, max_size=5), st.lists(st.integers(1, 400), max_size=3))
def test_any_bytes_are_answered_alike(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    places = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    compare([whole[start:end] for start, end in pairwise(places)])
