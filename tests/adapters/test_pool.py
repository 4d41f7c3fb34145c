"""PostgreSQL's connections when they break, hang, are scarce, and are closed."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.builders import Added, a_task, add_task, later, remove, revision, save, somebody
from tests.support.databases import PostgresServer, migrated, postgres_database
from todo.adapters.sql.database import DatabaseAway
from todo.adapters.sql.postgresql.connection import Connection, PreparedStatement
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.postgresql.pool import Pool
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Selection
from todo.domain.refusals import TaskChanged, Unavailable
from todo.domain.task import Task

OWNER = somebody()


@pytest.fixture
def url(postgres: PostgresServer) -> object:
    with postgres_database(postgres) as url:
        yield migrated(url)


@pytest.fixture
async def task(url: str) -> Task:
    database = PostgresqlDatabase(url, pool_size=1)
    added = await add_task(SqlTaskStore(database), a_task(OWNER))
    await database.close()
    return added.task


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlTaskStore]:
    database = PostgresqlDatabase(url, pool_size=3)
    yield SqlTaskStore(database)
    await database.close()


def pool_of(store: SqlTaskStore) -> Pool:
    pool = store._database._pool  # type: ignore[attr-defined] # to see what no caller sees
    assert isinstance(pool, Pool)
    return pool


async def end_all_but_own(own: psycopg.AsyncConnection) -> int:
    """How many there were."""
    ended = await own.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return ended.rowcount


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


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


async def test_idle_connections_that_ended_are_replaced_before_their_next_use(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        for round_ in range(5):
            await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
            assert await end_all_but_own(own) == 3
            await until(lambda: all(connection.is_closed for _, connection in pool_of(store)._idle))
            task = await save(store, task, f"Round {round_}", at=later(round_))


async def test_a_read_whose_connection_breaks_is_retried(url: str, store: SqlTaskStore, task: Task) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            reading = asyncio.create_task(store.get(OWNER, task.id))
            first = await waits_for_a_lock(own)
            await end_all_but_own(own)
            await waits_for_a_lock(own, but=first)
        assert await reading == task


def lose_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement is applied, and its answer is lost."""
    run = Connection.run
    lost: list[object] = []

    async def lose_the_answer(self: Connection, *args: Any, **options: Any) -> Any:
        rows = await run(self, *args, **options)
        if not lost:
            lost.append(rows)
            self.close()
            raise psycopg.OperationalError("as when the network is cut")
        return rows

    monkeypatch.setattr(Connection, "run", lose_the_answer)


Change = Callable[[SqlTaskStore, Task], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    ("change", "titles"),
    [
        pytest.param(lambda store, _: add_task(store, a_task(OWNER, "new")), ["Buy milk", "new"], id="add"),
        pytest.param(
            lambda store, _: add_task(store, a_task(OWNER, "new"), "key"), ["Buy milk", "new"], id="add with a key"
        ),
        pytest.param(lambda store, task: save(store, task, "new", at=later(1)), ["new"], id="save"),
        pytest.param(lambda store, task: remove(store, task), [], id="remove"),
    ],
)
class TestAChangeWhoseConnectionBreaks:
    async def test_before_it_was_applied_is_retried(
        self, url: str, store: SqlTaskStore, task: Task, change: Change, titles: list[str]
    ) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
            async with own.transaction():
                await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
                changing = asyncio.create_task(change(store, task))
                first = await waits_for_a_lock(own)
                await end_all_but_own(own)
                await waits_for_a_lock(own, but=first)
            await changing
        assert sorted(task.title for task in (await store.list(OWNER, Selection())).tasks) == titles
        assert await revision(store, OWNER) == 2

    async def test_after_it_was_applied_is_not_applied_twice(
        self, store: SqlTaskStore, task: Task, change: Change, titles: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose_the_next_answer(monkeypatch)
        changed = await change(store, task)
        assert sorted(task.title for task in (await store.list(OWNER, Selection())).tasks) == titles
        assert await revision(store, OWNER) == 2
        if isinstance(changed, Added):
            assert (changed.replayed, changed.task.revision) == (False, 2)
        elif isinstance(changed, Task):
            assert changed.revision == 2


async def test_a_change_overtaken_while_its_connection_broke_is_refused(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("SELECT * FROM tasks WHERE id = %s FOR UPDATE", (task.id,))
            changing = asyncio.create_task(save(store, task, "mine", at=later(1)))
            await waits_for_a_lock(own)
            await end_all_but_own(own)
            await own.execute("UPDATE tasks SET title = 'theirs', revision = 7 WHERE id = %s", (task.id,))
        with pytest.raises(TaskChanged):
            await changing
    assert (await store.get(OWNER, task.id)).title == "theirs"


async def test_an_erasure_whose_answer_was_lost_does_not_report_an_unknown_person(
    store: SqlTaskStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task.owner == OWNER
    lose_the_next_answer(monkeypatch)
    with pytest.raises(Unavailable, match="erased, or was never known"):
        await store.erase(OWNER)
    assert (await store.list(OWNER, Selection())).tasks == []
    assert await store.erase(OWNER) is None


async def test_a_removal_that_a_standby_refused_does_not_count_as_applied(
    url: str, store: SqlTaskStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, refused = Connection.run, asyncio.Event()

    async def watched(self: Connection, *args: Any, **options: Any) -> Any:
        try:
            return await run(self, *args, **options)
        except psycopg.errors.ReadOnlySqlTransaction:
            refused.set()
            raise

    monkeypatch.setattr(Connection, "run", watched)
    name = urlsplit(url).path[1:]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        await own.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        removing = asyncio.create_task(remove(store, task))
        await refused.wait()
        await own.execute("DELETE FROM tasks WHERE id = %s", (task.id,))
        await own.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        with pytest.raises(TaskChanged):
            await removing


async def test_a_change_that_fails_to_serialise_is_retried(url: str, task: Task) -> None:
    strict = make_conninfo(url, options="-c default_transaction_isolation=serializable")
    database = PostgresqlDatabase(strict, pool_size=1)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("UPDATE tasks SET revision = 7 WHERE id = %s", (task.id,))
            saving = asyncio.create_task(save(store, task, "mine", at=later(1)))
            await waits_for_a_lock(own)
        with pytest.raises(TaskChanged):
            await saving
    await database.close()


async def test_a_database_that_ends_every_connection_is_away_within_the_timeout(url: str) -> None:
    database = PostgresqlDatabase(url, pool_size=2, timeout=0.4)
    store, loop = SqlTaskStore(database), asyncio.get_running_loop()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        began = loop.time()
        adding = asyncio.create_task(add_task(store, a_task(OWNER)))
        while not adding.done():
            await end_all_but_own(own)
        with pytest.raises(DatabaseAway):
            await adding
        assert loop.time() - began < 1
    await database.close()


async def test_a_statement_without_an_answer_is_cancelled_at_the_timeout(url: str, task: Task) -> None:
    database = PostgresqlDatabase(url, pool_size=3, timeout=0.3)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseAway):
            await add_task(store, a_task(OWNER))
        left = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with asyncio.timeout(10):
            while (await (await own.execute(left)).fetchone()) != (0,):
                await own.execute("SELECT pg_stat_clear_snapshot()")
    assert (await store.list(OWNER, Selection())).tasks == [task]
    await database.close()


async def test_a_silent_connection_closes_the_idle_ones(url: str, task: Task) -> None:
    """They go the same way through the network."""
    database = PostgresqlDatabase(url, pool_size=3, timeout=0.3)
    store = SqlTaskStore(database)
    await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
    pool = pool_of(store)
    assert len(pool._idle) == 3
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseAway):
            await store.get(OWNER, task.id)
        assert (len(pool._idle), pool._slots) == (0, 0)
    await database.close()


@pytest.mark.parametrize(("idle_timeout", "kept"), [(0, 0), (0.05, 0), (60, 2)])
async def test_idle_connections_are_kept_for_the_idle_timeout(
    url: str, task: Task, idle_timeout: float, kept: int
) -> None:
    database = PostgresqlDatabase(url, pool_size=2, idle_timeout=idle_timeout)
    store = SqlTaskStore(database)
    await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
    pool = pool_of(store)
    await until(lambda: (len(pool._idle), pool._slots) == (kept, kept))
    assert await store.get(OWNER, task.id) == task
    await database.close()


async def test_a_cancelled_waiter_takes_no_connection_from_the_queue(url: str, task: Task) -> None:
    database = PostgresqlDatabase(url, pool_size=1, timeout=10)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            first = asyncio.create_task(store.get(OWNER, task.id))
            await waits_for_a_lock(own)
            with pytest.raises(Unavailable, match="in use"):
                await pool_of(store).acquire(asyncio.get_running_loop().time())
            queued = [asyncio.create_task(store.get(OWNER, task.id)) for _ in range(6)]
            await until(lambda: len(pool_of(store)._queue) == len(queued))
            for leaving in queued[::2]:
                leaving.cancel()
        assert await asyncio.gather(first, *queued[1::2]) == [task] * 4
        # Cancelled in the very turn of the event loop in which the connection is handed over.
        for _ in range(20):
            holder, leaving = (asyncio.create_task(store.get(OWNER, task.id)) for _ in range(2))
            await holder
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    assert await store.get(OWNER, task.id) == task
    await database.close()


async def test_a_database_that_refuses_connections_is_away_at_once(url: str) -> None:
    name = urlsplit(url).path[1:]
    store = SqlTaskStore(PostgresqlDatabase(url.replace(name, "not_there"), pool_size=2))
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*(revision(store, OWNER) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseAway}


async def test_a_session_without_the_prepared_statement_gets_it_in_full(store: SqlTaskStore, task: Task) -> None:
    """As behind a transaction pooler, where the next session is another."""
    await store.get(OWNER, task.id)
    pool = pool_of(store)
    connection = await pool.acquire(soon())
    await connection.run(PreparedStatement("DEALLOCATE ALL"), (), prepare=False)
    pool.release(connection)
    assert await store.get(OWNER, task.id) == task
    assert (await add_task(store, a_task(OWNER))).task.revision == 2


async def test_a_statement_larger_than_the_sockets_buffer_is_sent(url: str) -> None:
    pool = Pool(url, 1, 60)
    connection = await pool.acquire(soon())
    many = "x" * 50_000_000
    for _ in range(2):
        assert await connection.run(PreparedStatement("SELECT length($1), 1::bigint", str), (many,), prepare=True) == [
            (len(many), 1)
        ]
        assert await connection.run(PreparedStatement("SELECT 2::bigint"), (), prepare=True) == [(2,)]
    pool.release(connection)
    pool.close()


async def test_a_waiter_cancelled_at_the_handover_passes_the_connection_on(url: str) -> None:
    pool = Pool(url, 1, 60)
    held = await pool.acquire(soon())
    for _ in range(3):
        leaving = asyncio.create_task(pool.acquire(soon()))
        await until(lambda: len(pool._queue) == 1)
        pool.release(held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(1):
            held = await pool.acquire(soon())
    pool.release(held)
    pool.close()


async def test_a_connect_that_hangs_occupies_no_slot_beyond_the_deadline() -> None:
    """As when packets are lost for a while."""
    hanging: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.append(writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        pool = Pool(f"postgresql://postgres@127.0.0.1:{port}/x?sslmode=disable", 2, 60)
        loop = asyncio.get_running_loop()
        for milliseconds in (50, 50, *range(10)):  # the short ones are over while the opening begins
            waiting = [pool.acquire(loop.time() + milliseconds / 1000) for _ in range(3)]
            async with asyncio.timeout(5):
                answers = {type(answer) for answer in await asyncio.gather(*waiting, return_exceptions=True)}
            assert answers <= {DatabaseAway, Unavailable}
            assert pool._slots == 0
        pool.close()
        # psycopg leaves the sockets of cancelled openings to the garbage collector.
        await until(lambda: gc.collect() >= 0 and all(writer.is_closing() for writer in hanging))
        await asyncio.gather(*(writer.wait_closed() for writer in hanging))


SILENT = """
import asyncio, sys
import psycopg
from todo.adapters.sql.postgresql.connection import PreparedStatement
from todo.adapters.sql.postgresql.pool import Pool

async def main():
    loop = asyncio.get_running_loop()
    with psycopg.connect(sys.argv[1]) as own:
        own.execute("LOCK TABLE tasks")
        pool = Pool(sys.argv[1], 1, 60)
        for _ in range(5):
            connection = await pool.acquire(loop.time() + 5)
            try:
                deadline = loop.time() + 0.1
                await connection.run(PreparedStatement("SELECT id FROM tasks"), (), prepare=True, deadline=deadline)
            except TimeoutError:
                print("timed out")
            pool.release(connection)

asyncio.run(main())
"""


def test_an_abandoned_connection_uses_no_freed_memory(url: str) -> None:
    """With freed memory made unusable, so that its use would end the process."""
    run = subprocess.run(
        [sys.executable, "-c", SILENT, url],
        env={**os.environ, "MALLOC_PERTURB_": "165"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "timed out\n" * 5), run.stderr


async def test_of_several_hosts_a_silent_one_is_passed_over(url: str) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    parts = conninfo_to_dict(url)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as listener:
        silent = listener.sockets[0].getsockname()[1]
        hosts = {"host": f"127.0.0.1,{parts['host']}", "port": f"{silent},{parts.get('port', 5432)}"}
        database = PostgresqlDatabase(make_conninfo(url, **hosts), pool_size=1, timeout=0.2)
        store = SqlTaskStore(database)
        async with asyncio.timeout(20):
            while True:
                with suppress(DatabaseAway):
                    assert await revision(store, OWNER) == 0
                    break
        await database.close()
