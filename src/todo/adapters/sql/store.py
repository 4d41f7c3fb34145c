"""The TaskStore in a database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, select

from todo.adapters.sql import removals
from todo.adapters.sql.compiled import Row, is_one_of
from todo.adapters.sql.database import Database, KeyRow, ReadBeside, RowChange
from todo.adapters.sql.select_tasks import ORDERS, make_parameters, select_tasks
from todo.adapters.sql.tables import TASK_COLUMNS, idempotency_keys, make_row, tasks, users
from todo.domain.ports import (
    ANY_VERSION,
    KEY_LIFETIME,
    NEVER,
    PAGE_LENGTH,
    TOMBSTONE_LIFETIME,
    Applied,
    Change,
    Changes,
    IdempotencyKey,
    Known,
    ListVersion,
    Order,
    Page,
    Selection,
    Trash,
)
from todo.domain.refusals import KeyReused, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Position, RemovedTask, Task, UserId, check_access

STATEMENTS = 200  # how many statements of lists are kept ready, of the most recent combinations of conditions

_make_task: Callable[[Row], Task] = partial(tuple.__new__, Task)
"""Takes half as long as ``Task._make``, which counts the fields again. The revision comes last."""

_ID, _TITLE, _REVISION = map(Task._fields.index, ("id", "title", "revision"))

_GET = select(*TASK_COLUMNS).where(tasks.c.user_id == bindparam("owner"), tasks.c.id == bindparam("id"))
_FIND = select(*TASK_COLUMNS).where(tasks.c.user_id == bindparam("owner"), is_one_of(tasks.c.id))
_GET_OWNER = select(tasks.c.user_id).where(tasks.c.id == bindparam("id"))
_RECALL = select(
    idempotency_keys.c.note,
    (idempotency_keys.c.request_digest == bindparam("digest", type_=LargeBinary)).label("is_same"),
).where(
    idempotency_keys.c.user_id == bindparam("owner"),
    idempotency_keys.c.key == bindparam("key"),
    idempotency_keys.c.created_at > bindparam("expired", type_=idempotency_keys.c.created_at.type),
)
_VERSION = select(users.c.epoch.label("id"), users.c.revision).where(users.c.id == bindparam("owner"))


class SqlTaskStore:
    """Each call is one statement on PostgreSQL (two when a key was used before, and when there is no such task of the
    owner's), and on SQLite each change is one transaction. A ChangeFeed and a UserEraser, too."""

    def __init__(self, database: Database, trash_lifetime: timedelta = TOMBSTONE_LIFETIME) -> None:
        self._database = database
        self._trash_lifetime = trash_lifetime
        self._get = database.prepare_read(_GET)
        self._get_owner = database.prepare_read(_GET_OWNER)
        self._find = database.prepare_read(_FIND, is_quick=False)
        self._find_removed = database.prepare_read(removals.FIND_REMOVED, is_quick=False)
        self._find_others = database.prepare_read(select(removals.FIND_OTHERS), is_quick=False)
        self._recall = database.prepare_read(_RECALL)
        self._version = database.prepare_read(_VERSION)
        self._get_removed = database.prepare_read(removals.GET_REMOVED)
        self._get_remover = database.prepare_read(removals.GET_REMOVER)
        self._trash = database.prepare_read(removals.TRASH, is_quick=False)
        self._changes = database.prepare_read_beside(
            removals.CHANGES, [("position", False)], removals.VERSION_AND_FORGOTTEN
        )
        self._list = lru_cache(STATEMENTS)(self._prepare_list)

    def gauges(self) -> Mapping[str, float]:
        """Current metrics, by name."""
        return self._database.gauges()

    def counts(self) -> Mapping[str, int]:
        """Metrics that only grow, by name."""
        return {}

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        rows = await self._get({"owner": owner, "id": task_id})
        if not rows:
            owners = await self._get_owner({"id": task_id})
            check_access(owners[0][0] if owners else None, owner)
            raise TaskNotFound  # added a moment ago
        return _make_task(rows[0])

    async def list(
        self,
        owner: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Page:
        given = make_parameters(wanted, after)
        # One more than asked for tells whether the list goes on.
        rows, version = await self._list(wanted.order, *given)({"owner": owner, "limit": limit + 1, **given})
        found = (
            rows[:limit] if wanted.order is Order.NEWEST_FIRST else [row[: len(TASK_COLUMNS)] for row in rows[:limit]]
        )
        return Page(list(map(_make_task, found)), more=len(rows) > limit, version=_make_version(version))

    async def find(self, owner: UserId, ids: Collection[UUID], new: Collection[UUID], *, now: datetime) -> Known:
        given: dict[str, Any] = {"owner": owner, **self._kept_since(now)}
        rows = await self._find({**given, "ids": [one.hex for one in ids]}) if ids else []
        found = {task.id: task for task in map(_make_task, rows)}
        if not (missing := [one.hex for one in ids if one not in found]):
            return Known(found, {}, ())
        removed = {
            row[0]: _make_removed(row[1:]) if row[1] is not None and row[-1] > given["kept_since"] else None
            for row in await self._find_removed({**given, "ids": missing})
        }
        missing = [one.hex for one in ids if one not in found and one not in removed]
        others = await self._find_others({**given, "ids": missing}) if missing else []
        return Known(found, removed, {task_id for (task_id,) in others})

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        rows = await self._version({"owner": owner})
        return _make_version(rows[0] if rows else None)

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        key_row = None
        if key is not None:
            first = changes[0].after
            now = first.removed_at if isinstance(first, RemovedTask) else first.updated_at
            key_row = KeyRow(key.text, key.request_digest, now - KEY_LIFETIME, key.note, now)
            if key.note is None:
                assert isinstance(first, Task)
                return await self._apply_once(owner, first, key_row)
        row, maybe_applied = await self._database.change(
            owner, [self._make_row_change(owner, change) for change in changes], key_row
        )
        if row is not None:
            before_all = row[0] - len(changes)
            stored = [
                _make_task((*after[:-1], before_all + number))
                for number, (_, after) in enumerate(changes, 1)
                if isinstance(after, Task)
            ]
            return Applied(stored, row[0])
        if maybe_applied:
            stored = [task for change in changes for task in await self._find_applied(owner, change)]
            return Applied(stored, (await self.version(owner)).revision)
        raise TaskChanged

    async def recall(self, owner: UserId, key: IdempotencyKey, *, now: datetime) -> str | None:
        given = {"owner": owner, "key": key.text, "digest": key.request_digest, "expired": now - KEY_LIFETIME}
        for note, is_same in await self._recall(given):
            if not is_same:
                raise KeyReused
            return cast(str, note)
        return None

    async def trash(
        self, owner: UserId, *, now: datetime, before: int | None = None, limit: int = PAGE_LENGTH
    ) -> Trash:
        rows = await self._trash(
            {"owner": owner, "before": before or NEVER, "limit": limit + 1, **self._kept_since(now)}
        )
        return Trash([_make_removed(row) for row in rows[:limit]], more=len(rows) > limit)

    async def get_removed(self, owner: UserId, task_id: UUID, *, now: datetime) -> RemovedTask:
        given = {"owner": owner, "id": task_id, **self._kept_since(now)}
        rows = await self._get_removed(given)
        if not rows:
            removers = await self._get_remover(given)
            check_access(removers[0][0] if removers else None, owner)
            raise TaskNotFound  # removed a moment ago
        return _make_removed(rows[0])

    async def purge(self, owner: UserId, task_id: UUID | None = None) -> None:
        await self._database.purge(owner, task_id)

    async def changes(
        self,
        owner: UserId,
        *,
        since: int,
        removed_since: int,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Changes:
        given = {"owner": owner, "since": since, "removed_since": removed_since, "limit": limit + 1}
        rows, beside = await self._changes(given)
        version, forgotten = (_make_version(None), 0) if beside is None else (_make_version(beside[:2]), beside[2])
        page, more = [row[: len(TASK_COLUMNS)] for row in rows[:limit]], len(rows) > limit
        return Changes(
            [_make_task(row) for row in page if row[_TITLE] is not None],
            [row[_ID] for row in page if row[_TITLE] is None],
            page[-1][_REVISION] if more else version.revision,
            more,
            version,
            forgotten,
        )

    async def versions(self, owners: Collection[UserId]) -> Mapping[UserId, ListVersion]:
        rows = await self._database.read_versions(list(owners))
        return {UserId(owner): ListVersion(epoch, revision) for owner, epoch, revision in rows}

    def _kept_since(self, now: datetime) -> dict[str, datetime]:
        return {"kept_since": now - self._trash_lifetime}

    async def erase(self, owner: UserId) -> int | None:
        row, maybe_applied = await self._database.erase(owner)
        if row is None and maybe_applied:
            raise Unavailable("The connection was lost: the person has been erased, or was never known.")
        return None if row is None else int(row[0])

    async def _apply_once(self, owner: UserId, task: Task, key: KeyRow) -> Applied:
        row, _ = await self._database.change(owner, [self._make_row_change(owner, Change(None, task))], key)
        if row is None:  # an earlier attempt has added it
            stored = await self.get(owner, task.id)
            return Applied([stored], stored.revision)
        task_id, digest, revision = row
        if revision is not None:
            return Applied([task._replace(revision=revision)], revision)
        if digest != key.request_digest:
            raise KeyReused
        stored = await self.get(owner, task_id)
        return Applied([stored], stored.revision, replayed=True)

    async def _find_applied(self, owner: UserId, change: Change) -> Sequence[Task]:
        """What an earlier attempt has made of a task; nothing if it was removed. Raises TaskChanged if it has not."""
        before, after = change
        is_removed = isinstance(after, RemovedTask)
        expected = after.task if isinstance(after, RemovedTask) else after
        rows = await self._get({"owner": owner, "id": expected.id})
        stored = _make_task(rows[0]) if rows else None
        if stored is None and is_removed:
            return []
        if stored is None or is_removed:
            raise TaskChanged
        if before is not None and stored != expected._replace(revision=stored.revision):
            raise TaskChanged
        return [stored]

    def _make_row_change(self, owner: UserId, change: Change) -> RowChange:
        before, after = change
        if isinstance(after, RemovedTask):
            assert isinstance(before, Task)
            row = {
                "id": before.id,
                "user_id": owner,
                "revision": before.revision,
                "removed_at": after.removed_at,
                "content": removals.encode_content(before) if self._trash_lifetime else None,
                "content_expired": after.removed_at - self._trash_lifetime,
                "removal_expired": after.removed_at - max(self._trash_lifetime, TOMBSTONE_LIFETIME),
            }
            return RowChange("remove", row)
        row = make_row(after)
        row["user_id"] = owner
        if before is None:
            return RowChange("add", row)
        if isinstance(before, RemovedTask):
            return RowChange("restore", row | {"revision": before.task.revision})
        return RowChange("save", row | {"revision": before.revision})

    def _prepare_list(self, order: Order, *names: str) -> ReadBeside:
        """Beside the tasks the owner's version at the moment in which they were read."""
        return self._database.prepare_read_beside(select_tasks(order, names), ORDERS[order], _VERSION)


def _make_removed(row: Row) -> RemovedTask:
    content, revision, removed_at = row
    return RemovedTask(removals.decode_content(content, revision), removed_at)


def _make_version(row: Row | None) -> ListVersion:
    return ANY_VERSION if row is None or row[1] is None else ListVersion(*row)
