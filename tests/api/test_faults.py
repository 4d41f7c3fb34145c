"""Internal errors: 500, 503 and responses that break off, and what is logged about them."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.api.problems import is_problem
from tests.support.builders import a_task, add_task
from tests.support.serving import Server, application, serving, signed
from todo.adapters.memory import MemoryTaskStore
from todo.domain.ports import PAGE_LENGTH, Page, Selection
from todo.domain.task import Position, UserId


@pytest.fixture
def own_server(tmp_path: Path, empty_database: str) -> Iterator[tuple[Server, str]]:
    with serving(tmp_path, empty_database) as server:
        yield server, empty_database


def test_a_500_reveals_nothing_and_the_log_names_the_cause(own_server: tuple[Server, str]) -> None:
    server, url = own_server
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute(
                "CREATE TRIGGER boom BEFORE INSERT ON tasks WHEN NEW.title = 'boom' BEGIN SELECT RAISE(ABORT, 'x'); END"
            )
    else:
        with psycopg.connect(url) as postgres:
            postgres.execute("ALTER TABLE tasks ADD CHECK (title <> 'boom')")
    ann = server.person()
    response = ann.api.post("/api/tasks", json={"title": "boom"}, headers={"X-Request-Id": "the-one"})
    assert is_problem(response, 500)["detail"] == "Internal server error"
    assert response.headers["x-request-id"] == "the-one"
    assert ann.tasks() == []
    printed = server.printed()
    assert "the-one" in printed
    assert "IntegrityError" in printed or "CheckViolation" in printed
    assert "store.py" in printed
    assert "boom" not in printed
    assert "INSERT" not in printed


def test_an_exhausted_pool_is_503_and_recovers(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres, DATABASE_POOL_SIZE="1") as server, ThreadPoolExecutor(2) as pool:
        people = [server.person("ann") for _ in range(2)]
        people[0].add()
        with psycopg.connect(empty_postgres) as holder:
            holder.execute("SELECT * FROM users FOR UPDATE")
            waiting = [pool.submit(person.api.post, "/api/tasks", json={"title": "x"}) for person in people]
            for response in waiting:
                is_problem(response.result(), 503)
                assert int(response.result().headers["retry-after"]) > 0
                assert response.result().elapsed.total_seconds() < 2
            assert server.anybody.get("/health/live").status_code == 200
        people[0].add()
        assert len(people[0].tasks()) == 2


def request_whole_list() -> dict[str, Any]:
    """Ann's request as an ASGI scope, to observe what no client could."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/api/tasks",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {signed()}".encode())],
    }


class Breaking(MemoryTaskStore):
    """Fails on the second page."""

    async def list(self, owner: UserId, wanted: Selection, *, after: Position | None = None, **rest: Any) -> Page:
        if after is not None:
            raise RuntimeError("with a title in it")
        return await super().list(owner, wanted, after=after, **rest)


async def test_a_list_that_breaks_off_does_not_look_complete(caplog: pytest.LogCaptureFixture) -> None:
    store = Breaking()
    for _ in range(PAGE_LENGTH + 1):
        await add_task(store, a_task(UserId("ann")))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the client stays connected, and sends nothing more
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with caplog.at_level(logging.ERROR):
        await application(store)(request_whole_list(), receive, send)
    assert sent[0]["status"] == 200
    assert not any(message.get("more_body") is False for message in sent)  # so the server closes the connection
    assert "RuntimeError" in caplog.text
    assert "test_faults.py" in caplog.text
    assert "with a title in it" not in caplog.text


class Counting(MemoryTaskStore):
    lists = 0

    async def list(self, owner: UserId, wanted: Selection, *, after: Position | None = None, **rest: Any) -> Page:
        self.lists += 1
        return await super().list(owner, wanted, after=after, **rest)


async def test_a_list_is_not_read_on_once_its_client_has_disconnected() -> None:
    store = Counting()
    for _ in range(5 * PAGE_LENGTH):
        await add_task(store, a_task(UserId("ann")))
    gone = asyncio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            gone.set()
        await asyncio.sleep(0)

    await application(store)(request_whole_list(), receive, send)
    assert store.lists <= 3
