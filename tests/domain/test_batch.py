"""Batches, on the store in memory: what each operation comes to, and when nothing is done."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from tests.domain.test_use_cases import make_tasks
from tests.support.builders import ANN, BOB
from todo.adapters.memory import MemoryTaskStore
from todo.domain.batch import Alter, Asked, Create, OperationRefused, Outcome, Remove, Restore
from todo.domain.fields import Due
from todo.domain.ports import Applied, Change, IdempotencyKey, Selection
from todo.domain.refusals import IdTaken, InvalidField, KeyReused, NotYours, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Edit, Task, UserId
from todo.domain.use_cases import Tasks

DONE = Edit(completed=True)


@pytest.fixture
def tasks() -> Tasks:
    return make_tasks(MemoryTaskStore())


async def add(tasks: Tasks, title: str = "Buy milk", owner: UserId = ANN) -> Task:
    [task] = (await tasks.add(owner, Edit(title=title))).tasks
    return task


async def titles(tasks: Tasks) -> list[str]:
    return [task.title for task in (await tasks.page(ANN, Selection(), limit=99)).tasks]


def kinds(outcomes: Sequence[Outcome]) -> list[object]:
    return [
        type(one.refusal) if one.refusal else "new" if one.is_new else one.task and one.task.title for one in outcomes
    ]


async def test_each_operation_has_an_outcome_and_each_change_a_revision(tasks: Tasks) -> None:
    changed, same, removed, restored = [await add(tasks, title) for title in ("changed", "same", "removed", "restored")]
    await tasks.remove(ANN, restored.id)
    batch = await tasks.batch(
        ANN,
        [
            Create(Edit(title="first")),
            Create(Edit(title="second"), uuid4()),
            Alter(changed.id, DONE, changed.revision),
            Alter(same.id, Edit(title="same")),
            Restore(restored.id),
            Remove(removed.id, removed.revision),
        ],
    )
    assert kinds(batch.outcomes) == ["new", "new", "changed", "same", "restored", None]
    revisions = [one.task.revision for one in batch.outcomes if one.task]
    assert (revisions, batch.revision, batch.replayed) == ([6, 7, 8, 2, 9], 10, False)
    assert await titles(tasks) == ["second", "first", "restored", "same", "changed"]


async def test_a_batch_that_only_removes_knows_the_revision(tasks: Tasks) -> None:
    one, other = await add(tasks), await add(tasks)
    assert (await tasks.batch(ANN, [Remove(one.id), Remove(other.id)])).revision == 4


async def test_a_batch_that_changes_nothing_moves_nothing(tasks: Tasks) -> None:
    task = await add(tasks)
    batch = await tasks.batch(ANN, [Alter(task.id, Edit(title="Buy milk"))], key="k")
    assert (batch.revision, batch.outcomes) == (1, [Outcome(task)])


async def refusals(tasks: Tasks) -> list[tuple[Asked, type]]:
    mine, theirs, removed = await add(tasks), await add(tasks, owner=BOB), await add(tasks)
    their_removed = await add(tasks, owner=BOB)
    await tasks.remove(ANN, removed.id)
    await tasks.remove(BOB, their_removed.id)
    unknown = uuid4()
    return [
        (InvalidField("no", "title"), InvalidField),
        (Create(Edit(title="x", due=Due("2026-12-24", "12:00", "Mars/Olympus"))), InvalidField),
        (Create(Edit(title="other"), mine.id), IdTaken),
        (Create(Edit(title="Buy milk"), theirs.id), IdTaken),
        (Create(Edit(title="Buy milk"), removed.id), IdTaken),
        (Alter(mine.id, DONE, 9), TaskChanged),
        (Alter(theirs.id, DONE), NotYours),
        (Alter(unknown, DONE), TaskNotFound),
        (Remove(mine.id, 9), TaskChanged),
        (Remove(theirs.id), NotYours),
        (Remove(removed.id), TaskNotFound),
        (Restore(mine.id), TaskNotFound),
        (Restore(their_removed.id), NotYours),
        (Restore(unknown), TaskNotFound),
    ]


@pytest.mark.parametrize("number", range(14))
async def test_a_refusal_refuses_all_of_an_atomic_batch_or_itself_alone(tasks: Tasks, number: int) -> None:
    asked, kind = (await refusals(tasks))[number]
    before = await titles(tasks)
    with pytest.raises(OperationRefused) as refused:
        await tasks.batch(ANN, [Create(Edit(title="new")), asked])
    assert (refused.value.place, type(refused.value.refusal)) == (1, kind)
    assert str(refused.value) == str(refused.value.refusal)
    assert await titles(tasks) == before

    batch = await tasks.batch(ANN, [Create(Edit(title="new")), asked], is_atomic=False)
    assert kinds(batch.outcomes) == ["new", kind]
    assert await titles(tasks) == ["new", *before]


async def test_a_creation_with_an_id_is_repeated_until_its_fields_differ(tasks: Tasks) -> None:
    asked: list[Asked] = [Create(Edit(title="Buy milk", labels=["a"]), uuid4())]
    [first] = (await tasks.batch(ANN, asked)).outcomes
    [again] = (await tasks.batch(ANN, asked)).outcomes
    assert (again.task, first.is_new, again.is_new) == (first.task, True, False)
    assert first.task is not None
    await tasks.change(ANN, first.task.id, DONE)
    assert kinds((await tasks.batch(ANN, asked)).outcomes) == ["Buy milk"]
    open_one: list[Asked] = [Create(Edit(title="Buy milk", labels=["a"], completed=False), first.task.id)]
    assert kinds((await tasks.batch(ANN, open_one, is_atomic=False)).outcomes) == [IdTaken]


async def test_a_key_leads_to_what_became_of_each_operation(tasks: Tasks) -> None:
    kept, gone = await add(tasks, "kept"), await add(tasks, "gone")
    asked: list[Asked] = [
        Create(Edit(title="new")),
        Alter(kept.id, DONE),
        Remove(gone.id),
        Remove(UUID(int=10**9)),
        InvalidField("no", "title"),
    ]
    first = await tasks.batch(ANN, asked, is_atomic=False, key="k")
    again = await tasks.batch(ANN, asked, is_atomic=False, key="k")
    assert again.replayed
    assert kinds(again.outcomes) == kinds(first.outcomes) == ["new", "kept", None, TaskNotFound, InvalidField]
    assert again.outcomes[0].task is not None
    await tasks.remove(ANN, again.outcomes[0].task.id)
    third = await tasks.batch(ANN, asked, is_atomic=False, key="k")
    assert kinds(third.outcomes) == [TaskNotFound, "kept", None, TaskNotFound, InvalidField]
    for other, is_atomic in ((asked[:1], False), (asked, True)):
        with pytest.raises(KeyReused):
            await tasks.batch(ANN, other, is_atomic=is_atomic, key="k")


class BusyStore(MemoryTaskStore):
    """Another writer is faster, a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        self._times -= 1
        if self._times >= 0:
            raise TaskChanged
        return await super().apply(owner, changes, key)


async def test_a_batch_is_judged_again_if_a_task_has_moved_on() -> None:
    batch = await make_tasks(BusyStore(2)).batch(ANN, [Create(Edit(title="x"), uuid4())], key="k")
    assert kinds(batch.outcomes) == ["new"]


async def test_a_crowd_of_writers_is_given_up() -> None:
    with pytest.raises(Unavailable):
        await make_tasks(BusyStore(10**6)).batch(ANN, [Create(Edit(title="x"))])


async def test_a_batch_has_1_to_100_operations_each_of_another_task(tasks: Tasks) -> None:
    task_id = uuid4()
    create, twice = Create(Edit(title="x")), Remove(task_id)
    cases: list[tuple[list[Asked], tuple[str | int, ...]]] = [
        ([], ("operations",)),
        ([create] * 101, ("operations",)),
        ([create, twice, create, twice], ("operations", 3, "id")),
    ]
    for asked, path in cases:
        with pytest.raises(InvalidField) as refused:
            await tasks.batch(ANN, asked)
        assert refused.value.path == path
    assert len((await tasks.batch(ANN, [create] * 100)).outcomes) == 100
