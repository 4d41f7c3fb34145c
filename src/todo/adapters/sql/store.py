"""The TaskStore in a database."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from todo.adapters.sql import changes
from todo.adapters.sql.chain import Chain, Change, one_statement, one_transaction
from todo.adapters.sql.database import translated_errors
from todo.adapters.sql.tables import tasks, users
from todo.domain.ports import KEY_LIFETIME, PAGE_LENGTH, Added, Filter, Page
from todo.domain.refusals import KeyReused, TaskChanged, TaskNotFound
from todo.domain.task import Position, Task, UserId

_TASK = (
    tasks.c.id,
    tasks.c.user_id,
    tasks.c.title,
    tasks.c.completed,
    tasks.c.created_at,
    tasks.c.updated_at,
    tasks.c.revision,
)
_GET = select(*_TASK).where(tasks.c.id == bindparam("id"))
_LIST = (
    select(*_TASK)
    .where(tasks.c.user_id == bindparam("owner"))
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    .limit(bindparam("limit"))
)
_REVISION = select(users.c.revision).where(users.c.id == bindparam("owner"))


class SqlTaskStore:
    """On PostgreSQL each call is one statement (two when ``add`` meets a used key), on SQLite each change is one
    transaction. Wants an engine in AUTOCOMMIT."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        lock = asyncio.Lock()

        def change(chain: Chain) -> Change:
            if engine.dialect.name == "postgresql":
                return one_statement(engine, chain)
            return one_transaction(engine, chain, lock)

        insert = _insert_of(engine)
        self._add = change(changes.adding(insert))
        self._add_once = change(changes.adding_once(insert))
        self._save = change(changes.saving())
        self._remove = change(changes.removing())

    async def add(self, task: Task, key: str | None = None) -> Added:
        if key is not None:
            return await self._add_with_key(task, key)
        async with translated_errors():
            row = await self._add(_given(task))
        assert row is not None
        return Added(replace(task, revision=row.revision), replayed=False)

    async def _add_with_key(self, task: Task, key: str) -> Added:
        digest = sha256(task.title.encode()).digest()
        of_the_key = changes.given(key=key, title_digest=digest, expired=task.created_at - KEY_LIFETIME)
        async with translated_errors():
            row = await self._add_once(_given(task) | of_the_key)
        assert row is not None
        if row.revision is not None:
            return Added(replace(task, revision=row.revision), replayed=False)
        if row.title_digest != digest:
            raise KeyReused
        return Added(await self.get(task.owner, row.task_id), replayed=True)

    async def get(self, asker: UserId, task_id: UUID) -> Task:
        rows = await self._read(_GET, {"id": task_id})
        if not rows:
            raise TaskNotFound
        return _task(rows[0]).belonging_to(asker)

    async def save(self, task: Task) -> Task:
        async with translated_errors():
            row = await self._save(_given(task))
        if row is None:
            raise TaskChanged
        return replace(task, revision=row.revision)

    async def remove(self, task: Task) -> None:
        async with translated_errors():
            row = await self._remove(_given(task))
        if row is None:
            raise TaskChanged

    async def list(
        self, owner: UserId, wanted: Filter, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        statement = _LIST
        if wanted.completed is not None:
            statement = statement.where(tasks.c.completed == wanted.completed)
        if wanted.text is not None:
            statement = statement.where(tasks.c.title_folded.contains(wanted.text.casefold(), autoescape=True))
        if wanted.ids is not None:
            statement = statement.where(tasks.c.id.between(wanted.ids.first, wanted.ids.last))
        if after is not None:
            statement = statement.where(tuple_(tasks.c.created_at, tasks.c.id) < after)
        # One more than asked for tells whether the list goes on.
        rows = await self._read(statement, {"owner": owner, "limit": limit + 1})
        return Page([_task(row) for row in rows[:limit]], more=len(rows) > limit)

    async def revision(self, owner: UserId) -> int:
        rows = await self._read(_REVISION, {"owner": owner})
        return int(rows[0].revision) if rows else 0

    async def _read(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        async with translated_errors(), self._engine.connect() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(statement, parameters)).all()
            return rows


def _insert_of(engine: AsyncEngine) -> changes.Insert:
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment] # two classes, used alike
    return insert


def _given(task: Task) -> dict[str, Any]:
    return changes.given(
        task_id=task.id,
        user_id=task.owner,
        title=task.title,
        title_folded=task.title.casefold(),
        completed=task.completed,
        created_at=task.created_at,
        updated_at=task.updated_at,
        revision=task.revision,
    )


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        owner=row.user_id,
        title=row.title,
        completed=row.completed,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
    )
