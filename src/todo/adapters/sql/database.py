"""Engines, the schema's state, and what a database's errors mean to the domain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Column, MetaData, String, Table, event, exc, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import Unavailable

CONNECT_TIMEOUT = 15
"""Seconds. A serverless PostgreSQL that sleeps takes some to wake."""

POOL_TIMEOUT = 5
"""Seconds a call waits for a connection of the pool."""

BUSY_TIMEOUT = 10
"""Seconds a SQLite writer waits for those of other processes."""

READY_TIMEOUT = 2
"""Seconds."""

OLD_SCHEMA = "The database's schema is older than this program; run `todo db upgrade`."

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


def postgresql_engine(url: str, pool_size: int) -> AsyncEngine:
    """For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it."""

    async def connect() -> psycopg.AsyncConnection[Any]:
        # No prepared statements: a transaction pooler gives the next statement another session.
        return await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT, prepare_threshold=None)

    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_use_lifo=True,
        hide_parameters=True,
    )


def sqlite_engine(file: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{file}",
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT},
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")  # readers and a writer, of several processes, at once
        cursor.execute("PRAGMA synchronous = FULL")  # an answered change survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


@asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Turns the errors of a database that is away, or not yet set up, into Unavailable. The rest are bugs of ours."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable("All database connections are in use; try again in a moment.") from error
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise Unavailable(OLD_SCHEMA) from error
        if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
            raise Unavailable("The database can't be reached; try again in a moment.") from error
        raise
    except psycopg.OperationalError as error:  # while connecting
        raise Unavailable("The database can't be reached; try again in a moment.") from error


async def check_ready(engine: AsyncEngine) -> None:
    """Raises Unavailable while the database is away or its schema is older than this program."""
    try:
        async with translated_errors(), asyncio.timeout(READY_TIMEOUT), engine.connect() as connection:
            names = (await connection.execute(select(_version.c.version_num))).scalars().all()
    except TimeoutError as error:
        raise Unavailable(f"The database has not answered within {READY_TIMEOUT} seconds.") from error
    # A newer schema is fine: migrations only add.
    if max(names, default="") < SCHEMA_VERSION:
        raise Unavailable(OLD_SCHEMA)
