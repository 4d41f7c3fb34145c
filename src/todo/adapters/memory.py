"""A TaskStore in memory: the specification that the other stores are held to, and the one for fast tests."""

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from todo.domain.ports import KEY_LIFETIME, PAGE_LENGTH, Added, Filter, Page
from todo.domain.refusals import KeyReused, TaskChanged, TaskNotFound
from todo.domain.task import Position, Task, UserId


class _Kept(NamedTuple):
    """What an idempotency key led to."""

    task_id: UUID
    title: str
    at: datetime


class MemoryTaskStore:
    """Keeps everything until the process ends; an Eraser, too. Nothing in it awaits, so each call is one atomic act."""

    def __init__(self) -> None:
        self._tasks: dict[UUID, Task] = {}
        self._revisions: defaultdict[UserId, int] = defaultdict(int)
        self._keys: dict[tuple[UserId, str], _Kept] = {}

    async def add(self, task: Task, key: str | None = None) -> Added:
        if key is not None:
            kept = self._keys.get((task.owner, key))
            if kept is not None and task.created_at - kept.at < KEY_LIFETIME:
                if kept.title != task.title:
                    raise KeyReused
                return Added(await self.get(task.owner, kept.task_id), replayed=True)
            self._keys[task.owner, key] = _Kept(task.id, task.title, task.created_at)
        return Added(self._keep(task), replayed=False)

    async def get(self, asker: UserId, task_id: UUID) -> Task:
        if task_id not in self._tasks:
            raise TaskNotFound
        return self._tasks[task_id].belonging_to(asker)

    async def save(self, task: Task) -> Task:
        self._check_revision(task)
        return self._keep(task)

    async def remove(self, task: Task) -> None:
        self._check_revision(task)
        self._revisions[task.owner] += 1
        del self._tasks[task.id]

    async def list(
        self, owner: UserId, wanted: Filter, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        tasks = sorted(
            (
                task
                for task in self._tasks.values()
                if task.owner == owner and wanted.keeps(task) and (after is None or task.position < after)
            ),
            key=lambda task: task.position,
            reverse=True,
        )
        return Page(tasks[:limit], more=len(tasks) > limit, revision=await self.revision(owner))

    async def revision(self, owner: UserId) -> int:
        return self._revisions.get(owner, 0)

    async def erase(self, person: UserId) -> int | None:
        if person not in self._revisions:
            return None
        mine = [task.id for task in self._tasks.values() if task.owner == person]
        for task_id in mine:
            del self._tasks[task_id]
        for owner, key in list(self._keys):
            if owner == person:
                del self._keys[owner, key]
        del self._revisions[person]
        return len(mine)

    def _keep(self, task: Task) -> Task:
        self._revisions[task.owner] += 1
        self._tasks[task.id] = kept = task._replace(revision=self._revisions[task.owner])
        return kept

    def _check_revision(self, task: Task) -> None:
        kept = self._tasks.get(task.id)
        if kept is None or kept.revision != task.revision:
            raise TaskChanged
