"""The use cases, on the store in memory."""

from collections.abc import Iterator
from datetime import datetime
from itertools import count
from uuid import UUID

import pytest

from tests.support.builders import ANN, BOB, later
from todo.adapters.memory import MemoryTaskStore
from todo.domain.ports import Filter
from todo.domain.refusals import InvalidTitle, NotYours, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Task
from todo.domain.tasks import Tasks

NOWHERE = UUID(int=10**9)


class World:
    """A clock that moves a second with each look, and ids that count."""

    def __init__(self) -> None:
        self._seconds: Iterator[int] = count()
        self._ids: Iterator[int] = count(1)

    def now(self) -> datetime:
        return later(next(self._seconds))

    def new_id(self) -> UUID:
        return UUID(int=next(self._ids))


@pytest.fixture
def store() -> MemoryTaskStore:
    return MemoryTaskStore()


@pytest.fixture
def tasks(store: MemoryTaskStore) -> Tasks:
    world = World()
    return Tasks(store, world.now, world.new_id)


async def add(tasks: Tasks, title: str = "Buy milk") -> Task:
    return (await tasks.add(ANN, title)).task


async def test_a_task_that_was_added_can_be_read_by_its_owner_alone(tasks: Tasks) -> None:
    task = await add(tasks)
    assert await tasks.read(ANN, task.id) == task
    with pytest.raises(NotYours):
        await tasks.read(BOB, task.id)


async def test_a_bad_title_adds_nothing(tasks: Tasks) -> None:
    with pytest.raises(InvalidTitle):
        await tasks.add(ANN, " ")
    assert await tasks.revision(ANN) == 0


async def test_one_change_can_rename_and_complete(tasks: Tasks) -> None:
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, title="Buy oat milk", completed=True)
    assert (changed.title, changed.completed, changed.revision) == ("Buy oat milk", True, 2)
    assert await tasks.read(ANN, task.id) == changed


async def test_a_completed_task_can_be_reopened(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.change(ANN, task.id, completed=True)
    assert not (await tasks.change(ANN, task.id, completed=False)).completed


async def test_a_change_that_changes_nothing_moves_nothing(tasks: Tasks) -> None:
    task = await add(tasks)
    assert await tasks.change(ANN, task.id, title="Buy milk", completed=False) == task
    assert await tasks.revision(ANN) == task.revision


async def test_a_bad_title_is_refused_before_anything_is_read(tasks: Tasks) -> None:
    with pytest.raises(InvalidTitle):
        await tasks.change(ANN, NOWHERE, title="")


async def test_what_is_missing_or_anothers_can_be_neither_changed_nor_removed(tasks: Tasks) -> None:
    task = await add(tasks)
    for asker, task_id, refusal in [(ANN, NOWHERE, TaskNotFound), (BOB, task.id, NotYours)]:
        with pytest.raises(refusal):
            await tasks.change(asker, task_id, completed=True)
        with pytest.raises(refusal):
            await tasks.remove(asker, task_id)
    assert await tasks.read(ANN, task.id) == task


async def test_a_removed_task_is_gone(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.remove(ANN, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.read(ANN, task.id)
    assert await tasks.revision(ANN) == 2


async def test_a_caller_who_names_a_revision_acts_on_no_other(tasks: Tasks) -> None:
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, completed=True, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.change(ANN, task.id, completed=True, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.remove(ANN, task.id, expected={task.revision})
    await tasks.remove(ANN, task.id, expected={task.revision, changed.revision})


class Overtaken(MemoryTaskStore):
    """A store in which other writers are faster, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    async def _overtake(self, task: Task) -> None:
        if self._times:
            self._times -= 1
            kept = await super().get(task.owner, task.id)
            await super().save(kept.rename(kept.owner, f"{kept.title}!", now=kept.updated_at))

    async def save(self, task: Task) -> Task:
        await self._overtake(task)
        return await super().save(task)

    async def remove(self, task: Task) -> None:
        await self._overtake(task)
        await super().remove(task)


async def test_an_overtaken_change_is_judged_anew_and_loses_nothing() -> None:
    world = World()
    tasks = Tasks(Overtaken(2), world.now, world.new_id)
    task = await add(tasks)
    changed = await tasks.change(ANN, task.id, completed=True)
    assert (changed.title, changed.completed) == ("Buy milk!!", True)


async def test_an_overtaken_removal_is_repeated() -> None:
    world = World()
    tasks = Tasks(Overtaken(2), world.now, world.new_id)
    task = await add(tasks)
    await tasks.remove(ANN, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.read(ANN, task.id)


async def test_an_overtaken_act_is_not_repeated_for_a_caller_who_names_a_revision() -> None:
    world = World()
    tasks = Tasks(Overtaken(2), world.now, world.new_id)
    task = await add(tasks)
    with pytest.raises(TaskChanged):
        await tasks.change(ANN, task.id, completed=True, expected={task.revision})
    with pytest.raises(TaskChanged):
        await tasks.remove(ANN, task.id, expected={(await tasks.read(ANN, task.id)).revision})


async def test_whoever_is_overtaken_without_end_is_told_to_come_back() -> None:
    world = World()
    tasks = Tasks(Overtaken(10**6), world.now, world.new_id)
    task = await add(tasks)
    with pytest.raises(Unavailable):
        await tasks.change(ANN, task.id, completed=True)


async def test_a_list_comes_in_pages_newest_first(tasks: Tasks) -> None:
    added = [await add(tasks, f"Task {n}") for n in range(5)]
    first = await tasks.page(ANN, Filter(), after=None, limit=2)
    second = await tasks.page(ANN, Filter(), after=first.tasks[-1].position, limit=3)
    assert [*first.tasks, *second.tasks] == added[::-1]
    assert (first.more, second.more) == (True, False)


async def test_a_long_list_comes_whole_in_chunks(tasks: Tasks) -> None:
    added = [await add(tasks, f"Task {n}") for n in range(2001)]
    chunks = [chunk async for chunk in tasks.chunks(ANN, Filter())]
    assert [task for chunk in chunks for task in chunk] == added[::-1]
    assert max(len(chunk) for chunk in chunks) == 1000


async def test_an_empty_list_has_no_chunks(tasks: Tasks) -> None:
    assert [chunk async for chunk in tasks.chunks(ANN, Filter())] == []


async def test_a_rename_leaves_completed_as_it_is(tasks: Tasks) -> None:
    task = await add(tasks)
    await tasks.change(ANN, task.id, completed=True)
    assert (await tasks.change(ANN, task.id, title="Buy oat milk")).completed
