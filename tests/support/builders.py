"""Tasks and people for tests, and the store's one call in the words of single changes."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from todo.domain.fields import UNSET, Unset
from todo.domain.ports import Change, IdempotencyKey, TaskStore
from todo.domain.task import Edit, Task, UserId

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN, BOB = UserId("ann"), UserId("bob")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def somebody() -> UserId:
    """A person whom no other test uses."""
    return UserId(f"person-{uuid4()}")


def a_task(
    owner: UserId = ANN, title: str = "Buy milk", *, at: datetime = NOON, task_id: UUID | None = None, **fields: Any
) -> Task:
    """New, and not stored yet."""
    return Task.new(owner, Edit(title=title, **fields), task_id=task_id or uuid4(), now=at)


class Added(NamedTuple):
    task: Task
    replayed: bool


async def add_task(store: TaskStore, task: Task, key: str | None = None) -> Added:
    idempotency = None if key is None else IdempotencyKey(key, Edit(title=task.title).digest())
    applied = await store.apply(task.owner, [Change(None, task)], idempotency)
    return Added(applied.tasks[0], applied.replayed)


async def save(
    store: TaskStore, task: Task, title: str | Unset = UNSET, completed: bool | Unset = UNSET, *, at: datetime = NOON
) -> Task:
    """The task with these changes, as stored."""
    changed = task.edit(Edit(title=title, completed=completed), now=at)
    return (await store.apply(task.owner, [Change(task, changed)])).tasks[0]


async def remove(store: TaskStore, task: Task, *, at: datetime = NOON) -> None:
    await store.apply(task.owner, [removal(task, at=at)])


def removal(task: Task, *, at: datetime = NOON) -> Change:
    return Change(task, task.remove(now=at))


async def revision(store: TaskStore, owner: UserId) -> int:
    return (await store.version(owner)).revision
