"""A TaskStore in memory: the specification that the other stores are held to, and the one for fast tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from todo.domain.ports import KEY_LIFETIME, PAGE_LENGTH, Applied, Change, IdempotencyKey, ListVersion, Page, Selection
from todo.domain.refusals import KeyReused, TaskChanged
from todo.domain.task import Position, Task, UserId, check_access


class _UsedKey(NamedTuple):
    request_digest: bytes
    task_id: UUID
    used_at: datetime


class MemoryTaskStore:
    """Keeps everything until the process ends; a UserEraser, too. Nothing in it awaits, so each call is one atomic
    act."""

    def __init__(self) -> None:
        self._tasks: dict[UUID, Task] = {}
        self._versions: dict[UserId, ListVersion] = {}
        self._keys: dict[tuple[UserId, str], _UsedKey] = {}

    async def get(self, owner: UserId, task_id: UUID) -> Task:
        task = self._tasks.get(task_id)
        check_access(task and task.owner, owner)
        assert task is not None
        return task

    async def list(
        self, owner: UserId, wanted: Selection, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        tasks = sorted(
            (
                task
                for task in self._tasks.values()
                if task.owner == owner
                and wanted.keeps(task)
                and (after is None or _sort_key(wanted.position(task)) > _sort_key(after))
            ),
            key=lambda task: _sort_key(wanted.position(task)),
        )
        return Page(tasks[:limit], more=len(tasks) > limit, version=await self.version(owner))

    async def version(self, owner: UserId) -> ListVersion:
        return self._versions.get(owner, ListVersion(None, 0))

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        if key is not None:
            [(_, task)] = changes
            assert task is not None
            used = self._keys.get((owner, key.text))
            if used is not None and task.created_at - used.used_at < KEY_LIFETIME:
                if used.request_digest != key.request_digest:
                    raise KeyReused
                return Applied([await self.get(owner, used.task_id)], replayed=True)
            self._keys[owner, key.text] = _UsedKey(key.request_digest, task.id, task.created_at)
        for before, _ in changes:
            stored = before and self._tasks.get(before.id)
            if before is not None and (stored is None or (stored.owner, stored.revision) != (owner, before.revision)):
                raise TaskChanged
        return Applied([task for change in changes if (task := self._make(owner, change)) is not None])

    async def erase(self, owner: UserId) -> int | None:
        if owner not in self._versions:
            return None
        erased = [task.id for task in self._tasks.values() if task.owner == owner]
        for task_id in erased:
            del self._tasks[task_id]
        self._keys = {used: value for used, value in self._keys.items() if used[0] != owner}
        del self._versions[owner]
        return len(erased)

    def _make(self, owner: UserId, change: Change) -> Task | None:
        before, after = change
        if owner not in self._versions and after is not None:
            self._versions[owner] = ListVersion(epoch=after.id, revision=0)
        epoch, revision = self._versions[owner]
        self._versions[owner] = ListVersion(epoch, revision + 1)
        if after is None:
            assert before is not None
            del self._tasks[before.id]
            return None
        self._tasks[after.id] = stored = after._replace(revision=revision + 1)
        return stored


_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def _sort_key(position: Position) -> tuple[str, timedelta, int]:
    return position.due, _END_OF_TIME - position.created_at, -position.id.int
