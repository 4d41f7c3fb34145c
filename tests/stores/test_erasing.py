"""The promise of the UserEraser port, on every store that has it."""

from typing import Protocol

from tests.support.builders import a_task, add_task, somebody
from todo.adapters.memory import MemoryTaskStore
from todo.adapters.sql.database import Database
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Selection, TaskStore, UserEraser


class Store(TaskStore, UserEraser, Protocol): ...


async def test_in_memory() -> None:
    await check_that_one_person_is_erased_and_nobody_else(MemoryTaskStore())


async def test_in_a_database(database: Database) -> None:
    await check_that_one_person_is_erased_and_nobody_else(SqlTaskStore(database))


async def check_that_one_person_is_erased_and_nobody_else(store: Store) -> None:
    ann, bob = somebody(), somebody()
    assert await store.erase(ann) is None
    for owner in (ann, bob):
        await add_task(store, a_task(owner))
        await add_task(store, a_task(owner), "key")
    before = await store.version(ann)
    assert await store.erase(ann) == 2
    assert (await store.list(ann, Selection())).tasks == []
    assert await store.version(ann) == (None, 0)
    assert len((await store.list(bob, Selection())).tasks) == 2
    again = await add_task(store, a_task(ann, "anew"), "key")
    assert (again.replayed, again.task.revision) == (False, 1)
    assert (await store.version(ann)).epoch not in (None, before.epoch)
