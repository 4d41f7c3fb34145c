"""A TaskStore in memory: the specification that the other stores are held to, and the one for fast tests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from todo.domain.ports import (
    ANY_VERSION,
    KEY_LIFETIME,
    PAGE_LENGTH,
    TOMBSTONE_LIFETIME,
    Applied,
    Change,
    Changes,
    IdempotencyKey,
    Known,
    ListVersion,
    Page,
    Selection,
    Trash,
)
from todo.domain.refusals import KeyReused, TaskChanged
from todo.domain.task import Position, RemovedTask, Task, UserId, check_access


class _UsedKey(NamedTuple):
    key: IdempotencyKey
    task_id: UUID | None  # of a single addition
    used_at: datetime


class _Removal(NamedTuple):
    owner: UserId
    task_id: UUID
    revision: int
    removed_at: datetime
    task: Task | None  # what it was; None once that is forgotten


class MemoryTaskStore:
    """Keeps everything until the process ends; a ChangeFeed and a UserEraser, too. Nothing in it awaits, so each call
    is one atomic act."""

    def __init__(self, trash_lifetime: timedelta = TOMBSTONE_LIFETIME) -> None:
        self._trash_lifetime = trash_lifetime
        self._tasks: dict[UUID, Task] = {}
        self._removals: dict[UUID, _Removal] = {}
        self._versions: dict[UserId, ListVersion] = {}
        self._forgotten: dict[UserId, int] = {}
        self._keys: dict[tuple[UserId, str], _UsedKey] = {}

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        task = self._tasks.get(task_id)
        check_access(task and task.owner, owner)
        assert task is not None
        return task

    async def list(
        self,
        owner: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
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

    async def find(self, owner: UserId, ids: Collection[UUID], new: Collection[UUID], *, now: datetime) -> Known:
        tasks = [self._tasks[task_id] for task_id in ids if task_id in self._tasks]
        removals = [self._removals[task_id] for task_id in ids if task_id in self._removals]
        return Known(
            {task.id: task for task in tasks if task.owner == owner},
            {
                one.task_id: RemovedTask(one.task, one.removed_at) if one.task and self._keeps(one, now) else None
                for one in removals
                if one.owner == owner
            },
            {task.id for task in tasks if task.owner != owner}
            | {one.task_id for one in removals if one.owner != owner and one.task and self._keeps(one, now)},
        )

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        return self._versions.get(owner, ANY_VERSION)

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        first = changes[0].after
        now = first.removed_at if isinstance(first, RemovedTask) else first.updated_at
        if key is not None and (used := self._find_key(owner, key, now)) is not None:
            if used.task_id is None or key.note is not None:
                raise TaskChanged
            task = await self.get(owner, used.task_id)
            return Applied([task], task.revision, replayed=True)
        for before, after in changes:
            if not self._is_current(owner, before) or (before is None and self._is_taken(after)):
                raise TaskChanged
        if key is not None:
            task_id = first.id if isinstance(first, Task) and key.note is None else None
            self._keys[owner, key.text] = _UsedKey(key, task_id, now)
        made = [self._make(owner, change) for change in changes]
        return Applied([one for one in made if one is not None], self._versions[owner].revision)

    async def recall(self, owner: UserId, key: IdempotencyKey, *, now: datetime) -> str | None:
        used = self._find_key(owner, key, now)
        return None if used is None else used.key.note

    async def trash(
        self, owner: UserId, *, now: datetime, before: int | None = None, limit: int = PAGE_LENGTH
    ) -> Trash:
        kept = [
            RemovedTask(removal.task, removal.removed_at)
            for removal in sorted(self._removals.values(), key=lambda removal: removal.revision, reverse=True)
            if removal.owner == owner
            and removal.task is not None
            and self._keeps(removal, now)
            and (before is None or removal.revision < before)
        ]
        return Trash(kept[:limit], more=len(kept) > limit)

    async def get_removed(self, owner: UserId, task_id: UUID, *, now: datetime) -> RemovedTask:
        removal = self._removals.get(task_id)
        is_kept = removal is not None and removal.task is not None and self._keeps(removal, now)
        check_access(removal.owner if removal is not None and is_kept else None, owner)
        assert removal is not None
        assert removal.task is not None
        return RemovedTask(removal.task, removal.removed_at)

    async def purge(self, owner: UserId, task_id: UUID | None = None) -> None:
        for removal in list(self._removals.values()):
            if removal.owner == owner and task_id in (None, removal.task_id):
                self._removals[removal.task_id] = removal._replace(task=None)

    async def changes(
        self,
        owner: UserId,
        *,
        since: int,
        removed_since: int,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Changes:
        found: list[Task | _Removal] = [
            *(task for task in self._tasks.values() if task.owner == owner and task.revision > since),
            *(one for one in self._removals.values() if one.owner == owner and one.revision > removed_since),
        ]
        found.sort(key=lambda one: one.revision)
        page, more, version = found[:limit], len(found) > limit, await self.version(owner)
        return Changes(
            [one for one in page if isinstance(one, Task)],
            [one.task_id for one in page if isinstance(one, _Removal)],
            page[-1].revision if more else version.revision,
            more,
            version,
            self._forgotten.get(owner, 0),
        )

    async def versions(self, owners: Collection[UserId]) -> Mapping[UserId, ListVersion]:
        return {owner: self._versions[owner] for owner in owners if owner in self._versions}

    async def erase(self, owner: UserId) -> int | None:
        if owner not in self._versions:
            return None
        erased = [task.id for task in self._tasks.values() if task.owner == owner]
        for task_id in erased:
            del self._tasks[task_id]
        self._keys = {used: value for used, value in self._keys.items() if used[0] != owner}
        self._removals = {task_id: one for task_id, one in self._removals.items() if one.owner != owner}
        self._forgotten.pop(owner, None)
        del self._versions[owner]
        return len(erased)

    def _keeps(self, removal: _Removal, now: datetime) -> bool:
        return removal.removed_at > now - self._trash_lifetime

    def _find_key(self, owner: UserId, key: IdempotencyKey, now: datetime) -> _UsedKey | None:
        used = self._keys.get((owner, key.text))
        if used is None or now - used.used_at >= KEY_LIFETIME:
            return None
        if used.key.request_digest != key.request_digest:
            raise KeyReused
        return used

    def _is_taken(self, added: Task | RemovedTask) -> bool:
        return isinstance(added, Task) and added.id in self._tasks

    def _is_current(self, owner: UserId, before: Task | RemovedTask | None) -> bool:
        if before is None:
            return True
        if isinstance(before, RemovedTask):
            removal = self._removals.get(before.task.id)
            is_there = removal is not None and removal.task is not None
            return is_there and (removal.owner, removal.revision) == (owner, before.task.revision)  # type: ignore[union-attr] # it is there
        stored = self._tasks.get(before.id)
        return stored is not None and (stored.owner, stored.revision) == (owner, before.revision)

    def _make(self, owner: UserId, change: Change) -> Task | None:
        before, after = change
        if owner not in self._versions:
            assert isinstance(after, Task)
            self._versions[owner] = ListVersion(epoch=after.id, revision=0)
        epoch, revision = self._versions[owner]
        self._versions[owner] = ListVersion(epoch, revision + 1)
        if isinstance(after, RemovedTask):
            self._forget(owner, after.removed_at)
            del self._tasks[after.task.id]
            content = after.task._replace(revision=revision + 1) if self._trash_lifetime else None
            self._removals[after.task.id] = _Removal(owner, after.task.id, revision + 1, after.removed_at, content)
            return None
        if isinstance(before, RemovedTask):
            del self._removals[after.id]
        self._tasks[after.id] = stored = after._replace(revision=revision + 1)
        return stored

    def _forget(self, owner: UserId, now: datetime) -> None:
        """Everything that has been kept for long enough."""
        for removal in [one for one in self._removals.values() if one.owner == owner]:
            if removal.removed_at <= now - max(self._trash_lifetime, TOMBSTONE_LIFETIME):
                del self._removals[removal.task_id]
                self._forgotten[owner] = max(self._forgotten.get(owner, 0), removal.revision)
            elif removal.removed_at <= now - self._trash_lifetime:
                self._removals[removal.task_id] = removal._replace(task=None)


_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def _sort_key(position: Position) -> tuple[str, timedelta, int]:
    return position.due, _END_OF_TIME - position.created_at, -position.id.int
