"""The same bytes, given to our HTTP protocol and to uvicorn's own, get the same responses.

Intended differences: uvicorn is less strict (STRICTER), takes trailers for headers, and sends the 400 for what is not
HTTP at once, even before the responses to earlier requests. Ours comes in order (RFC 9112, section 9.3.2), and not at
all if an earlier response ends the connection, or if the request with the broken body already has its response.
Upgrades, limits and timeouts have tests of their own.
"""

import asyncio
import json
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from todo.entrypoints.http.server.http_protocol import HttpProtocol

IDLE_TURNS = 60  # of the event loop, after which nothing more is written


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
    """Returns the request as JSON; at /early without reading its body, at /parts in chunks."""
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    request = {name: scope[name] for name in ("method", "http_version", "path", "raw_path", "query_string", "headers")}
    document = json.dumps({**request, "body": body}, default=lambda value: value.decode("latin-1")).encode()
    headers = [(b"x-method", scope["method"].encode())]
    if scope["path"] == "/parts":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in (document[:20], b"", document[20:]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"] == "/close":
        headers.append((b"connection", b"close"))
    headers.append((b"content-length", b"%d" % len(document)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": document})


class Response(NamedTuple):
    status: int
    connection: bytes = b""
    headers: list[list[str]] | None = None  # of the request
    rest: Any = None  # of the request


class Exchange(NamedTuple):
    responses: list[Response]
    is_closed: bool


def parse(written: bytes) -> list[Response]:
    responses = []
    while written:
        head, _, written = written.partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        status = int(status_line.split(b" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        if status == 100:
            responses.append(Response(status))
            continue
        body = b""
        if headers.get(b"x-method") == b"HEAD":
            pass
        elif b"content-length" in headers:
            length = int(headers[b"content-length"])
            body, written = written[:length], written[length:]
            assert len(body) == length
        else:
            size = 1
            while size:
                line, _, written = written.partition(b"\r\n")
                size = int(line, 16)
                chunk, end, written = written[:size], written[size : size + 2], written[size + 2 :]
                assert end == b"\r\n"
                body += chunk
        if status >= 400:
            responses.append(Response(status))
        else:
            rest = json.loads(body) if body else None
            responses.append(
                Response(status, headers.get(b"connection", b""), rest.pop("headers") if rest else None, rest)
            )
    return responses


CONFIG = Config(echo, log_config=None, lifespan="off")
CONFIG.load()


async def exchange(protocol_class: type[Any], pieces: list[bytes]) -> Exchange:
    protocol, transport = protocol_class(config=CONFIG, server_state=ServerState(), app_state={}), MemoryTransport()
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.is_closed:
            protocol.data_received(piece)
            await asyncio.sleep(0)
    for _ in range(IDLE_TURNS):
        await asyncio.sleep(0)
    found = Exchange(parse(bytes(transport.written)), transport.is_closed)
    protocol.connection_lost(None)
    return found


def compare(pieces: list[bytes]) -> Exchange:
    """Ours, which is like uvicorn's but for the intended differences."""

    async def run() -> tuple[Exchange, Exchange]:
        return await exchange(HttpProtocol, pieces), await exchange(HttpToolsProtocol, pieces)

    ours, theirs = asyncio.run(run())
    responses, expected = list(ours.responses), list(theirs.responses)
    if expected and expected[-1].status == 400:
        expected.pop()
        if responses and responses[-1].status == 400:
            responses.pop()
        responses = responses[: len(expected)]
        assert ours.is_closed
    else:
        assert ours.is_closed == theirs.is_closed
    without_trailers = [
        response._replace(headers=response.headers and response.headers[: len(own.headers or ())])
        for response, own in zip(expected, responses, strict=True)
    ]
    assert responses == without_trailers
    return ours


STRICTER = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "an encoding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "another encoding": (b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br, chunked\r\n\r\n0\r\n\r\n", 501),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
}
"""What uvicorn takes, and RFC 9112 (sections 2.3, 3, 3.2 and 6.1) does not."""


@pytest.mark.parametrize(("request_bytes", "status"), STRICTER.values(), ids=STRICTER)
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_requests_that_break_rfc_9112_are_refused_and_end_the_connection(
    before: bytes, request_bytes: bytes, status: int
) -> None:
    pieces = [before, request_bytes] if before else [request_bytes]
    found = await exchange(HttpProtocol, pieces)
    assert [response.status for response in found.responses] == [200] * bool(before) + [status]
    assert found.is_closed


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n\r\n"
CORPUS = {
    "GET": (b"GET /a%20b?c=%64#e HTTP/1.1\r\n\r\n", [200]),
    "HEAD": (b"HEAD / HTTP/1.1\r\n\r\n" + GET, [200, 200]),
    "HEAD in parts": (b"HEAD /parts HTTP/1.1\r\n\r\n" + GET, [200, 200]),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET, [200]),
    "absolute URL": (b"GET http://x/a?b HTTP/1.1\r\n\r\n", [200]),
    "URL without a path": (b"GET http://x HTTP/1.1\r\n\r\n", [400]),
    "any server": (b"OPTIONS * HTTP/1.1\r\n\r\n", [200]),
    "URL that is not ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", [400]),
    "lines before": (b"\r\n\r\n" + GET, [200]),
    "pipelined": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n!" + GET + b"GET /parts HTTP/1.1\r\n\r\n", [200] * 3),
    "connection: close": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + GET, [200]),
    "closed by the application": (b"GET /close HTTP/1.1\r\n\r\n" + GET, [200]),
    "body": (b"POST / HTTP/1.1\r\nContent-Length: 005\r\n\r\nhello" + GET, [200, 200]),
    "body that is not read": (b"POST /early HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" + GET, [200, 200]),
    "incomplete body": (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", []),
    "chunks": (CHUNKED + b"5\r\nhello\r\nA;a=b;c\r\n0123456789\r\n00\r\n\r\n" + GET, [200, 200]),
    "trailers": (CHUNKED + b"1\r\n!\r\n0\r\nX: y\r\nExpect: 100-continue\r\nConnection: x\r\n\r\n" + GET, [200, 200]),
    "100-continue": (b"POST / HTTP/1.1\r\nexpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok", [100, 200]),
    "100-continue that is not needed": (b"GET /early HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", [200]),
    "another expectation": (b"GET / HTTP/1.1\r\nExpect: nonsense\r\n\r\n", [200]),
    "odd headers": (b"GET / HTTP/1.1\r\nX:\r\nX-_~!#$%&'*+.^`|: \t a \xff \t\r\n\r\n", [200]),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", [400]),
    "folded header": (b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", [400]),
    "NUL in a header": (b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", [400]),
    "header without a colon": (b"GET / HTTP/1.1\r\nX\r\n\r\n", [400]),
    "line feeds alone": (b"GET / HTTP/1.1\nHost: x\n\n", [400]),
    "another version": (b"GET / HTTP/3.0\r\n\r\n", [400]),
    "unknown method": (b"FOO / HTTP/1.1\r\n\r\n", [400]),
    "nonsense": (GET + b"nonsense\r\n\r\n", [200, 400]),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n!!", [400]),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [400],
    ),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", [400]),
    "huge length": (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", [400]),
    "chunk size that is no number": (CHUNKED + b"x\r\n", [400]),
    "chunk size with a prefix": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", [400]),
    "huge chunk size": (CHUNKED + b"ffffffffffffffffff\r\n", [400]),
    "chunk longer than its size": (CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", [400]),
    "length in a trailer": (CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n", [400]),
    "broken trailer": (CHUNKED + b"0\r\nX\r\n\r\n", [400]),
    "broken body that is not read": (CHUNKED.replace(b"/", b"/early", 1) + b"x\r\n", [400]),
}


def with_hosts(requests: bytes) -> bytes:
    return requests.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: x\r\n")


@pytest.mark.parametrize(("request_bytes", "statuses"), CORPUS.values(), ids=CORPUS)
def test_a_request_gets_the_same_response_whole_and_split_at_every_byte(
    request_bytes: bytes, statuses: list[int]
) -> None:
    request_bytes = with_hosts(request_bytes)
    assert [response.status for response in compare([request_bytes]).responses] == statuses
    for place in range(1, len(request_bytes)):
        compare([request_bytes[:place], request_bytes[place:]])
    compare([bytes([byte]) for byte in request_bytes])


METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"M-SEARCH", b"get"]
TARGETS = [b"/", b"/early", b"/parts", b"/close", b"/a b", b"*", b"x:1", b"?", b"/%00", b"//a"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/3.0"]
FIELDS = [
    b"X: a\n",
    b"X: a\rb\r\n",
    b": a\r\n",
    b"Connection: close\r\n",
    b"connection: Keep-Alive, close\r\n",
    b"Proxy-Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5 \r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: Chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
]
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"5 \r\nhello",
    b"\0",
    b"5\nhello\n0\n\n",
]


@st.composite
def request(draw: st.DrawFn) -> bytes:
    words = [draw(st.sampled_from(words)) for words in (METHODS, TARGETS, VERSIONS)]
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    return b" ".join(words) + b"\r\n" + b"".join(fields) + b"\r\n" + draw(st.sampled_from(BODIES))


VALID = [whole for whole, statuses in CORPUS.values() if 400 not in statuses]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(VALID) | request(), min_size=1, max_size=4), st.lists(st.integers(1, 400), max_size=3))
def test_any_requests_get_the_same_responses(requests: list[bytes], cuts: list[int]) -> None:
    whole = with_hosts(b"".join(requests))
    places = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    compare([whole[start:end] for start, end in pairwise(places)])
