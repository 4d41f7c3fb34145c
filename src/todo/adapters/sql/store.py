"""The TaskStore in a database."""

import re
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, bindparam, select, true, tuple_

from todo.adapters.sql import changes
from todo.adapters.sql.database import Database, ReadBeside
from todo.adapters.sql.statements import Row
from todo.adapters.sql.tables import tasks, users
from todo.domain.ports import KEY_LIFETIME, PAGE_LENGTH, Added, Filter, Page
from todo.domain.refusals import KeyReused, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Position, Task, UserId

# In the order of Task's fields.
_TASK = (
    tasks.c.id,
    tasks.c.user_id,
    tasks.c.title,
    tasks.c.completed,
    tasks.c.created_at,
    tasks.c.updated_at,
    tasks.c.revision,
)
_TASK_PARAMETERS = [
    changes.parameter("task_id" if column is tasks.c.id else column.name) for column in (*_TASK, tasks.c.title_folded)
]
_KEY_PARAMETERS = [changes.parameter(name) for name in ("key", "title_digest", "expired")]
_task_of: Callable[[Row], Task] = partial(tuple.__new__, Task)
"""Half as long as ``Task._make`` takes, which counts the fields anew."""
_GET = select(*_TASK).where(tasks.c.id == bindparam("id"))
_WANTED = {
    "completed": tasks.c.completed == bindparam("completed"),
    "pattern": tasks.c.title_folded.like(bindparam("pattern"), escape="/"),
    "first": tasks.c.id >= bindparam("first"),
    "last": tasks.c.id <= bindparam("last"),
    "after_time": tuple_(tasks.c.created_at, tasks.c.id)
    < tuple_(bindparam("after_time", type_=tasks.c.created_at.type), bindparam("after_id", type_=tasks.c.id.type)),
    "after_id": true(),
}
_REVISION = select(users.c.revision).where(users.c.id == bindparam("owner"))


class SqlTaskStore:
    """On PostgreSQL each call is one statement (two when ``add`` meets a used key), on SQLite each change is one
    transaction. An Eraser, too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add = database.changing(changes.adding(database.insert))
        self._add_once = database.changing(changes.adding_once(database.insert))
        self._save = database.changing(changes.saving())
        self._remove = database.changing(changes.removing())
        self._erase = database.changing(changes.erasing())
        self._get = database.reading(_GET)
        self._revision = database.reading(_REVISION)
        self._listing = cache(self._listing_of)

    async def add(self, task: Task, key: str | None = None) -> Added:
        if key is not None:
            return await self._add_with_key(task, key)
        row, _ = await self._add(_given(task))
        if row is None:  # an earlier try has made it
            return Added(await self.get(task.owner, task.id), replayed=False)
        return Added(task._replace(revision=row[0]), replayed=False)

    async def _add_with_key(self, task: Task, key: str) -> Added:
        digest = sha256(task.title.encode()).digest()
        of_the_key = (key, digest, task.created_at - KEY_LIFETIME)
        row, _ = await self._add_once(_given(task) | dict(zip(_KEY_PARAMETERS, of_the_key, strict=True)))
        if row is None:  # an earlier try has made it
            return Added(await self.get(task.owner, task.id), replayed=False)
        kept_id, kept_digest, revision = row
        if revision is not None:
            return Added(task._replace(revision=revision), replayed=False)
        if kept_digest != digest:
            raise KeyReused
        return Added(await self.get(task.owner, kept_id), replayed=True)

    async def get(self, asker: UserId, task_id: UUID) -> Task:
        kept = await self._kept(task_id)
        if kept is None:
            raise TaskNotFound
        return kept.belonging_to(asker)

    async def save(self, task: Task) -> Task:
        row, again = await self._save(_given(task))
        if row is not None:
            return task._replace(revision=row[0])
        kept = await self._kept(task.id) if again else None
        if kept is not None and kept == task._replace(revision=kept.revision):
            return kept
        raise TaskChanged

    async def remove(self, task: Task) -> None:
        row, again = await self._remove(_given(task))
        if row is None and not (again and await self._kept(task.id) is None):
            raise TaskChanged

    async def _kept(self, task_id: UUID) -> Task | None:
        rows = await self._get({"id": task_id})
        return _task_of(rows[0]) if rows else None

    async def list(
        self, owner: UserId, wanted: Filter, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        parts: dict[str, Any] = {}
        if wanted.completed is not None:
            parts["completed"] = wanted.completed
        if wanted.text is not None:
            parts["pattern"] = "%" + re.sub("[/%_]", r"/\g<0>", wanted.text.casefold()) + "%"
        if wanted.ids is not None:
            parts["first"], parts["last"] = wanted.ids.first, wanted.ids.last
        if after is not None:
            parts["after_time"], parts["after_id"] = after
        # One more than asked for tells whether the list goes on.
        rows, revision = await self._listing(*parts)({"owner": owner, "limit": limit + 1, **parts})
        return Page(list(map(_task_of, rows[:limit])), more=len(rows) > limit, revision=revision or 0)

    async def revision(self, owner: UserId) -> int:
        rows = await self._revision({"owner": owner})
        return int(rows[0][0]) if rows else 0

    async def erase(self, person: UserId) -> int | None:
        row, again = await self._erase({changes.parameter("user_id"): person})
        if row is None and again:
            raise Unavailable("The database was away in between: the person is erased, or was never known.")
        return None if row is None else int(row[0])

    def _listing_of(self, *parts: str) -> ReadBeside:
        """Beside the tasks their owner's revision: of the moment in which they were read, neither older nor newer."""
        stretch = select(*_TASK).where(tasks.c.user_id == bindparam("owner"), *(_WANTED[part] for part in parts))
        latest = (tasks.c.created_at, tasks.c.id)
        return self._database.reading_beside(
            stretch.order_by(*(column.desc() for column in latest)).limit(bindparam("limit", type_=Integer)),
            latest,
            _REVISION,
        )


def _given(task: Task) -> dict[str, Any]:
    return dict(zip(_TASK_PARAMETERS, (*task, task.title.casefold()), strict=True))
