"""A response's head, on a transport in memory."""

import asyncio
from typing import Any

import pytest

from tests.api.test_http_differential import MemoryTransport
from todo.entrypoints.http.server.flow_control import FlowControl, WriteBatch
from todo.entrypoints.http.server.request_cycle import RequestCycle


async def respond(headers: list[tuple[bytes, bytes]]) -> bytes:
    transport = MemoryTransport()
    cycle = RequestCycle(
        {"method": "GET"},
        transport,
        FlowControl(transport),
        WriteBatch(),
        [],
        expects_100_continue=False,
        keep_alive=True,
        on_complete=lambda: None,
    )

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    await cycle.run(app)
    return bytes(transport.written)


def test_the_head_is_written_with_the_body() -> None:
    written = asyncio.run(respond([(b"x-name", b"value")]))
    assert written == b"HTTP/1.1 200 OK\r\nx-name: value\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize("character", [b"\r", b"\n", b"\0", b"\r\n"])
@pytest.mark.parametrize("place", ["{}value", "va{}lue", "value{}"])
def test_a_header_with_a_control_character_is_never_sent(place: str, character: bytes) -> None:
    value = place.encode().replace(b"{}", character)
    for headers in ([(b"x-name", value)], [(value, b"x")]):
        with pytest.raises(RuntimeError, match="control character"):
            asyncio.run(respond(headers))
