"""The store that calls a server: the port's promises over a real socket, and what happens when it breaks."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import repeat

import pytest

from tests.stores.contract import EVERYTHING, TaskStoreContract
from tests.support.builders import a_task, add_task, later, remove, revision, save, somebody
from tests.support.certificates import Certificate
from tests.support.proxy import Way, answers, loses_the_answer, never_answers, proxy, resets
from tests.support.serving import Server, signed
from todo.adapters.remote import server as remote_server
from todo.adapters.remote.server import TIMEOUT, NotATodoServer, Untrusted
from todo.adapters.remote.store import RemoteTaskStore
from todo.domain.ports import Change, TaskStore
from todo.domain.refusals import InvalidField, InvalidToken, TaskChanged, Unavailable
from todo.domain.task import UserId


def store_at(url: str) -> RemoteTaskStore:
    return RemoteTaskStore(url, lambda user: signed({"sub": user}))


class TestRemoteTaskStore(TaskStoreContract):
    @pytest.fixture
    async def store(
        self, server: Server, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[TaskStore]:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        store = store_at(server.url)
        yield store
        await store.close()


BUSY = answers(
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\n"
    b'Content-Length: 75\r\n\r\n{"type":"about:blank","title":"Service Unavailable","status":503,"detail":""}'
)
HTML = answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<html")
NOT_FOUND = answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found")

Broken = Callable[..., AbstractAsyncContextManager[RemoteTaskStore]]


@pytest.fixture
def owner() -> UserId:
    return somebody()


@pytest.fixture
def broken(direct_server: Server, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """A store whose first connections to the server fail in these ways."""
    monkeypatch.setattr(remote_server, "pauses", lambda *_: repeat(0.01))

    @asynccontextmanager
    async def opened(*ways: Way, seconds: float = TIMEOUT) -> AsyncIterator[RemoteTaskStore]:
        with proxy(direct_server.address, *ways) as way:
            store = RemoteTaskStore(way.url, lambda user: signed({"sub": user}), timeout=seconds)
            try:
                yield store
            finally:
                await store.close()

    return opened


@pytest.mark.parametrize("way", [resets, BUSY, loses_the_answer], ids=["reset", "503", "answer lost"])
async def test_a_read_is_repeated(broken: Broken, owner: UserId, way: Way) -> None:
    async with broken(way, way, way) as store:
        assert await revision(store, owner) == 0
    async with broken(way) as store:
        assert (await store.list(owner, EVERYTHING)).tasks == []


@pytest.mark.parametrize("key", [None, "key"])
async def test_an_addition_whose_answer_was_lost_is_repeated_and_adds_one_task(
    broken: Broken, owner: UserId, key: str | None
) -> None:
    async with broken(loses_the_answer, loses_the_answer, BUSY) as store:
        added = await add_task(store, a_task(owner), key)
        assert (await store.list(owner, EVERYTHING)).tasks == [added.task]
        assert added.replayed == (key is not None)


async def test_a_change_whose_answer_was_lost_is_not_repeated(broken: Broken, owner: UserId) -> None:
    async with broken() as store:
        task = (await add_task(store, a_task(owner))).task
    for way in (loses_the_answer, resets, BUSY):
        async with broken(way) as store:
            with pytest.raises(Unavailable):
                await save(store, task, completed=True, at=later(1))
    async with broken() as store:
        assert await revision(store, owner) == 2
        with pytest.raises(TaskChanged):
            await remove(store, task)


async def test_it_gives_up_when_nothing_helps(broken: Broken, owner: UserId) -> None:
    for way in (resets, BUSY):
        async with broken(way, way, way, way) as store:
            with pytest.raises(Unavailable):
                await revision(store, owner)
            assert await revision(store, owner) == 0


async def test_an_address_without_a_server_is_unavailable(owner: UserId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_server, "pauses", lambda *_: repeat(0.01))
    store = store_at("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"server http://127\.0\.0\.1:1 is away"):
        await revision(store, owner)
    await store.close()


async def test_a_server_that_does_not_answer_is_unavailable_after_the_timeout(broken: Broken, owner: UserId) -> None:
    async with broken(never_answers, seconds=0.2) as store:
        with pytest.raises(Unavailable, match="does not answer in time"):
            await revision(store, owner)


@pytest.mark.parametrize("way", [HTML, NOT_FOUND], ids=["HTML", "404"])
async def test_another_server_is_recognised(broken: Broken, owner: UserId, way: Way) -> None:
    async with broken(way, way, way) as store:
        for asking in (revision(store, owner), store.list(owner, EVERYTHING), add_task(store, a_task(owner))):
            with pytest.raises(NotATodoServer, match="is not a todo server"):
                await asking


async def test_a_wrong_path_is_recognised(direct_server: Server, owner: UserId) -> None:
    store = store_at(f"{direct_server.url}/docs")
    with pytest.raises(NotATodoServer):
        await store.list(owner, EVERYTHING)
    await store.close()


async def test_a_token_is_not_sent_where_a_redirect_leads(broken: Broken, direct_server: Server, owner: UserId) -> None:
    with proxy(direct_server.address) as elsewhere:
        location = f"Location: {elsewhere.url}/api/tasks"
        redirect = answers(f"HTTP/1.1 307 Temporary Redirect\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode())
        async with broken(redirect) as store:
            with pytest.raises(NotATodoServer, match="redirects"):
                await store.list(owner, EVERYTHING)
        assert elsewhere.connections == 0


async def test_a_server_with_an_untrusted_certificate_gets_no_token(owner: UserId, certificate: Certificate) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0, ssl=tls) as listening:
        store = store_at(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        with pytest.raises(Untrusted, match=r"self-signed certificate\. SSL_CERT_FILE"):
            await revision(store, owner)
        await store.close()
    assert heard == []


async def test_refusals_are_those_of_the_server(direct_server: Server, owner: UserId) -> None:
    store = RemoteTaskStore(direct_server.url, lambda _: "x.y.z")
    with pytest.raises(InvalidToken, match="malformed"):
        await store.list(owner, EVERYTHING)
    await store.close()
    store = store_at(direct_server.url)
    task = (await add_task(store, a_task(owner))).task
    with pytest.raises(InvalidField, match="500 is the most") as refused:
        await store.apply(owner, [Change(task, task._replace(title="x" * 501))])
    assert refused.value.path == ("title",)
    await store.close()
