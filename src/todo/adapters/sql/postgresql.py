"""The engine of PostgreSQL, and what its driver's errors mean to the domain."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from todo.adapters.sql.database import Away, SchemaIsOld
from todo.domain.refusals import Unavailable

CONNECT_TIMEOUT = 15
"""Seconds. A serverless PostgreSQL that sleeps takes some to wake."""

POOL_TIMEOUT = 5
"""Seconds a call waits for a connection of the pool."""


def postgresql_engine(url: str, pool_size: int) -> AsyncEngine:
    """For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it. Raises ValueError."""
    try:
        ports = str(conninfo_to_dict(url).get("port") or "5432").split(",")
    except psycopg.ProgrammingError:
        raise ValueError from None  # its text may hold the password
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in ports):
        raise ValueError

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


def meaning_of(error: BaseException | None) -> Unavailable | None:
    """None for an error that no waiting and no operator mends."""
    match error:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return SchemaIsOld()
        case psycopg.errors.InsufficientPrivilege():
            return Unavailable("The database does not let this service do its work.")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Away()
        case _:
            return None
