"""Answers as ASGI sends them. Litestar's own Response takes as long to make as all the rest of a request's way."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

from litestar.types import Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


class Reply:
    """An answer at once."""

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self._status = status
        self._headers = headers
        self._body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = self._headers
        if self._status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers = [*headers, (b"content-length", b"%d" % len(self._body))]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class StreamedReply:
    """A 200 whose body is sent part by part, as fast as the client takes it."""

    def __init__(self, headers: Headers, parts: AsyncGenerator[bytes, None]) -> None:
        self._headers = headers
        self._parts = parts

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self._headers})
        gone = asyncio.create_task(_disconnected(receive))
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    if gone.done():  # a server takes what is sent then, and sends it to nobody
                        return
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
