"""Slow clients: a real server on a real socket, with shorter timeouts than usual."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import uvicorn

from tests.support.builders import a_task, add_task
from tests.support.serving import application, signed
from todo.adapters.memory import MemoryTaskStore
from todo.domain.task import UserId
from todo.entrypoints.http.server import limits
from todo.entrypoints.http.server.flow_control import FlowControl
from todo.entrypoints.http.server.http_protocol import HttpProtocol

HEAD = f"Host: x\r\nAuthorization: Bearer {signed()}\r\n"
GET = f"GET /api/tasks HTTP/1.1\r\n{HEAD}\r\n".encode()
NONSENSE = b"nonsense\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.002)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[uvicorn.Server]:
    monkeypatch.setattr(limits, "CHECK_INTERVAL", 0.02)
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.1)
    store = MemoryTaskStore()
    for _ in range(3000):
        await add_task(store, a_task(UserId("ann"), title="\U0001d11e" * 500))
    config = uvicorn.Config(application(store), http=HttpProtocol, log_level="critical", lifespan="off", port=0)
    config.timeout_keep_alive = 0.6  # type: ignore[assignment] # whole seconds would take longer
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
async def client(server: uvicorn.Server) -> AsyncIterator[Client]:
    address = server.servers[0].sockets[0].getsockname()
    # With a small buffer, so that the server is soon blocked by a client that does not read.
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, address)
    reader, writer = await asyncio.open_connection(sock=small)
    yield reader, writer
    writer.close()


async def test_an_incomplete_head_is_408_after_the_timeout(client: Client) -> None:
    reader, writer = client
    writer.write(GET[:-4])
    response = await reader.read()
    assert response.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"application/problem+json" in response
    assert b"send it again" in response


async def test_an_endless_head_is_431(client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    reader, writer = client
    writer.write(GET[:-2] + b"X-More: ")
    await wait_until(
        lambda: any(isinstance(one, HttpProtocol) and one._receiving_since for one in server.server_state.connections)
    )
    writer.write(b"x" * (limits.MAX_HEAD + 1))
    response = await reader.read()
    assert response.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
    assert b"application/problem+json" in response


async def test_many_pipelined_requests_are_not_a_long_one(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    server.config.timeout_keep_alive = 60
    reader, writer = client
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-More: " + b"x" * 1000 + b"\r\n\r\n"
    writer.write(live * 300 + live[:-2])
    for _ in range(300):
        await reader.readuntil(b'"ok"}')
    writer.write(b"\r\n")
    await reader.readuntil(b'"ok"}')


async def test_endless_trailers_end_the_connection(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    reader, writer = client
    chunked = f"POST /api/tasks HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    writer.write(chunked + b'e\r\n{"title": "x"}\r\n0\r\n')
    sent = 0
    while not writer.is_closing() and sent < 64:
        writer.write(b"X-More: " + b"x" * 65536 + b"\r\n")
        sent += 1
        with suppress(ConnectionError):
            await writer.drain()
    with suppress(ConnectionError):
        await reader.read()
    await wait_until(lambda: not server.server_state.connections)


async def test_a_trickling_body_is_408_after_the_timeout(client: Client, server: uvicorn.Server) -> None:
    reader, writer = client
    writer.write(f"POST /api/tasks HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n".encode())

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    response = await reader.read()
    trickling.cancel()
    assert response.startswith(b"HTTP/1.1 408 ")
    await wait_until(lambda: not server.server_state.tasks)


@pytest.mark.parametrize("sends_on", [True, False])
async def test_after_its_last_response_a_client_gets_a_moment_to_read_it(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, sends_on: bool
) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 60)
    reader, writer = client
    writer.write(NONSENSE)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    assert server.server_state.connections
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.1)
    while server.server_state.connections:
        if sends_on and not writer.is_closing():
            writer.write(GET)
        await asyncio.sleep(0.002)
    assert server.server_state.total_requests == 0


async def test_an_idle_connection_is_closed_and_one_in_use_is_not(client: Client) -> None:
    reader, writer = client
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 1:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)
    assert await reader.read() == b""


async def test_what_has_come_but_was_not_read_keeps_an_idle_connection_open() -> None:
    accepted: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

    class Unread(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as of TCP
            transport.pause_reading()
            accepted.put_nowait(transport)

    listening = await asyncio.get_running_loop().create_server(Unread, "127.0.0.1", 0)
    async with listening:
        _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        transport = await accepted.get()
        flow = FlowControl(transport)
        assert not flow.has_unread_input()
        writer.write(GET)
        await wait_until(flow.has_unread_input)
        transport.abort()
        writer.close()


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
async def test_a_client_that_does_not_read_is_disconnected(client: Client, server: uvicorn.Server, last: bytes) -> None:
    _, writer = client
    await wait_until(lambda: bool(server.server_state.connections))
    assert isinstance(writer.transport, asyncio.ReadTransport)
    writer.transport.pause_reading()  # as a client that is busy
    writer.write(GET[:-2] + last + b"\r\n")
    await wait_until(lambda: bool(server.server_state.tasks))
    await wait_until(lambda: not server.server_state.tasks and not server.server_state.connections)


async def test_a_client_that_does_not_read_occupies_no_slot_with_its_next_request(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    reader, writer = client
    assert isinstance(writer.transport, asyncio.ReadTransport)
    writer.transport.pause_reading()
    page = GET.replace(b"/api/tasks", b"/api/tasks?limit=1000")
    writer.write(page * 9 + page.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await wait_until(lambda: server.server_state.total_requests > 1)
    await wait_until(lambda: not server.server_state.tasks)
    assert server.server_state.total_requests < 10
    writer.transport.resume_reading()
    assert (await reader.read()).count(b"HTTP/1.1 200") == 10


async def test_a_client_that_reads_slowly_but_steadily_gets_everything(client: Client) -> None:
    reader, writer = client
    writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    received = b""
    while part := await reader.read(200_000):
        received += part
        await asyncio.sleep(0.02)
    assert received.endswith(b"]\r\n0\r\n\r\n")
    assert received.count(b'"id"') == 3000


async def test_responses_under_load_are_complete_and_in_the_order_of_the_requests(server: uvicorn.Server) -> None:
    """Responses are written in batches then; what ends a connection must not overtake them."""
    server.config.timeout_keep_alive = 60
    address = server.servers[0].sockets[0].getsockname()
    names = [b"x-request-id: %d" % number for number in range(4)]
    first, second, third, fourth = (
        f"GET /api/tasks?limit=1 HTTP/1.1\r\n{HEAD}".encode() + name + b"\r\n" for name in names
    )

    async def ask(last: bytes) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for request in (first, second, third):
            writer.write(request + b"\r\n")
            await asyncio.sleep(0)
        received = b""
        if last == NONSENSE:  # once all requests before it have a response
            while received.count(b"]") < 3:
                received += await reader.read(65536)
        writer.write(last)
        received += await reader.read()
        writer.close()
        places = [received.index(name) for name in names[: 3 if last == NONSENSE else 4]]
        assert places == sorted(places)
        assert received.count(b"HTTP/1.1 200") == len(places)
        assert received.count(b"HTTP/1.1 400") == 4 - len(places)
        assert received.endswith(b"}" if last == NONSENSE else b"]")

    await asyncio.gather(*(ask(last) for last in (NONSENSE, fourth + b"Connection: close\r\n\r\n") for _ in range(30)))


async def test_the_400_for_nonsense_does_not_get_into_the_response_before_it(client: Client) -> None:
    reader, writer = client
    writer.write(GET)
    received = await reader.readuntil(b"[")
    writer.write(NONSENSE)
    received += await reader.read()
    assert received.count(b"HTTP/1.1 200") == received.count(b"HTTP/1.1 400") == 1
    assert b"]\r\n0\r\n\r\nHTTP/1.1 400" in received


async def test_nonsense_sent_together_with_a_request_does_not_change_its_response(client: Client) -> None:
    reader, writer = client
    writer.write(GET.replace(b"/api/tasks", b"/health/live") + NONSENSE)
    received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}HTTP/1.1 400' in received


async def test_a_broken_body_is_refused_after_the_response_to_the_request_before_it(client: Client) -> None:
    reader, writer = client
    broken = f"POST /api/tasks HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nno length\r\n".encode()
    writer.write(GET.replace(b"/api/tasks", b"/health/live") + broken)
    received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}HTTP/1.1 400' in received


async def test_pipelined_requests_over_the_limit_are_not_accepted(client: Client, server: uvicorn.Server) -> None:
    reader, writer = client
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
    received = b""
    with suppress(ConnectionError):
        while part := await reader.read(65536):
            received += part
    assert received.count(b"HTTP/1.1 200") < 5000
    await wait_until(lambda: not server.server_state.connections)


async def test_pipelined_requests_of_a_disconnected_client_are_dropped(client: Client, server: uvicorn.Server) -> None:
    _, writer = client
    writer.write(GET * 3)
    await wait_until(lambda: bool(server.server_state.tasks))
    writer.transport.abort()
    await wait_until(lambda: not server.server_state.tasks and not server.server_state.connections)
