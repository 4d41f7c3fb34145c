"""What the store asks of a database, whichever it is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy import Column, Engine, MetaData, Select, String, Table, select

from todo.adapters.sql.chain import Chain
from todo.adapters.sql.statements import Row
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import Unavailable

if TYPE_CHECKING:  # each is loaded by who works on that database
    from sqlalchemy.dialects import postgresql, sqlite

READY_TIMEOUT = 2
"""Seconds."""

Read = Callable[[Mapping[str, Any]], Awaitable[Sequence[Row]]]
"""Runs a statement with parameters."""
ReadBeside = Callable[[Mapping[str, Any]], Awaitable[tuple[Sequence[Row], Any]]]
"""Runs two statements as one, with parameters: the rows of the first, and the value of the second."""


class Changed(NamedTuple):
    row: Row | None
    """That of the chain's last link."""
    again: bool
    """Whether an earlier try was lost on its way, which may have been made all the same: what is missing or already
    there may be its work."""


Change = Callable[[Mapping[str, Any]], Awaitable[Changed]]
"""Makes a change with parameters, wholly or not at all."""


class Database(Protocol):
    """Connects when it is first asked. What it prepares raises Unavailable, as ``meaning_of`` says."""

    def insert(self, table: Table) -> "postgresql.Insert | sqlite.Insert":
        """The dialect's own: both know ON CONFLICT, SQLAlchemy's common one does not."""
        ...

    def reading(self, statement: Select[Any]) -> Read:
        """For what takes no time, such as a row by its key."""
        ...

    def reading_beside(self, statement: Select[Any], latest: Sequence[Column[Any]], beside: Select[Any]) -> ReadBeside:
        """What two statements find at the very same moment. The first has its rows in descending order of these
        columns, the second at most one row of one value, which is None without a row."""
        ...

    def changing(self, chain: Chain) -> Change: ...

    def engine(self) -> Engine:
        """SQLAlchemy's own, for the migrations. Its connections begin no transactions by themselves."""
        ...

    def meaning_of(self, error: BaseException | None) -> Unavailable | None:
        """Of an error of the driver: that the database is away, damaged, or has no schema yet. None for an error
        that no waiting and no operator mends."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """How its connections are used, by name."""
        ...

    async def close(self) -> None: ...


class Away(Unavailable):
    """The database can't be reached."""

    def __init__(self) -> None:
        super().__init__("The database can't be reached; try again in a moment.")


class SchemaIsOld(Unavailable):
    """The schema is older than this program, or was never made."""

    def __init__(self) -> None:
        super().__init__("The database's schema is older than this program; run `todo db upgrade`.")


_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


async def check_ready(database: Database, within: float = READY_TIMEOUT) -> bool:
    """Whether the schema is no newer than this program. Raises Unavailable while the database is away or its schema is
    older."""
    try:
        async with asyncio.timeout(within):
            names = await database.reading(select(_version.c.version_num))({})
    except TimeoutError as error:
        raise Unavailable(f"The database has not answered within {within:g} seconds.") from error
    newest = max((name for (name,) in names), default="")
    if newest < SCHEMA_VERSION:
        raise SchemaIsOld
    return newest == SCHEMA_VERSION  # a newer one is fine: migrations only add
