"""Tasks and people for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from todo.domain.task import Task, UserId

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN, BOB = UserId("ann"), UserId("bob")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def somebody() -> UserId:
    """A person whom no other test knows."""
    return UserId(f"person-{uuid4()}")


def a_task(owner: UserId = ANN, title: str = "Buy milk", *, at: datetime = NOON, task_id: UUID | None = None) -> Task:
    """New, and not kept yet."""
    return Task.new(owner, title, task_id=task_id or uuid4(), now=at)
