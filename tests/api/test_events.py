"""The stream of events, over a real socket, on SQLite, on PostgreSQL and behind nginx."""

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.problems import is_problem
from tests.support.databases import OwnPostgres, postgres_database, sqlite_url
from tests.support.serving import Person, Server, client, serving, signed
from todo.domain.ports import ListVersion
from todo.domain.task import UserId
from todo.entrypoints.http import events


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


class Listener:
    """Reads a stream in a thread."""

    def __init__(self, api: httpx.Client, path: str = "/api/events", **headers: str) -> None:
        self._messages: queue.Queue[dict[str, str] | None] = queue.Queue()
        self._started = threading.Event()
        self.response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._read, args=(api, path, headers))
        self._thread.start()
        assert self._started.wait(20)

    def _read(self, api: httpx.Client, path: str, headers: dict[str, str]) -> None:
        try:
            with api.stream("GET", path, headers=headers, timeout=30) as response:
                self.response = response
                message: dict[str, str] = {}
                for line in response.iter_lines():
                    self._started.set()
                    name, _, value = line.partition(": ")
                    if name:
                        message[name] = value
                    elif message:
                        self._messages.put(message)
                        message = {}
        except httpx.HTTPError:
            pass
        self._messages.put(None)
        self._started.set()

    def next(self, timeout: float = 10) -> dict[str, str] | None:
        """The next event, without comments; None at the end of the stream. Raises queue.Empty."""
        while True:
            message = self._messages.get(timeout=timeout)
            if message is None or "event" in message:
                return message

    def close(self) -> None:
        """Leaves. To close the client would not wake the thread that reads."""
        assert self.response is not None
        connected: socket.socket = self.response.extensions["network_stream"].get_extra_info("socket")
        with suppress(OSError):  # the server was quicker
            connected.shutdown(socket.SHUT_RDWR)
        while self.next() is not None:
            pass
        self._thread.join()


@contextmanager
def listening(person: Person, path: str = "/api/events", **headers: str) -> Iterator[Listener]:
    """With a connection of its own, which is closed at the end."""
    with client(str(person.api.base_url), f"Bearer {person.token}") as api:
        listener = Listener(api, path, **headers)
        yield listener
        listener.close()


def change_list(person: Person) -> str:
    """The token after a change."""
    person.add()
    return str(person.api.get("/api/changes").json()["next"])


def test_a_change_rings_at_once_with_the_token_of_the_changes(ann: Person) -> None:
    with listening(ann) as listener:
        assert listener.response is not None
        headers = listener.response.headers
        assert headers["content-type"] == "text/event-stream"
        assert (headers["cache-control"], "content-encoding" in headers) == ("no-store", False)
        began = time.monotonic()
        task = ann.add()
        event = listener.next()
        assert time.monotonic() - began < 1
        assert event is not None
        assert (event["event"], json.loads(event["data"])) == ("changed", {"revision": task["revision"]})
        assert event["id"] == ann.api.get("/api/changes").json()["next"]
        ann.api.delete(f"/api/tasks/{task['id']}")
        event = listener.next()
        assert event is not None
        assert json.loads(event["data"]) == {"revision": 2}


def test_only_the_persons_own_changes_ring(server: Server, ann: Person) -> None:
    bob = server.person()
    with listening(ann) as listener:
        bob.add()
        ann.add()
        event = listener.next()
        assert event is not None
        assert event["id"] == ann.api.get("/api/changes").json()["next"]
        with pytest.raises(queue.Empty):
            listener.next(timeout=1.5)


@pytest.mark.parametrize("way", ["since", "Last-Event-ID"])
def test_whoever_is_behind_gets_an_event_at_once_and_whoever_is_not_waits(ann: Person, way: str) -> None:
    old, new = change_list(ann), change_list(ann)

    def open_stream(token: str) -> Any:
        path = f"/api/events?since={token}" if way == "since" else "/api/events"
        return listening(ann, path, **({} if way == "since" else {"Last-Event-ID": token}))

    with open_stream(old) as behind:
        event = behind.next(timeout=2)
        assert event is not None
        assert event["id"] == new
    with open_stream(new) as current:
        with pytest.raises(queue.Empty):
            current.next(timeout=1.5)
        newer = change_list(ann)
        event = current.next()
        assert event is not None
        assert event["id"] == newer


def test_a_wrong_token_is_400(server: Server, ann: Person) -> None:
    token = change_list(ann)
    bob = server.person()
    for person, query, headers in (
        (ann, "?since=x", {}),
        (ann, "", {"Last-Event-ID": "x"}),
        (bob, f"?since={token}", {}),
        (bob, "", {"Last-Event-ID": token}),
    ):
        is_problem(person.api.get(f"/api/events{query}", headers=headers), 400)
    is_problem(server.anybody.get("/api/events"), 401)


def test_a_stream_over_http_1_0_is_400(direct_server: Server) -> None:
    ann = direct_server.person()
    with socket.create_connection(direct_server.address, timeout=10) as connection:
        connection.sendall(f"GET /api/events HTTP/1.0\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode())
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")


def test_head_does_not_listen(ann: Person) -> None:
    assert ann.api.head("/api/events?since=x").status_code == 400
    response = ann.api.head("/api/events")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")


def test_the_stream_ends_when_the_token_expires(server: Server) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with client(server.url, f"Bearer {signed({'sub': 'ann-expires', 'exp': soon})}") as api:
        listener = Listener(api)
        assert listener.next() is None
        assert abs((datetime.now(UTC) - soon).total_seconds()) < 1.5


def test_a_person_has_eight_streams_and_gets_another_when_one_ends(server: Server, ann: Person) -> None:
    bob = server.person()
    with ExitStack() as streams:
        for _ in range(7):
            streams.enter_context(listening(ann))
        with listening(ann), listening(bob):
            problem = ann.api.get("/api/events")
            is_problem(problem, 429)
            assert int(problem.headers["retry-after"]) >= 1
        wait_until(lambda: can_listen(ann))


def can_listen(person: Person) -> bool:
    with person.api.stream("GET", "/api/events") as response:
        return response.status_code == 200


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # there is no event for it


def test_changes_of_another_server_ring_within_a_second_and_a_half(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "todo.db")
    with serving(tmp_path, url) as one, serving(tmp_path, url) as other:
        ann = one.person("ann")
        with listening(ann) as listener:
            for _ in range(3):
                other.person("ann").add()
                assert listener.next(timeout=1.5) is not None
            # While this server is busy with changes of its own, too.
            stop = threading.Event()
            busy = threading.Thread(target=keep_changing, args=(one.person("bob"), stop))
            busy.start()
            with listening(one.person("bob")):
                other.person("ann").add()
                assert listener.next(timeout=2.5) is not None
            stop.set()
            busy.join()


def keep_changing(person: Person, stop: threading.Event) -> None:
    while not stop.is_set():
        person.add()


def test_streams_do_not_take_the_places_of_requests_and_are_limited_themselves(tmp_path: Path) -> None:
    settings = {"MAX_CONCURRENT_REQUESTS": "1", "MAX_EVENT_STREAMS": "3"}
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
        ann, bob = server.person(), server.person()
        with listening(ann), listening(ann), listening(bob):
            assert ann.add()["revision"] == 1
            response = bob.api.get("/api/events")
            is_problem(response, 503)
            assert "retry-after" in response.headers
        wait_until(lambda: can_listen(bob))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_stops_ends_its_streams_within_a_second(tmp_path: Path, workers: str) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", workers) as server:
        people = [server.person() for _ in range(5)]
        apis = [client(server.url, f"Bearer {person.token}") for person in people]
        listeners = [Listener(api) for api in apis]
        began = time.monotonic()
        server._process.terminate()
        for listener in listeners:
            assert listener.next() is None
        assert time.monotonic() - began < 1
        assert server.wait() == 0
        for api in apis:
            api.close()


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_stream_that_begins_while_the_server_stops_ends_too(tmp_path: Path, pipelined: bool) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        ann = server.person()
        asked = f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode()
        with socket.create_connection(server.address, timeout=10) as connection:
            connection.sendall(asked * 2 if pipelined else b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096)
            began = time.monotonic()
            server._process.terminate()
            if not pipelined:
                connection.sendall(asked)
            assert server.wait() == 0
            assert time.monotonic() - began < 3
        assert "ERROR" not in server.printed()


class Feed:
    """Knows one person's version, and can fail."""

    def __init__(self) -> None:
        self.version = ListVersion(None, 0)
        self.error: Exception | None = None
        self.looks = 0

    async def versions(self, owners: Any) -> dict[UserId, ListVersion]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return dict.fromkeys(owners, self.version)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(events, "WAKE_INTERVAL", 0.001)


@pytest.mark.usefixtures("quick")
async def test_the_watcher_survives_an_error_that_nobody_foresaw() -> None:
    feed: Any = Feed()
    watcher, ann = events.Watcher(feed, 10), UserId("ann")
    async with watcher.listen(ann) as bell:
        bell.clear()
        feed.error = RuntimeError("a bug")
        await asyncio.sleep(0.1)
        feed.error, feed.version = None, ListVersion(None, 1)
        async with asyncio.timeout(5):
            await bell.wait()
        assert watcher.get_version(ann) == feed.version


@pytest.mark.usefixtures("quick")
async def test_nothing_is_asked_once_nobody_listens() -> None:
    feed: Any = Feed()
    watcher, ann = events.Watcher(feed, 10), UserId("ann")
    for _ in range(5):
        async with watcher.listen(ann):
            await asyncio.sleep(0)
            watcher.wake(ann)  # in the very turn in which the last one leaves
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    before = feed.looks
    await asyncio.sleep(0.2)
    assert feed.looks == before
    assert not [task for task in asyncio.all_tasks() if "_watch" in repr(task)]


def test_a_database_that_is_away_delays_events_and_ends_nothing(own_server: OwnPostgres, tmp_path: Path) -> None:
    with postgres_database(own_server) as url, serving(tmp_path, url) as server:
        ann = server.person()
        with listening(ann) as listener:
            own_server.stop("fast")
            try:
                with pytest.raises(queue.Empty):
                    listener.next(timeout=2.5)
            finally:
                own_server.start()
            wait_until(lambda: ann.api.post("/api/tasks", json={"title": "x"}).status_code == 201)
            assert listener.next(timeout=3) is not None
