"""The use cases, on the store in memory."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from uuid import UUID

import pytest

from tests.support.builders import ANN, BOB, later
from todo.adapters.memory import MemoryTaskStore
from todo.adapters.time_zones import is_time_zone
from todo.domain.ports import Applied, Change, IdempotencyKey, Selection
from todo.domain.refusals import InvalidField, KeyReused, NotYours, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Edit, Task, UserId
from todo.domain.use_cases import Tasks

UNKNOWN_ID = UUID(int=10**9)
COMPLETE = Edit(completed=True)


def make_tasks(store: MemoryTaskStore) -> Tasks:
    """With a clock that moves a second with each look, and ids that count."""
    seconds: Iterator[int] = count()
    ids: Iterator[int] = count(1)

    def clock() -> datetime:
        return later(next(seconds))

    return Tasks(store, clock, lambda: UUID(int=next(ids)), is_time_zone)


@pytest.fixture
def tasks() -> Tasks:
    return make_tasks(MemoryTaskStore())


async def add(tasks: Tasks, title: str = "Buy milk") -> Task:
    [task] = (await tasks.add(ANN, Edit(title=title))).tasks
    return task


async def test_an_added_task_can_be_read_by_its_owner_alone(tasks: Tasks) -> None:
    task = await add(tasks)
    assert await tasks.read(ANN, task.id) == task
    with pytest.raises(NotYours):
        await tasks.read(BOB, task.id)


async def test_a_task_without_a_title_is_not_added(tasks: Tasks) -> None:
    with pytest.raises(InvalidField):
        await tasks.add(ANN, Edit())
    assert (await tasks.version(ANN)).revision == 0


async def test_a_repeated_key_adds_nothing_and_cannot_be_used_for_other_values(tasks: Tasks) -> None:
    first = await tasks.add(ANN, Edit(title="Buy milk"), key="key")
    assert await tasks.add(ANN, Edit(title=" Buy milk "), key="key") == first._replace(replayed=True)
    with pytest.raises(KeyReused):
        await tasks.add(ANN, Edit(title="Buy oat milk"), key="key")


async def test_one_change_can_rename_and_complete(tasks: Tasks) -> None:
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, Edit(title="Buy oat milk", completed=True))
    assert (changed.title, changed.completed, changed.revision) == ("Buy oat milk", True, 2)
    assert await tasks.read(ANN, task.id) == changed


async def test_a_completed_task_can_be_reopened(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.change(ANN, task.id, COMPLETE)
    assert not (await tasks.change(ANN, task.id, Edit(completed=False))).completed


async def test_a_rename_leaves_completed_as_it_is(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.change(ANN, task.id, COMPLETE)
    assert (await tasks.change(ANN, task.id, Edit(title="Buy oat milk"))).completed


async def test_a_change_that_changes_nothing_moves_no_revision(tasks: Tasks) -> None:
    task = await add(tasks)
    assert await tasks.change(ANN, task.id, Edit(title="Buy milk", completed=False)) == task
    assert (await tasks.version(ANN)).revision == task.revision


async def test_a_missing_task_or_a_strangers_can_be_neither_changed_nor_removed(tasks: Tasks) -> None:
    task = await add(tasks)
    for actor, task_id, refusal in [(ANN, UNKNOWN_ID, TaskNotFound), (BOB, task.id, NotYours)]:
        with pytest.raises(refusal):
            await tasks.change(actor, task_id, COMPLETE)
        with pytest.raises(refusal):
            await tasks.remove(actor, task_id)
    assert await tasks.read(ANN, task.id) == task


async def test_a_removed_task_is_gone(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.remove(ANN, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.read(ANN, task.id)
    assert (await tasks.version(ANN)).revision == 2


async def test_a_change_with_an_expected_revision_applies_to_no_other(tasks: Tasks) -> None:
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, COMPLETE, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.change(ANN, task.id, COMPLETE, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.remove(ANN, task.id, expected={task.revision})
    await tasks.remove(ANN, task.id, expected={task.revision, changed.revision})


class ContendedStore(MemoryTaskStore):
    """A store in which another writer renames the task just before each of the first so many changes to it."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        [(before, _)] = changes
        if isinstance(before, Task) and self._times:
            self._times -= 1
            stored = await self.get(owner, before.id)
            renamed = stored.edit(Edit(title=f"{stored.title}!"), now=stored.updated_at)
            await super().apply(owner, [Change(stored, renamed)])
        return await super().apply(owner, changes, key)


async def test_a_change_that_another_overtakes_is_retried_and_loses_nothing() -> None:
    tasks = make_tasks(ContendedStore(2))
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, COMPLETE)
    assert (changed.title, changed.completed) == ("Buy milk!!", True)


async def test_a_removal_that_a_change_overtakes_is_retried() -> None:
    tasks = make_tasks(ContendedStore(2))
    task = await add(tasks)
    await tasks.remove(ANN, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.read(ANN, task.id)


async def test_nothing_is_retried_when_the_caller_expects_a_revision() -> None:
    tasks = make_tasks(ContendedStore(2))
    task = await add(tasks)
    with pytest.raises(TaskChanged):
        await tasks.change(ANN, task.id, COMPLETE, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.remove(ANN, task.id, expected={(await tasks.read(ANN, task.id)).revision})


async def test_a_change_that_is_overtaken_without_end_is_unavailable() -> None:
    tasks = make_tasks(ContendedStore(10**6))
    task = await add(tasks)
    with pytest.raises(Unavailable):
        await tasks.change(ANN, task.id, COMPLETE)


async def test_a_list_comes_in_pages_newest_first(tasks: Tasks) -> None:
    added = [await add(tasks, f"Task {n}") for n in range(5)]
    first = await tasks.page(ANN, Selection(), limit=2)
    second = await tasks.page(ANN, Selection(), after=Selection().position(first.tasks[-1]), limit=3)
    assert [*first.tasks, *second.tasks] == added[::-1]
    assert (first.more, second.more) == (True, False)


async def test_a_long_list_comes_in_pages_of_a_thousand_after_the_first(tasks: Tasks) -> None:
    added = [await add(tasks, f"Task {n}") for n in range(2001)]
    pages = [page.tasks async for page in tasks.pages(ANN, Selection(), first=7)]
    assert [len(page) for page in pages] == [7, 1000, 994]
    assert [task for page in pages for task in page] == added[::-1]
    after = Selection().position(added[-1])
    assert [len(page.tasks) async for page in tasks.pages(ANN, Selection(), after=after)] == [1000, 1000]


async def test_an_empty_list_is_one_empty_page(tasks: Tasks) -> None:
    assert [page async for page in tasks.pages(ANN, Selection())] == [([], False, (None, 0))]
