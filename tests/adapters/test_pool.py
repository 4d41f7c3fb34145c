"""PostgreSQL's connections when they break, hang, are fought for and are taken away."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.builders import a_task, later, somebody
from tests.support.databases import PostgresServer, migrated, postgres_database
from todo.adapters.sql.connection import Connection, Statement
from todo.adapters.sql.database import Away
from todo.adapters.sql.pool import Pool
from todo.adapters.sql.postgresql import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Added, Filter
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
    added = await SqlTaskStore(database).add(a_task(OWNER))
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


async def test_connections_that_ended_at_rest_are_replaced_before_anybody_meets_them(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        for round_ in range(5):
            await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
            assert await end_all_but_own(own) == 3
            await until(lambda: all(connection.closed for _, connection in pool_of(store)._resting))
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


def lose_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement is in force, and nobody hears of it."""
    run = Connection.run
    lost: list[object] = []

    async def lose_the_answer(self: Connection, *args: Any, **options: Any) -> Any:
        rows = await run(self, *args, **options)
        if not lost:
            lost.append(rows)
            self.end()
            raise psycopg.OperationalError("as when the network is cut")
        return rows

    monkeypatch.setattr(Connection, "run", lose_the_answer)


Change = Callable[[SqlTaskStore, Task], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    ("change", "titles"),
    [
        pytest.param(lambda store, _: store.add(a_task(OWNER, "new")), ["Buy milk", "new"], id="add"),
        pytest.param(lambda store, _: store.add(a_task(OWNER, "new"), "key"), ["Buy milk", "new"], id="add with a key"),
        pytest.param(lambda store, task: store.save(task.rename(OWNER, "new", now=later(1))), ["new"], id="save"),
        pytest.param(lambda store, task: store.remove(task), [], id="remove"),
    ],
)
class TestAChangeWhoseConnectionBreaks:
    async def test_before_it_was_made_is_made_anew(
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
        assert sorted(task.title for task in (await store.list(OWNER, Filter())).tasks) == titles
        assert await store.revision(OWNER) == 2

    async def test_after_it_was_made_is_not_made_twice(
        self, store: SqlTaskStore, task: Task, change: Change, titles: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose_the_next_answer(monkeypatch)
        changed = await change(store, task)
        assert sorted(task.title for task in (await store.list(OWNER, Filter())).tasks) == titles
        assert await store.revision(OWNER) == 2
        if isinstance(changed, Added):
            assert (changed.replayed, changed.task.revision) == (False, 2)
        elif isinstance(changed, Task):
            assert changed.revision == 2


async def test_a_change_that_another_one_overtook_while_its_connection_broke_is_not_forced(
    url: str, store: SqlTaskStore, task: Task
) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("SELECT * FROM tasks WHERE id = %s FOR UPDATE", (task.id,))
            changing = asyncio.create_task(store.save(task.rename(OWNER, "mine", now=later(1))))
            await waits_for_a_lock(own)
            await end_all_but_own(own)
            await own.execute("UPDATE tasks SET title = 'theirs', revision = 7 WHERE id = %s", (task.id,))
        with pytest.raises(TaskChanged):
            await changing
    assert (await store.get(OWNER, task.id)).title == "theirs"


async def test_an_erasure_whose_answer_was_lost_does_not_say_that_there_was_nobody(
    store: SqlTaskStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task.owner == OWNER
    lose_the_next_answer(monkeypatch)
    with pytest.raises(Unavailable, match="erased, or was never known"):
        await store.erase(OWNER)
    assert (await store.list(OWNER, Filter())).tasks == []
    assert await store.erase(OWNER) is None


async def test_a_removal_that_a_server_refused_as_it_only_follows_is_not_taken_for_made(
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
        removing = asyncio.create_task(store.remove(task))
        await refused.wait()
        await own.execute("DELETE FROM tasks WHERE id = %s", (task.id,))
        await own.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        with pytest.raises(TaskChanged):
            await removing


async def test_a_change_that_could_not_be_put_in_line_with_another_is_judged_anew(url: str, task: Task) -> None:
    strict = make_conninfo(url, options="-c default_transaction_isolation=serializable")
    database = PostgresqlDatabase(strict, pool_size=1)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("UPDATE tasks SET revision = 7 WHERE id = %s", (task.id,))
            saving = asyncio.create_task(store.save(task.rename(OWNER, "mine", now=later(1))))
            await waits_for_a_lock(own)
        with pytest.raises(TaskChanged):
            await saving
    await database.close()


async def test_a_database_that_ends_every_connection_is_away_in_time(url: str) -> None:
    database = PostgresqlDatabase(url, pool_size=2, patience=0.4)
    store, loop = SqlTaskStore(database), asyncio.get_running_loop()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        began = loop.time()
        adding = asyncio.create_task(store.add(a_task(OWNER)))
        while not adding.done():
            await end_all_but_own(own)
        with pytest.raises(Away):
            await adding
        assert loop.time() - began < 1
    await database.close()


async def test_an_answer_that_never_comes_is_given_up_and_its_statement_stopped(url: str, task: Task) -> None:
    database = PostgresqlDatabase(url, pool_size=3, patience=0.3)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Away):
            await store.add(a_task(OWNER))
        left = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with asyncio.timeout(10):
            while (await (await own.execute(left)).fetchone()) != (0,):
                await own.execute("SELECT pg_stat_clear_snapshot()")
    assert (await store.list(OWNER, Filter())).tasks == [task]
    await database.close()


async def test_one_that_fell_silent_takes_those_at_rest_with_it(url: str, task: Task) -> None:
    """They went the same way, and whoever took one would wait in vain."""
    database = PostgresqlDatabase(url, pool_size=3, patience=0.3)
    store = SqlTaskStore(database)
    await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
    pool = pool_of(store)
    assert len(pool._resting) == 3
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own, own.transaction():
        await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Away):
            await store.get(OWNER, task.id)
        assert (len(pool._resting), pool._places) == (0, 0)
    await database.close()


@pytest.mark.parametrize(("rest", "kept"), [(0, 0), (0.05, 0), (60, 2)])
async def test_connections_are_kept_for_as_long_as_they_may_rest(url: str, task: Task, rest: float, kept: int) -> None:
    database = PostgresqlDatabase(url, pool_size=2, rest=rest)
    store = SqlTaskStore(database)
    await asyncio.gather(*(store.get(OWNER, task.id) for _ in range(9)))
    pool = pool_of(store)
    await until(lambda: (len(pool._resting), pool._places) == (kept, kept))
    assert await store.get(OWNER, task.id) == task
    await database.close()


def test_a_host_with_an_event_loop_for_each_call_is_served(url: str) -> None:
    database = PostgresqlDatabase(url, pool_size=1)
    store = SqlTaskStore(database)
    assert [asyncio.run(store.revision(OWNER)) for _ in range(3)] == [0, 0, 0]
    asyncio.run(database.close())


async def test_those_who_leave_the_line_take_no_connection_with_them(url: str, task: Task) -> None:
    database = PostgresqlDatabase(url, pool_size=1, patience=10)
    store = SqlTaskStore(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as own:
        async with own.transaction():
            await own.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            first = asyncio.create_task(store.get(OWNER, task.id))
            await waits_for_a_lock(own)
            with pytest.raises(Unavailable, match="in use"):
                await pool_of(store).take(asyncio.get_running_loop().time())
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
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*(store.revision(OWNER) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Away}


async def test_a_session_that_knows_no_statement_gets_them_in_full(store: SqlTaskStore, task: Task) -> None:
    """As behind a transaction pooler, where the next session is another."""
    await store.get(OWNER, task.id)
    pool = pool_of(store)
    connection = await pool.take(soon())
    await connection.run(Statement("DEALLOCATE ALL"), (), prepare=False)
    pool.give(connection)
    assert await store.get(OWNER, task.id) == task
    assert (await store.add(a_task(OWNER))).task.revision == 2


async def test_what_does_not_fit_into_the_socket_is_sent_all_the_same(url: str) -> None:
    pool = Pool(url, 1, rest=60)
    connection = await pool.take(soon())
    many = "x" * 50_000_000
    for _ in range(2):
        assert await connection.run(Statement("SELECT length($1), 1::bigint", str), (many,), prepare=True) == [
            (len(many), 1)
        ]
        assert await connection.run(Statement("SELECT 2::bigint"), (), prepare=True) == [(2,)]
    pool.give(connection)
    pool.close()


async def test_who_leaves_in_the_moment_of_being_handed_a_connection_hands_it_on(url: str) -> None:
    pool = Pool(url, 1, rest=60)
    held = await pool.take(soon())
    for _ in range(3):
        leaving = asyncio.create_task(pool.take(soon()))
        await until(lambda: len(pool._line) == 1)
        pool.give(held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(1):
            held = await pool.take(soon())
    pool.give(held)
    pool.close()


async def test_a_connection_whose_opening_was_not_waited_for_serves_the_next(url: str) -> None:
    pool = Pool(url, 1, rest=60)
    with pytest.raises(Away):
        await pool.take(asyncio.get_running_loop().time())
    await until(lambda: len(pool._resting) == 1)
    connection = await pool.take(soon())
    assert await connection.run(Statement("SELECT 2::bigint"), (), prepare=True) == [(2,)]
    pool.give(connection)
    pool.close()


async def test_an_opening_that_hangs_keeps_no_place_from_one_that_would_not() -> None:
    """As when packets are swallowed and then are not any more."""
    hanging: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.append(writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        pool = Pool(f"postgresql://postgres@127.0.0.1:{port}/x?sslmode=disable", 2, rest=60)
        loop = asyncio.get_running_loop()
        for _ in range(5):
            waiting = [pool.take(loop.time() + 0.05) for _ in range(3)]
            answers = {type(answer) for answer in await asyncio.gather(*waiting, return_exceptions=True)}
            assert answers <= {Away, Unavailable}
            assert pool._places == 0
            assert len(pool._strays) <= 2
        pool.close()
        # psycopg leaves the sockets of cancelled openings to the garbage collector.
        await until(lambda: gc.collect() >= 0 and all(writer.is_closing() for writer in hanging))
        await asyncio.gather(*(writer.wait_closed() for writer in hanging))


SILENT = """
import asyncio, sys
import psycopg
from todo.adapters.sql.connection import Statement
from todo.adapters.sql.pool import Pool

async def main():
    loop = asyncio.get_running_loop()
    with psycopg.connect(sys.argv[1]) as own:
        own.execute("LOCK TABLE tasks")
        pool = Pool(sys.argv[1], 1, rest=60)
        for _ in range(5):
            connection = await pool.take(loop.time() + 5)
            try:
                until = loop.time() + 0.1
                await connection.run(Statement("SELECT id FROM tasks"), (), prepare=True, until=until)
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
