"""PostgreSQL's connections when they break, hang, are fought for and are taken away."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.builders import a_task, later, somebody
from tests.support.databases import PostgresServer, migrated, postgres_database
from todo.adapters.sql import connections
from todo.adapters.sql.connections import Connections, Statement
from todo.adapters.sql.database import Away
from todo.adapters.sql.postgresql import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Filter
from todo.domain.refusals import Unavailable
from todo.domain.task import Task

OWNER = somebody()


@pytest.fixture
def url(postgres: PostgresServer) -> object:
    with postgres_database(postgres) as url:
        yield migrated(url)


@pytest.fixture
async def task(url: str) -> Task:
    database = PostgresqlDatabase(url, pool_size=1)
    added = await SqlTaskStore(database).add(a_task(OWNER))
    await database.close()
    return added.task


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlTaskStore]:
    database = PostgresqlDatabase(url, pool_size=3)
    yield SqlTaskStore(database)
    await database.close()


def pool_of(store: SqlTaskStore) -> Connections:
    pool = store._database._connections  # type: ignore[attr-defined] # to see what no caller sees
    assert isinstance(pool, Connections)
    return pool


async def end_all_but_own(own: psycopg.AsyncConnection) -> int:
    """How many there were."""
    ended = await own.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return ended.rowcount


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.005)


async def waits_for_a_lock(own: psycopg.AsyncConnection, but: int = 0) -> int:
    """The backend that does, once another than that one does."""
    while True:
        await own.execute("SELECT pg_stat_clear_snapshot()")  # which a transaction would keep
        asked = await own.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> %s",
            (but,),
        )
        row = await asked.fetchone()
        if row is not None:
            return int(row[0])
        await asyncio.sleep(0.005)


async def test_connections_that_ended_at_rest_are_replaced_before_anybody_meets_them(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        for round_ in range(5):
            await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
            assert await end_all_but_own(own) == 3
            await until(lambda: all(connection.closed for connection in pool_of(store)._resting))
            task = await store.save(task.rename(OWNER, f"Round {round_}", now=later(round_)))


async def test_a_read_whose_connection_breaks_is_asked_anew(url: str, store: SqlTaskStore, task: Task) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            reading = asyncio.create_task(store.get(OWNER, task.id))
            first = await waits_for_a_lock(own)
            await end_all_but_own(own)
            await waits_for_a_lock(own, but=first)
        assert await reading == task


async def test_a_change_whose_connection_breaks_is_unavailable_and_not_made_twice(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        adding = asyncio.create_task(store.add(a_task(OWNER)))
        await waits_for_a_lock(own)
        await end_all_but_own(own)
        with pytest.raises(Away):
            await adding
    assert (await store.list(OWNER, Filter())).tasks == [task]


async def test_an_answer_that_never_comes_is_given_up(
    url: str, store: SqlTaskStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.get(OWNER, task.id)
    monkeypatch.setattr(connections, "SILENCE", 0.3)
    async with await psycopg.AsyncConnection.connect(url) as own:
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(10):
            with pytest.raises(Away):
                await store.add(a_task(OWNER))
    assert await store.get(OWNER, task.id) == task


async def test_those_who_leave_the_line_take_no_connection_with_them(
    url: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = PostgresqlDatabase(url, pool_size=1)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            first = asyncio.create_task(store.get(OWNER, task.id))
            await waits_for_a_lock(own)
            with monkeypatch.context() as patched:
                patched.setattr(connections, "PATIENCE", 0.05)
                with pytest.raises(Unavailable, match="in use"):
                    await store.get(OWNER, task.id)
            in_line = [asyncio.create_task(store.get(OWNER, task.id)) for _ in range(6)]
            await until(lambda: len(pool_of(store)._line) == len(in_line))
            for leaving in in_line[::2]:
                leaving.cancel()
        assert await asyncio.gather(first, *in_line[1::2]) == [task] * 4
        # One who leaves in the very turn in which it is their turn.
        for _ in range(20):
            holder, leaving = (asyncio.create_task(store.get(OWNER, task.id)) for _ in range(2))
            await holder
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    assert await store.get(OWNER, task.id) == task
    await database.close()


async def test_a_database_that_refuses_is_away_at_once_for_everybody(url: str) -> None:
    name = urlsplit(url).path[1:]
    store = SqlTaskStore(PostgresqlDatabase(url.replace(name, "not_there"), pool_size=2))
    async with asyncio.timeout(connections.PATIENCE / 2):
        answers = await asyncio.gather(*(store.revision(OWNER) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Away}


async def test_a_session_that_knows_no_statement_gets_them_in_full(store: SqlTaskStore, task: Task) -> None:
    """As behind a transaction pooler, where the next session is another."""
    await store.get(OWNER, task.id)
    pool = pool_of(store)
    connection = await pool.take()
    await connection.run(Statement("DEALLOCATE ALL"), (), prepare=False)
    pool.give(connection)
    assert await store.get(OWNER, task.id) == task
    assert (await store.add(a_task(OWNER))).task.revision == 2


async def test_what_does_not_fit_into_the_socket_is_sent_all_the_same(url: str) -> None:
    pool = Connections(url, 1)
    connection = await pool.take()
    many = "x" * 50_000_000
    for _ in range(2):
        assert await connection.run(Statement("SELECT length($1), 1::bigint", str), (many,), prepare=True) == [
            (len(many), 1)
        ]
        assert await connection.run(Statement("SELECT 2::bigint"), (), prepare=True) == [(2,)]
    pool.give(connection)
    pool.close()


async def test_who_leaves_in_the_moment_of_being_handed_a_connection_hands_it_on(url: str) -> None:
    pool = Connections(url, 1)
    held = await pool.take()
    for _ in range(3):
        leaving = asyncio.create_task(pool.take())
        await until(lambda: len(pool._line) == 1)
        pool.give(held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(1):
            held = await pool.take()
    pool.give(held)
    pool.close()


async def test_a_connection_whose_opening_was_not_waited_for_serves_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0)
    pool = Connections(url, 1)
    with pytest.raises(Away):
        await pool.take()
    await until(lambda: len(pool._resting) == 1)
    connection = await pool.take()
    assert await connection.run(Statement("SELECT 2::bigint"), (), prepare=True) == [(2,)]
    pool.give(connection)
    pool.close()


SILENT = """
import asyncio, sys
import psycopg
from todo.adapters.sql import connections
from todo.adapters.sql.connections import Connections, Statement

async def main():
    connections.SILENCE = 0.1
    with psycopg.connect(sys.argv[1]) as own:
        own.execute("LOCK TABLE tasks")
        pool = Connections(sys.argv[1], 1)
        for _ in range(5):
            connection = await pool.take()
            try:
                await connection.run(Statement("SELECT id FROM tasks"), (), prepare=True)
            except TimeoutError:
                print("given up")
            pool.give(connection)

asyncio.run(main())
"""


def test_a_connection_that_is_given_up_leaves_no_memory_in_use(url: str) -> None:
    """With freed memory made unusable, so that its use would end the process."""
    run = subprocess.run(
        [sys.executable, "-c", SILENT, url],
        env={**os.environ, "MALLOC_PERTURB_": "165"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "given up\n" * 5), run.stderr
