"""The TaskStore in a database."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from uuid import UUID

from sqlalchemy import bindparam, select

from todo.adapters.sql.compiled import Row
from todo.adapters.sql.database import Database, KeyRow, ReadBeside, RowChange
from todo.adapters.sql.select_tasks import ORDERS, make_parameters, select_tasks
from todo.adapters.sql.tables import TASK_COLUMNS, make_row, tasks, users
from todo.domain.ports import (
    KEY_LIFETIME,
    PAGE_LENGTH,
    Applied,
    Change,
    IdempotencyKey,
    ListVersion,
    Order,
    Page,
    Selection,
)
from todo.domain.refusals import KeyReused, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Position, Task, UserId, check_access

STATEMENTS = 200  # how many statements of lists are kept ready, of the most recent combinations of conditions

_make_task: Callable[[Row], Task] = partial(tuple.__new__, Task)
"""Takes half as long as ``Task._make``, which counts the fields again."""

_GET = select(*TASK_COLUMNS).where(tasks.c.user_id == bindparam("owner"), tasks.c.id == bindparam("id"))
_GET_OWNER = select(tasks.c.user_id).where(tasks.c.id == bindparam("id"))
_VERSION = select(users.c.epoch.label("id"), users.c.revision).where(users.c.id == bindparam("owner"))


class SqlTaskStore:
    """Each call is one statement on PostgreSQL (two when a key was used before, and when there is no such task of the
    owner's), and on SQLite each change is one transaction. A UserEraser, too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._get = database.prepare_read(_GET)
        self._get_owner = database.prepare_read(_GET_OWNER)
        self._version = database.prepare_read(_VERSION)
        self._list = lru_cache(STATEMENTS)(self._prepare_list)

    async def get(self, owner: UserId, task_id: UUID) -> Task:
        rows = await self._get({"owner": owner, "id": task_id})
        if not rows:
            owners = await self._get_owner({"id": task_id})
            check_access(owners[0][0] if owners else None, owner)
            raise TaskNotFound  # added a moment ago
        return _make_task(rows[0])

    async def list(
        self, owner: UserId, wanted: Selection, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        given = make_parameters(wanted, after)
        # One more than asked for tells whether the list goes on.
        rows, version = await self._list(wanted.order, *given)({"owner": owner, "limit": limit + 1, **given})
        found = (
            rows[:limit] if wanted.order is Order.NEWEST_FIRST else [row[: len(TASK_COLUMNS)] for row in rows[:limit]]
        )
        return Page(list(map(_make_task, found)), more=len(rows) > limit, version=_make_version(version))

    async def version(self, owner: UserId) -> ListVersion:
        rows = await self._version({"owner": owner})
        return _make_version(rows[0] if rows else None)

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        if key is not None:
            [(_, task)] = changes
            assert task is not None
            return await self._apply_once(owner, task, key)
        row, maybe_applied = await self._database.change(owner, [_make_row_change(owner, change) for change in changes])
        if row is not None:
            before_all = row[0] - len(changes)
            return Applied(
                [
                    after._replace(revision=before_all + number)
                    for number, (_, after) in enumerate(changes, 1)
                    if after is not None
                ]
            )
        if maybe_applied:
            return Applied([task for change in changes for task in await self._find_applied(owner, change)])
        raise TaskChanged

    async def erase(self, owner: UserId) -> int | None:
        row, maybe_applied = await self._database.erase(owner)
        if row is None and maybe_applied:
            raise Unavailable("The connection was lost: the person has been erased, or was never known.")
        return None if row is None else int(row[0])

    async def _apply_once(self, owner: UserId, task: Task, key: IdempotencyKey) -> Applied:
        key_row = KeyRow(key.text, key.request_digest, expired=task.created_at - KEY_LIFETIME)
        row, _ = await self._database.change(owner, [_make_row_change(owner, Change(None, task))], key_row)
        if row is None:  # an earlier attempt has added it
            return Applied([await self.get(owner, task.id)])
        task_id, digest, revision = row
        if revision is not None:
            return Applied([task._replace(revision=revision)])
        if digest != key.request_digest:
            raise KeyReused
        return Applied([await self.get(owner, task_id)], replayed=True)

    async def _find_applied(self, owner: UserId, change: Change) -> Sequence[Task]:
        """What an earlier attempt has made of a task; nothing if it was removed. Raises TaskChanged if it has not."""
        before, after = change
        task_id = after.id if after is not None else before.id  # type: ignore[union-attr] # one of them is there
        rows = await self._get({"owner": owner, "id": task_id})
        stored = _make_task(rows[0]) if rows else None
        if stored is None and after is None:
            return []
        if stored is None or after is None:
            raise TaskChanged
        if before is not None and stored != after._replace(revision=stored.revision):
            raise TaskChanged
        return [stored]

    def _prepare_list(self, order: Order, *names: str) -> ReadBeside:
        """Beside the tasks the owner's version at the moment in which they were read."""
        return self._database.prepare_read_beside(select_tasks(order, names), ORDERS[order], _VERSION)


def _make_row_change(owner: UserId, change: Change) -> RowChange:
    before, after = change
    row = make_row(after or before)  # type: ignore[arg-type] # one of them is there
    row["user_id"] = owner
    if before is not None:
        row["revision"] = before.revision
    return RowChange("add" if before is None else "remove" if after is None else "save", row)


def _make_version(row: Row | None) -> ListVersion:
    return ListVersion(None, 0) if row is None or row[1] is None else ListVersion(*row)
