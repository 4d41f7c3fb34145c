"""The engine of a SQLite file, the schema's state, and what a database's errors mean to the domain."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, MetaData, String, Table, event, exc, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE
from todo.domain.refusals import Unavailable

BUSY_TIMEOUT = 10
"""Seconds a SQLite writer waits for those of other processes."""

READY_TIMEOUT = 2
"""Seconds."""


class Away(Unavailable):
    """The database can't be reached."""

    def __init__(self) -> None:
        super().__init__("The database can't be reached; try again in a moment.")


class SchemaIsOld(Unavailable):
    """The schema is older than this program, or was never made."""

    def __init__(self) -> None:
        super().__init__("The database's schema is older than this program; run `todo db upgrade`.")


_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))


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
        meaning = _meaning_of(error.orig) or (Away() if error.connection_invalidated else None)
        if meaning is None:
            raise
        raise meaning from error
    except Exception as error:  # a driver's own, while connecting
        if not isinstance(error, sqlite3.Error) and not _is_of_psycopg(error):
            raise
        raise (_meaning_of(error) or Away()) from error


def _is_of_psycopg(error: BaseException | None) -> bool:
    """Without loading psycopg, which who works on a file has no need of."""
    return type(error).__module__.partition(".")[0] == "psycopg"


def _meaning_of(error: BaseException | None) -> Unavailable | None:
    """None for an error that no waiting and no operator mends."""
    if _is_of_psycopg(error):
        from todo.adapters.sql.postgresql import meaning_of

        return meaning_of(error)
    match error:
        case sqlite3.OperationalError() if str(error).startswith("no such "):
            return SchemaIsOld()
        case sqlite3.OperationalError() | sqlite3.InterfaceError():
            return Away()
        case sqlite3.DatabaseError(sqlite_errorcode=sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB):
            return Unavailable("The database is damaged, or its file is no database.")
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
        raise SchemaIsOld
