"""PostgreSQL: each read and each change is one statement in autocommit."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Column, Engine, Select, Table, create_engine, select, true
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql import statements
from todo.adapters.sql.chain import Chain, as_one_statement
from todo.adapters.sql.connection import Connection, Statement
from todo.adapters.sql.database import Away, Change, Changed, Read, ReadBeside, SchemaIsOld
from todo.adapters.sql.pool import CONNECT_TIMEOUT, Pool
from todo.adapters.sql.statements import Compiled, Row
from todo.domain.refusals import Unavailable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.3
"""Seconds before another try, the first and at the most."""

_UNDONE = (errors.TransactionRollback, errors.SerializationFailure, errors.DeadlockDetected)
"""Nothing is in force of what was met by one of these, and another try is the remedy."""

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # of SQLAlchemy


class PostgresqlDatabase:
    """See Database. For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it."""

    def __init__(
        self, url: str, pool_size: int, *, rest: float = 300, patience: float = 1.5, prepare: bool | None = None
    ) -> None:
        """``patience``: seconds in which a call succeeds or raises Unavailable; of ``rest`` see Pool.

        Prepares statements unless told not to, or the host is one of Neon's poolers. Raises ValueError.
        """
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise ValueError from None  # its text may hold the password
        if not all(port.isdecimal() and 0 < int(port) < 65536 for port in str(parts.get("port") or "5432").split(",")):
            raise ValueError
        if "," in str(parts.get("host")) and "target_session_attrs" not in parts:
            url = make_conninfo(url, target_session_attrs="read-write")  # the others only follow
        self._url = url
        self._patience = patience
        self._prepares = "-pooler" not in str(parts.get("host")) if prepare is None else prepare
        self._pool = Pool(url, pool_size, rest)

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def reading(self, statement: Select[Any]) -> Read:
        compiled = _Compiled(statement)

        async def read(given: Mapping[str, Any]) -> Sequence[Row]:
            return (await self._run(compiled, given))[0]

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

        async def change(given: Mapping[str, Any]) -> Changed:
            try:
                rows, again = await self._run(compiled, given)
            except _Doubled:
                return Changed(None, again=True)
            return Changed(rows[0] if rows else None, again)

        return change

    def engine(self) -> Engine:
        def connect() -> "psycopg.Connection[Any]":
            return psycopg.connect(
                self._url, connect_timeout=CONNECT_TIMEOUT, client_encoding="utf8", prepare_threshold=None
            )

        return create_engine("postgresql+psycopg://", creator=connect, isolation_level="AUTOCOMMIT")

    def gauges(self) -> Mapping[str, float]:
        return self._pool.gauges()

    async def close(self) -> None:
        self._pool.close()

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

    async def _run(self, compiled: "_Compiled", given: Mapping[str, Any]) -> tuple[Sequence[Row], bool]:
        """The rows, and whether an earlier try was lost: repeated as long as there is time, for both a read and a
        change can be, the latter because it names what it makes and the revision that it changes."""
        parameters = compiled.parameters(given)
        now = asyncio.get_running_loop().time
        until = now() + self._patience
        again, pause = False, SHORTEST_PAUSE
        while True:
            lost: Exception
            try:
                connection = await self._pool.take(until)
            except Away as error:
                if not again:
                    raise
                lost = error
            else:
                try:
                    rows = await connection.run(compiled.statement, parameters, prepare=self._prepares, until=until)
                    return compiled.rows(rows), again
                except errors.UniqueViolation:
                    if not again:
                        raise
                    raise _Doubled from None
                except (psycopg.Error, TimeoutError) as error:
                    again |= self._may_be_made(connection, error)
                    lost = error
                finally:
                    self._pool.give(connection)
            if now() + pause > until:
                raise Away from lost
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - lest all come back at once
            pause = min(2 * pause, LONGEST_PAUSE)

    def _may_be_made(self, connection: Connection, error: Exception) -> bool:
        """Whether a statement that was lost may be in force all the same. Raises what the error means if no other try
        saves the statement."""
        if isinstance(error, TimeoutError):
            self._pool.end_resting()
            raise Away from error
        if isinstance(error, errors.InvalidSqlStatementName):
            self._prepares = False  # a transaction pooler: another session came next, and has run nothing
            return False
        if isinstance(error, _UNDONE):
            return False
        if isinstance(error, errors.ReadOnlySqlTransaction):
            connection.end()  # no longer the primary
            self._pool.end_resting()
            return False
        if connection.closed:
            return True
        meaning = self.meaning_of(error)
        if meaning is None:
            raise error
        raise meaning from error


class _Doubled(Exception):
    """A change that was repeated has found what the earlier try made."""


class _Compiled(Compiled):
    def __init__(self, statement: statements.Statement) -> None:
        super().__init__(statement, _DIALECT)
        self.statement = Statement(self.text, *self.kinds)
