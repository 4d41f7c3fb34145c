"""Engines, the schema's state, and what a database's errors mean to the domain."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Column, MetaData, String, Table, event, exc, select
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

AWAY = "The database can't be reached; try again in a moment."
OLD_SCHEMA = "The database's schema is older than this program; run `todo db upgrade`."

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


def postgresql_engine(url: str, pool_size: int) -> AsyncEngine:
    """For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it."""

    async def connect() -> psycopg.AsyncConnection[Any]:
        # No prepared statements: a transaction pooler gives the next statement another session.
        return await psycopg.AsyncConnection.connect(
            url, connect_timeout=CONNECT_TIMEOUT, client_encoding="utf8", prepare_threshold=None
        )

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
        URL.create("sqlite+aiosqlite", database=str(file)),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT},
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")  # an answered change survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


@asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Turns the errors of a database that is away, damaged or not yet set up into Unavailable. The rest are bugs."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable("All database connections are in use; try again in a moment.") from error
    except exc.DBAPIError as error:
        why = _why(error.orig) or (AWAY if error.connection_invalidated else None)
        if why is None:
            raise
        raise Unavailable(why) from error
    except (psycopg.Error, sqlite3.Error) as error:  # while connecting
        raise Unavailable(_why(error) or AWAY) from error


def _why(error: BaseException | None) -> str | None:
    """None for an error that no waiting and no operator mends."""
    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return OLD_SCHEMA
        case psycopg.errors.InsufficientPrivilege():
            return "The database does not let this service do its work."
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return AWAY
        case sqlite3.OperationalError() if str(error).startswith("no such "):
            return OLD_SCHEMA
        case sqlite3.OperationalError() | sqlite3.InterfaceError():
            return AWAY
        case sqlite3.DatabaseError(sqlite_errorcode=sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB):
            return "The database is damaged, or its file is no database."
        case _:
            return None


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
