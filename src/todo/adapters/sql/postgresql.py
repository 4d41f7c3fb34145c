"""PostgreSQL: each read and each change is one statement in autocommit."""

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Column, Engine, Select, Table, create_engine, select, true
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql import statements
from todo.adapters.sql.chain import Chain, as_one_statement
from todo.adapters.sql.connections import CONNECT_TIMEOUT, PATIENCE, Connections, Statement
from todo.adapters.sql.database import Away, Change, Read, ReadBeside, SchemaIsOld
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
        compiled = _Compiled(statement)

        def read(given: Mapping[str, Any]) -> Awaitable[Sequence[Row]]:
            return self._rows(compiled, given, repeats=REPEATS)

        return read

    def reading_beside(self, statement: Select[Any], latest: Sequence[Column[Any]], beside: Select[Any]) -> ReadBeside:
        """The value stands in every row, or in one of nothing else where there would be none."""
        rows, value = statement.subquery("stretch"), beside.subquery("beside")
        whole = select(*rows.c, *value.c).select_from(value.outerjoin(rows, true()))
        read = self.reading(whole.order_by(*(rows.c[column.key].desc() for column in latest)))

        async def read_beside(given: Mapping[str, Any]) -> tuple[Sequence[Row], Any]:
            found = await read(given)
            if not found:
                return (), None
            *first, value = found[0]
            is_row = any(one is not None for one in first)
            return ([row[:-1] for row in found] if is_row else ()), value

        return read_beside

    def changing(self, chain: Chain) -> Change:
        compiled = _Compiled(as_one_statement(chain))

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

    async def _rows(self, compiled: "_Compiled", given: Mapping[str, Any], *, repeats: int) -> Sequence[Row]:
        parameters = compiled.parameters(given)
        began = time.monotonic()
        while True:
            connection = await self._connections.take()
            try:
                return compiled.rows(await connection.run(compiled.statement, parameters, prepare=self._prepares))
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


class _Compiled(Compiled):
    def __init__(self, statement: statements.Statement) -> None:
        super().__init__(statement, _DIALECT)
        self.statement = Statement(self.text, *self.kinds)
