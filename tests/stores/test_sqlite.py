import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, select

from tests.stores.async_machine import Opened, run_machine
from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import StoreMachine
from tests.support.builders import NOON, a_task, add_task, revision, somebody
from todo.adapters.sql import removals, store
from todo.adapters.sql.compiled import Compiled
from todo.adapters.sql.migrations import upgrade
from todo.adapters.sql.sqlite import database
from todo.adapters.sql.sqlite.database import SqliteDatabase
from todo.adapters.sql.sqlite.threads import BUSY_TIMEOUT
from todo.adapters.sql.store import SqlTaskStore
from todo.composition import make_tasks
from todo.domain.ports import Selection, TaskStore
from todo.domain.refusals import OperatorNeeded
from todo.domain.task import UserId


class TestSqliteTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self, sqlite: SqliteDatabase) -> TaskStore:
        return SqlTaskStore(sqlite)

    @pytest.fixture
    def short_trash(self, sqlite: SqliteDatabase) -> TaskStore:
        return SqlTaskStore(sqlite, timedelta(days=1))


def test_it_does_what_a_plain_model_does(migrated_sqlite: str) -> None:
    def open_store() -> Opened:
        database = SqliteDatabase(Path(migrated_sqlite.removeprefix("sqlite:///")))
        return SqlTaskStore(database), database.close

    run_machine(StoreMachine, open_store, examples=15)


async def test_a_full_disk_needs_the_operator_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "todo.db")
    upgrade(database)
    owner, store = somebody(), SqlTaskStore(database)
    await add_task(store, a_task(owner))

    def most_pages(many: int) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {many}").fetchall()

    await database._run(database._writer, most_pages(1))  # it takes no less than there are
    adding = [add_task(store, a_task(owner, "x" * 500), str(number)) for number in range(300)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    added = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {OperatorNeeded}
    kept = [task async for page in make_tasks(store).pages(owner, Selection()) for task in page.tasks]
    assert len(kept) == 1 + len(added) == await revision(store, owner)
    await database._run(database._writer, most_pages(2**30))
    await add_task(store, a_task(owner))
    await database.close()


async def test_a_lookup_waits_for_another_program_that_locks_the_file_and_blocks_nobody(
    tmp_path: Path,
) -> None:
    database = SqliteDatabase(tmp_path / "todo.db")
    upgrade(database)
    store = SqlTaskStore(database)
    task = (await add_task(store, a_task(somebody()))).task
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


async def test_a_lookup_that_fails_does_not_affect_others_in_the_same_turn(sqlite: SqliteDatabase) -> None:
    store = SqlTaskStore(sqlite)
    task = (await add_task(store, a_task(somebody()))).task
    failed, found = await asyncio.gather(
        store.version(UserId("\ud800")), store.get(task.owner, task.id), return_exceptions=True
    )
    assert isinstance(failed, UnicodeEncodeError)
    assert found == task


@pytest.mark.parametrize(
    "statement", [store._FIND, removals.FIND_REMOVED, select(removals.FIND_OTHERS)], ids=["own", "removed", "others"]
)
def test_what_is_known_of_ids_is_found_by_an_index(migrated_sqlite: str, statement: Select[Any]) -> None:
    compiled = Compiled(statement, database._DIALECT)
    given = {"owner": "ann", "ids": ["0" * 32], "kept_since": NOON}
    with closing(sqlite3.connect(migrated_sqlite.removeprefix("sqlite:///"))) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {compiled.text}", compiled.arrange(given)).fetchall()
    steps = [step for *_, step in plan if "tasks" in step]
    assert steps
    assert all(
        re.fullmatch(r"SEARCH \w+ USING (COVERING )?INDEX \w+ \((user_id=\? AND )?id=\?\)", step) for step in steps
    )
