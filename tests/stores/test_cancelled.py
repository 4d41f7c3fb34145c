"""Callers that go away in the middle of a change leave nothing locked and nothing half done."""

import asyncio
import random

import pytest

from tests.support.builders import a_task, add_task, revision, somebody
from todo.adapters.sql.database import Database
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Selection


async def test_whoever_comes_next_need_not_wait(database: Database) -> None:
    owner, store, dice = somebody(), SqlTaskStore(database), random.Random(1)
    for _ in range(40):
        leaving = asyncio.create_task(add_task(store, a_task(owner)))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)  # a turn of the event loop
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    async with asyncio.timeout(5):
        last = await add_task(store, a_task(owner))
    tasks = (await store.list(owner, Selection())).tasks
    assert sorted(task.revision for task in tasks) == list(range(1, len(tasks) + 1))
    assert last.task.revision == len(tasks) == await revision(store, owner)


@pytest.mark.parametrize("turns", [1, 3, 10])
async def test_a_change_that_nobody_waits_for_is_whole_or_not_at_all(database: Database, turns: int) -> None:
    owner, store = somebody(), SqlTaskStore(database)
    leaving = asyncio.create_task(add_task(store, a_task(owner), "key"))
    for _ in range(turns):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    again = await add_task(store, a_task(owner), "key")
    assert (await store.list(owner, Selection())).tasks == [again.task]
    assert await revision(store, owner) == 1
