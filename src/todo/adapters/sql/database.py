"""The Database protocol, which PostgreSQL and SQLite implement for the store; and its errors."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Column, Engine, MetaData, Select, String, Table, select

from todo.adapters.sql.compiled import Row
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import OperatorNeeded, Unavailable

READY_TIMEOUT = 2  # seconds

Parameters = Mapping[str, Any]
Read = Callable[[Parameters], Awaitable[Sequence[Row]]]  # runs a statement
ReadBeside = Callable[[Parameters], Awaitable[tuple[Sequence[Row], Row | None]]]
"""Runs two statements as one: the rows of the first, and the row of the second."""


Ordering = Sequence[tuple[str, bool]]
"""Names of the columns that rows are sorted by, each with whether its values descend."""

Kind = Literal["add", "save", "remove", "restore"]


class RowChange(NamedTuple):
    kind: Kind
    row: Mapping[str, Any]
    """The task's values by column, with the revision at which it was read unless it is added. Of one that is removed:
    ``user_id``, ``id``, ``revision``, ``removed_at``, its ``content`` and up to which time contents and removals are
    forgotten (``content_expired``, ``removal_expired``)."""


class KeyRow(NamedTuple):
    """An idempotency key, and the creation time up to which keys are forgotten."""

    key: str
    request_digest: bytes
    expired: datetime
    note: str | None = None  # of a batch
    used_at: datetime | None = None  # of a batch


class Changed(NamedTuple):
    row: Row | None
    """The owner's new revision; with a key what it leads to: task_id, request_digest, and the revision if that was
    added just now. None if nothing was changed, because a task has moved on."""
    maybe_applied: bool
    """The outcome of an earlier attempt is unknown: it may have made the change already."""


class Database(Protocol):
    """Connects on first use. Every call raises what ``explain`` says of the driver's errors.

    ``change`` makes all its changes, each of another task of one owner, or none. Locks are taken in one order, tasks
    by ascending id and then their owner, so that two changes never wait for each other in a circle. The owner's
    revision moves once it is certain that something changes, and their row stays locked until that is visible: commit
    order is revision order.
    """

    def prepare_read(self, statement: Select[Any], *, is_quick: bool = True) -> Read:
        """``is_quick``: whether it takes no time, such as a row by its key."""
        ...

    def prepare_read_beside(self, statement: Select[Any], order: Ordering, beside: Select[Any]) -> ReadBeside:
        """What two statements find at the very same moment. The first has its rows in that order, of columns that are
        never null; the second returns at most one row, whose columns are named as some of the first and of their types.
        """
        ...

    async def read_versions(self, owners: Sequence[str]) -> Sequence[Row]:
        """The id, the epoch and the revision of each who is known."""
        ...

    async def change(self, owner: str, changes: Sequence[RowChange], key: KeyRow | None = None) -> Changed:
        """A key without a note goes with one addition: if it leads to another task already, nothing is added. With a
        note nothing is changed if the key is in use."""
        ...

    async def purge(self, owner: str, task_id: UUID | None) -> None:
        """Removes the content of one of a person's removed tasks, or of all."""
        ...

    async def erase(self, owner: str) -> Changed:
        """Removes a person with all their rows. The row holds how many tasks there were; None for no person."""
        ...

    def engine(self) -> Engine:
        """SQLAlchemy's own, for the migrations. Its connections begin no transactions by themselves."""
        ...

    def explain(self, error: BaseException | None) -> Unavailable | OperatorNeeded | None:
        """What an error of the driver means to those who asked; None for a fault of this program."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """How its connections are used, by name."""
        ...

    async def close(self) -> None: ...


class DatabaseAway(Unavailable):
    """The database can't be reached."""

    def __init__(self) -> None:
        super().__init__("The database can't be reached; try again in a moment.")


class SchemaOutdated(Unavailable):
    """The schema is older than this program, or does not exist yet: an upgrade is about to run, or was forgotten."""

    def __init__(self) -> None:
        super().__init__(f"The database {self.fault}; run `todo db upgrade`.")

    fault = "has a schema that is older than this program"


class SchemaMissing(SchemaOutdated):
    """There is no schema at all."""

    fault = "has no schema yet"


_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


async def check_ready(database: Database, timeout: float = READY_TIMEOUT) -> bool:  # noqa: ASYNC109 - of all of it
    """Whether the schema is no newer than this program. Raises Unavailable while the database is away or its schema
    outdated, and OperatorNeeded."""
    try:
        async with asyncio.timeout(timeout):
            names = await database.prepare_read(select(_version.c.version_num))({})
    except SchemaOutdated as error:
        raise SchemaMissing from error
    except TimeoutError as error:
        raise Unavailable(f"The database has not answered within {timeout:g} seconds.") from error
    newest = max((name for (name,) in names), default="")
    if newest < SCHEMA_VERSION:
        raise SchemaOutdated
    return newest == SCHEMA_VERSION  # a newer one works: migrations only add
