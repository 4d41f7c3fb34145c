import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import Opened, run_machine
from tests.support.builders import a_task, somebody
from todo.adapters.sql.migrations import upgrade
from todo.adapters.sql.sqlite import BUSY_TIMEOUT, SqliteDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.composition import tasks_in
from todo.domain.ports import Filter, TaskStore
from todo.domain.refusals import Unavailable
from todo.domain.task import Task, UserId


class TestSqliteTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self, sqlite: SqliteDatabase) -> TaskStore:
        return SqlTaskStore(sqlite)


def test_it_does_what_a_plain_model_does(migrated_sqlite: str) -> None:
    def open_store() -> Opened:
        database = SqliteDatabase(Path(migrated_sqlite.removeprefix("sqlite:///")))
        return SqlTaskStore(database), database.close

    run_machine(open_store, examples=15)


async def test_a_disk_that_is_full_is_said_to_be_no_old_schema_and_spoils_nothing(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "todo.db")
    upgrade(database)
    owner, store = somebody(), SqlTaskStore(database)
    await store.add(a_task(owner))

    def most_pages(many: int) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {many}").fetchall()

    await database._writer.do(most_pages(1))  # it takes no less than there are
    adding = [store.add(a_task(owner, "x" * 500), str(number)) for number in range(300)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    added = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {Unavailable}
    kept = [task async for chunk in tasks_in(store).chunks(owner, Filter()) for task in chunk]
    assert len(kept) == 1 + len(added) == await store.revision(owner)
    await database._writer.do(most_pages(2**30))
    await store.add(a_task(owner))
    await database.close()


async def test_who_looks_up_a_task_waits_for_another_program_that_holds_the_file_and_holds_up_nobody(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(tmp_path / "todo.db")
    upgrade(database)
    store = SqlTaskStore(database)
    task = (await store.add(a_task(somebody()))).task
    await database.close()
    async with asyncio.timeout(BUSY_TIMEOUT / 2):
        with closing(sqlite3.connect(tmp_path / "todo.db", isolation_level=None)) as other_program:
            other_program.execute("PRAGMA locking_mode = EXCLUSIVE")
            other_program.execute("BEGIN EXCLUSIVE")
            looking_up = asyncio.create_task(store.get(task.owner, task.id))
            found, _ = await asyncio.wait({looking_up}, timeout=0.1)
            assert not found
        assert await looking_up == task
    await database.close()


async def test_a_lookup_that_fails_takes_none_with_it_that_is_made_beside_it(sqlite: SqliteDatabase) -> None:
    store = SqlTaskStore(sqlite)
    task = (await store.add(a_task(somebody()))).task
    failed, found = await asyncio.gather(
        store.revision(UserId("\ud800")), store.get(task.owner, task.id), return_exceptions=True
    )
    assert isinstance(failed, UnicodeEncodeError)
    assert found == task


async def test_event_loops_in_several_threads_look_up_at_once(sqlite: SqliteDatabase) -> None:
    """As those of a host that runs one for each of its calls."""
    store = SqlTaskStore(sqlite)
    task = (await store.add(a_task(somebody()))).task

    async def looked_up() -> set[Task]:
        return {await store.get(task.owner, task.id) for _ in range(500)}

    assert await asyncio.gather(*(asyncio.to_thread(asyncio.run, looked_up()) for _ in range(3))) == [{task}] * 3
