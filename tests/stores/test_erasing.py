"""The promise of the Eraser port, on every store that keeps one."""

from typing import Protocol

from tests.support.builders import a_task, somebody
from todo.adapters.memory import MemoryTaskStore
from todo.adapters.sql.database import Database
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Eraser, Filter, TaskStore


class Store(TaskStore, Eraser, Protocol): ...


async def test_in_memory() -> None:
    await all_that_is_a_persons_is_gone_and_nothing_of_anybody_elses(MemoryTaskStore())


async def test_in_a_database(database: Database) -> None:
    await all_that_is_a_persons_is_gone_and_nothing_of_anybody_elses(SqlTaskStore(database))


async def all_that_is_a_persons_is_gone_and_nothing_of_anybody_elses(store: Store) -> None:
    ann, bob = somebody(), somebody()
    assert await store.erase(ann) is None  # nothing is known of somebody who never came
    for owner in (ann, bob):
        await store.add(a_task(owner))
        await store.add(a_task(owner), "key")
    assert await store.erase(ann) == 2
    assert (await store.list(ann, Filter())).tasks == []
    assert await store.revision(ann) == 0
    assert len((await store.list(bob, Filter())).tasks) == 2
    again = await store.add(a_task(ann, "anew"), "key")
    assert (again.replayed, again.task.revision) == (False, 1)
