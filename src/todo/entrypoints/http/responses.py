"""Responses as ASGI applications. Litestar's own Response takes 45 µs to make, as long as half of all the rest."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeVar

from litestar.types import Receive, Scope, Send

from todo.domain.task import Task
from todo.entrypoints.http.compression import MIN_LENGTH, compress
from todo.entrypoints.http.problems import Headers
from todo.http_contract.documents import encode_task
from todo.http_contract.entity_tags import format_task_etag

T = TypeVar("T")

JSON = (b"content-type", b"application/json")

# A task is its owner's: no shared cache keeps it, and a browser asks again before it shows it to whoever signed in.
CACHE = (b"cache-control", b"private, no-cache")
TASK_HEADERS: Headers = [CACHE, (b"vary", b"Authorization")]
LIST_HEADERS: Headers = [CACHE, (b"vary", b"Accept-Encoding, Authorization")]

_WITHOUT_BODY = (204, 304)


class BytesResponse:
    """Its body is at hand."""

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self._status = status
        self._headers = headers
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = self._headers
        if self._status not in _WITHOUT_BODY:
            headers = [*headers, (b"content-length", b"%d" % len(self._body))]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def respond_with(task: Task, status: int = 200, more: Sequence[tuple[bytes, bytes]] = ()) -> BytesResponse:
    etag = (b"etag", format_task_etag(task.revision).encode())
    return BytesResponse(status, [JSON, etag, *TASK_HEADERS, *more], encode_task(task))


async def respond_with_list(body: bytes, headers: Headers, etag: str | None, *, is_compressed: bool) -> BytesResponse:
    """``is_compressed``: whether the client takes that; short bodies never are."""
    is_compressed &= len(body) >= MIN_LENGTH
    if is_compressed:
        body = b"".join([part async for part in compress(_once(body))])
    return BytesResponse(200, [JSON, *LIST_HEADERS, *headers, *entity_headers(etag, is_compressed=is_compressed)], body)


async def respond_with_parts(
    http_version: str, parts: AsyncGenerator[bytes, None], etag: str | None, *, is_compressed: bool
) -> "BytesResponse | StreamingResponse":
    """A list that is sent as it is read."""
    if is_compressed:
        parts = compress(parts)
    headers = [JSON, *LIST_HEADERS, *entity_headers(etag, is_compressed=is_compressed)]
    if http_version == "1.0":  # which has no chunks
        return BytesResponse(200, headers, b"".join([part async for part in parts]))
    return StreamingResponse(headers, parts)


async def take_turns(long_reads: asyncio.Semaphore, pages: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The pages, each read only when it is its turn among all long reads."""
    async with aclosing(pages):
        while True:
            async with long_reads:
                page = await anext(pages, None)
            if page is None:
                return
            yield page


def entity_headers(etag: str | None, *, is_compressed: bool) -> Headers:
    """A weak tag for what is compressed: it is not the same bytes (RFC 9110, section 8.8.1)."""
    tag = [] if etag is None else [(b"etag", (f"W/{etag}" if is_compressed else etag).encode())]
    return [*tag, (b"content-encoding", b"gzip")] if is_compressed else tag


async def _once(part: bytes) -> AsyncIterator[bytes]:
    yield part


class StreamingResponse:
    """A 200 whose body is sent part by part, as fast as the client reads it."""

    def __init__(self, headers: Headers, parts: AsyncGenerator[bytes, None]) -> None:
        self._headers = headers
        self._parts = parts

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        disconnected = asyncio.create_task(wait_for_disconnect(receive))
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    if disconnected.done():  # a server accepts what is sent then, and drops it
                        return
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            disconnected.cancel()


def respond_to_head(headers: Headers) -> StreamingResponse:
    """Where GET streams: without the length of a body that nobody has made (RFC 9110, section 8.6)."""

    async def send_nothing() -> AsyncGenerator[bytes, None]:
        return
        yield

    return StreamingResponse(headers, send_nothing())


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
