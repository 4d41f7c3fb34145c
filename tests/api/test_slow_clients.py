"""Clients that take their time: a real server on a real socket, with less patience than it has."""

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
from todo.entrypoints.http.server.http_protocol import HttpProtocol

HEAD = f"Host: x\r\nAuthorization: Bearer {signed()}\r\n"
GET = f"GET /api/tasks HTTP/1.1\r\n{HEAD}\r\n".encode()
NONSENSE = b"nonsense\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.002)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[uvicorn.Server]:
    monkeypatch.setattr(limits, "CHECK_INTERVAL", 0.02)
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(limits, "KEEP_ALIVE_TIMEOUT", 0.6)
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.1)
    store = MemoryTaskStore()
    for _ in range(3000):
        await add_task(store, a_task(UserId("ann"), title="\U0001d11e" * 500))
    config = uvicorn.Config(application(store), http=HttpProtocol, log_level="critical", lifespan="off", port=0)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
async def client(server: uvicorn.Server) -> AsyncIterator[Client]:
    address = server.servers[0].sockets[0].getsockname()
    # A small buffer, so that whoever does not read holds up the server soon.
    taking = socket.socket()
    taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    taking.setblocking(False)
    await asyncio.get_running_loop().sock_connect(taking, address)
    reader, writer = await asyncio.open_connection(sock=taking)
    yield reader, writer
    writer.close()


async def test_half_a_head_is_waited_for_no_longer_than_slow_clients_need(client: Client) -> None:
    reader, writer = client
    writer.write(GET[:-4])
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"application/problem+json" in answer
    assert b"send it again" in answer


async def test_a_head_without_an_end_is_cut_off_by_its_length(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    reader, writer = client
    writer.write(GET[:-2] + b"X-More: ")
    await until(
        lambda: any(isinstance(one, HttpProtocol) and one._receiving_since for one in server.server_state.connections)
    )
    writer.write(b"x" * (limits.MAX_HEAD + 1))
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
    assert b"application/problem+json" in answer


async def test_many_requests_in_one_piece_are_no_long_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    monkeypatch.setattr(limits, "KEEP_ALIVE_TIMEOUT", 60)
    reader, writer = client
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-More: " + b"x" * 1000 + b"\r\n\r\n"
    writer.write(live * 300 + live[:-2])
    for _ in range(300):
        await reader.readuntil(b'"ok"}')
    writer.write(b"\r\n")
    await reader.readuntil(b'"ok"}')


async def test_what_never_ends_behind_a_body_is_cut_off_by_its_length(
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
    await until(lambda: not server.server_state.connections)


async def test_a_body_that_never_ends_is_cut_off_however_it_trickles(client: Client, server: uvicorn.Server) -> None:
    reader, writer = client
    writer.write(f"POST /api/tasks HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n".encode())

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    answer = await reader.read()
    trickling.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    await until(lambda: not server.server_state.tasks)


@pytest.mark.parametrize("sends_on", [True, False])
async def test_behind_its_last_answer_a_client_has_a_moment_and_no_more(
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


async def test_a_connection_at_rest_is_closed_and_one_in_use_is_not(client: Client) -> None:
    reader, writer = client
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 1:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)
    assert await reader.read() == b""


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["keeping on", "the last"])
async def test_who_does_not_read_the_answer_is_cut_off(client: Client, server: uvicorn.Server, last: bytes) -> None:
    _, writer = client
    await until(lambda: bool(server.server_state.connections))
    assert isinstance(writer.transport, asyncio.ReadTransport)
    writer.transport.pause_reading()  # as a client that is busy with something else
    writer.write(GET[:-2] + last + b"\r\n")
    await until(lambda: bool(server.server_state.tasks))
    await until(lambda: not server.server_state.tasks and not server.server_state.connections)


async def test_who_does_not_take_an_answer_takes_no_place_with_the_next_request(
    client: Client, server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 60)
    reader, writer = client
    assert isinstance(writer.transport, asyncio.ReadTransport)
    writer.transport.pause_reading()
    page = GET.replace(b"/api/tasks", b"/api/tasks?limit=1000")
    writer.write(page * 9 + page.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await until(lambda: server.server_state.total_requests > 1)
    await until(lambda: not server.server_state.tasks)
    assert server.server_state.total_requests < 10
    writer.transport.resume_reading()
    assert (await reader.read()).count(b"HTTP/1.1 200") == 10


async def test_who_reads_slowly_but_steadily_gets_everything(client: Client) -> None:
    reader, writer = client
    writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    received = b""
    while part := await reader.read(200_000):
        received += part
        await asyncio.sleep(0.02)
    assert received.endswith(b"]\r\n0\r\n\r\n")
    assert received.count(b'"id"') == 3000


async def test_answers_of_many_at_once_come_whole_and_in_the_order_of_their_requests(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for each other then, and so does what ends a connection."""
    monkeypatch.setattr(limits, "KEEP_ALIVE_TIMEOUT", 60)
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
        if last == NONSENSE:  # once all before it is answered
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


async def test_nonsense_behind_a_request_does_not_get_into_its_answer(client: Client) -> None:
    reader, writer = client
    writer.write(GET)
    received = await reader.readuntil(b"[")
    writer.write(NONSENSE)
    received += await reader.read()
    assert received.count(b"HTTP/1.1 200") == received.count(b"HTTP/1.1 400") == 1
    assert b"]\r\n0\r\n\r\nHTTP/1.1 400" in received


async def test_nonsense_together_with_a_request_is_not_what_the_request_is_answered(client: Client) -> None:
    reader, writer = client
    writer.write(GET.replace(b"/api/tasks", b"/health/live") + NONSENSE)
    received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}HTTP/1.1 400' in received


async def test_a_body_that_breaks_behind_another_request_is_refused_once_that_is_answered(client: Client) -> None:
    reader, writer = client
    broken = f"POST /api/tasks HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nno length\r\n".encode()
    writer.write(GET.replace(b"/api/tasks", b"/health/live") + broken)
    received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}HTTP/1.1 400' in received


async def test_more_requests_than_may_wait_are_not_taken_in(client: Client, server: uvicorn.Server) -> None:
    reader, writer = client
    writer.write(b"GET /health/live HTTP/1.1\r\n\r\n" * 5000)
    received = b""
    with suppress(ConnectionError):
        while part := await reader.read(65536):
            received += part
    assert received.count(b"HTTP/1.1 200") < 5000
    await until(lambda: not server.server_state.connections)


async def test_who_leaves_with_requests_in_line_is_not_served_on(client: Client, server: uvicorn.Server) -> None:
    _, writer = client
    writer.write(GET * 3)
    await until(lambda: bool(server.server_state.tasks))
    writer.transport.abort()
    await until(lambda: not server.server_state.tasks and not server.server_state.connections)
