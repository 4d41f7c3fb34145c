"""The TaskStore in a database that has a standby, which answers reads that may be a little old."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from time import monotonic
from typing import TypeVar
from uuid import UUID

from todo.adapters.sql.database import Database, DatabaseAway
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import ANY_VERSION, PAGE_LENGTH, Changes, ListVersion, Page, Selection
from todo.domain.refusals import Refusal
from todo.domain.task import Position, Task, UserId

RETRY_INTERVAL = 2  # seconds for which a standby that is away is not asked

T = TypeVar("T")


class ReplicatedTaskStore(SqlTaskStore):
    """A read with ``at_least`` is the standby's if it has that version, finds what is looked for, and answers; in all
    other cases it is the primary's. So is everything else, changes and their own reads first of all."""

    def __init__(self, primary: Database, standby: Database, trash_lifetime: timedelta) -> None:
        super().__init__(primary, trash_lifetime)
        self._standby = SqlTaskStore(standby, trash_lifetime)
        self._is_away = False
        self._retry_at = 0.0  # by time.monotonic
        self._counts = {"db_standby_reads_total": 0, "db_standby_misses_total": 0}

    def gauges(self) -> Mapping[str, float]:
        of_standby = {name.replace("db_", "db_standby_"): value for name, value in self._standby.gauges().items()}
        return {**super().gauges(), **of_standby}

    def counts(self) -> Mapping[str, int]:
        """Reads that the standby answered, and that the primary had to answer in its place."""
        return self._counts

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        async def read(standby: SqlTaskStore, needed: ListVersion) -> Task:
            # First the version: the task that is read afterwards is of this one or a later one.
            if needed != ANY_VERSION:
                _check_version(await standby.version(owner), needed)
            return await standby.get(owner, task_id)

        return await self._ask_standby(at_least, read) or await super().get(owner, task_id)

    async def list(
        self,
        owner: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Page:
        async def read(standby: SqlTaskStore, needed: ListVersion) -> Page:
            page = await standby.list(owner, wanted, after=after, limit=limit)
            _check_version(page.version, needed)
            return page

        found = await self._ask_standby(at_least, read)
        return found or await super().list(owner, wanted, after=after, limit=limit)

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        async def read(standby: SqlTaskStore, needed: ListVersion) -> ListVersion:
            version = await standby.version(owner)
            _check_version(version, needed)
            return version

        return await self._ask_standby(at_least, read) or await super().version(owner)

    async def changes(
        self,
        owner: UserId,
        *,
        since: int,
        removed_since: int,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Changes:
        async def read(standby: SqlTaskStore, needed: ListVersion) -> Changes:
            changes = await standby.changes(owner, since=since, removed_since=removed_since, limit=limit)
            _check_version(changes.version, needed)
            return changes

        found = await self._ask_standby(at_least, read)
        return found or await super().changes(owner, since=since, removed_since=removed_since, limit=limit)

    async def versions(self, owners: Collection[UserId]) -> Mapping[UserId, ListVersion]:
        """What is announced here is what the next read finds, unless the standby is away."""
        found = await self._ask_standby(ANY_VERSION, lambda standby, _: standby.versions(owners))
        return await super().versions(owners) if found is None else found

    async def _ask_standby(
        self, at_least: ListVersion | None, read: Callable[[SqlTaskStore, ListVersion], Awaitable[T]]
    ) -> T | None:
        """None if the primary has to be asked."""
        if at_least is None or (self._is_away and monotonic() < self._retry_at):
            return None
        self._retry_at = monotonic() + RETRY_INTERVAL  # while it is away, one request at a time tries it
        try:
            found = await read(self._standby, at_least)
        except DatabaseAway:
            self._is_away = True
        except (Refusal, _TooOld):
            self._is_away = False  # the primary knows better
        else:
            self._is_away = False
            self._counts["db_standby_reads_total"] += 1
            return found
        self._counts["db_standby_misses_total"] += 1
        return None


class _TooOld(Exception):
    """The standby has not got as far as the version that is asked for."""


def _check_version(found: ListVersion, needed: ListVersion) -> None:
    if not found.has_reached(needed):
        raise _TooOld
