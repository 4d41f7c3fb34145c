"""PostgreSQL: each read and each change is one statement in autocommit."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, Select, Table, create_engine
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.chain import Chain, as_one_statement
from todo.adapters.sql.connections import CONNECT_TIMEOUT, PATIENCE, Connections
from todo.adapters.sql.database import Away, Change, Read, SchemaIsOld
from todo.adapters.sql.statements import Compiled, Row
from todo.domain.refusals import Unavailable

REPEATS = 3
"""How often a read is asked anew when its connection breaks, if that was soon."""

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # of SQLAlchemy


class PostgresqlDatabase:
    """See Database. For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it."""

    def __init__(self, url: str, pool_size: int, *, prepare: bool | None = None) -> None:
        """Prepares statements unless told not to, or the host is one of Neon's poolers. Raises ValueError."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise ValueError from None  # its text may hold the password
        if not all(port.isdecimal() and 0 < int(port) < 65536 for port in str(parts.get("port") or "5432").split(",")):
            raise ValueError
        self._url = url
        self._prepares = "-pooler" not in str(parts.get("host")) if prepare is None else prepare
        self._connections = Connections(url, pool_size)

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def reading(self, statement: Select[Any]) -> Read:
        compiled = Compiled(statement, _DIALECT)

        async def read(given: Mapping[str, Any]) -> Sequence[Row]:
            return await self._rows(compiled, given, repeats=REPEATS)

        return read

    def changing(self, chain: Chain) -> Change:
        compiled = Compiled(as_one_statement(chain), _DIALECT)

        async def change(given: Mapping[str, Any]) -> Row | None:
            rows = await self._rows(compiled, given, repeats=0)
            return rows[0] if rows else None

        return change

    def engine(self) -> Engine:
        def connect() -> "psycopg.Connection[Any]":
            return psycopg.connect(
                self._url, connect_timeout=CONNECT_TIMEOUT, client_encoding="utf8", prepare_threshold=None
            )

        return create_engine("postgresql+psycopg://", creator=connect, isolation_level="AUTOCOMMIT")

    async def close(self) -> None:
        self._connections.close()

    def meaning_of(self, error: BaseException | None) -> Unavailable | None:
        match error:
            case DBAPIError():
                return self.meaning_of(error.orig)
            case errors.UndefinedTable() | errors.UndefinedColumn():
                return SchemaIsOld()
            case errors.InsufficientPrivilege():
                return Unavailable("The database does not let this service do its work.")
            case psycopg.OperationalError() | psycopg.InterfaceError() | TimeoutError():
                return Away()
            case _:
                return None

    async def _rows(self, statement: Compiled, given: Mapping[str, Any], *, repeats: int) -> Sequence[Row]:
        parameters = statement.parameters(given)
        began = time.monotonic()
        while True:
            connection = await self._connections.take()
            try:
                return statement.rows(await connection.run(statement.text, parameters, prepare=self._prepares))
            except errors.InvalidSqlStatementName:
                self._prepares = False  # a transaction pooler: another session came next, and has run nothing
            except (psycopg.Error, TimeoutError) as error:
                if not (connection.closed and repeats and time.monotonic() - began < PATIENCE):
                    meaning = self.meaning_of(error)
                    if meaning is None:
                        raise
                    raise meaning from error
                repeats -= 1
            finally:
                self._connections.give(connection)
