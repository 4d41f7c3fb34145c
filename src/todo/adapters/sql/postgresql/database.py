"""PostgreSQL: each read and each change is one statement in autocommit."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, Select, cast, create_engine, null, select, union_all
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.compiled import Compiled, Row
from todo.adapters.sql.database import (
    Changed,
    DatabaseAway,
    KeyRow,
    Ordering,
    Parameters,
    Read,
    ReadBeside,
    RowChange,
    SchemaOutdated,
)
from todo.adapters.sql.postgresql.connection import Connection, PreparedStatement
from todo.adapters.sql.postgresql.pool import Pool
from todo.adapters.sql.postgresql.write_changes import ERASE, PURGE, PURGE_ALL, combine_changes
from todo.backoff import pauses
from todo.domain.refusals import OperatorNeeded, Unavailable

CONNECT_TIMEOUT = 15  # seconds, for the migrations. A serverless PostgreSQL that sleeps takes some to wake
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.3  # seconds before another attempt

_ROLLED_BACK = (errors.TransactionRollback, errors.SerializationFailure, errors.DeadlockDetected)
"""The statement has left nothing behind, and another attempt is the remedy."""

_VERSIONS = PreparedStatement("SELECT id, epoch, revision FROM users WHERE id = ANY ($1)", list)

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # of SQLAlchemy


class PostgresqlDatabase:
    """See Database. For any URL that libpq takes, several hosts included: SQLAlchemy does not parse it."""

    def __init__(
        self,
        url: str,
        pool_size: int,
        *,
        idle_timeout: float = 300,
        timeout: float = 1.5,
        prepare: bool | None = None,
        is_standby: bool = False,
    ) -> None:
        """``timeout``: seconds in which a call succeeds or raises Unavailable; of ``idle_timeout`` see Pool. A standby
        only answers until it is promoted.

        Prepares statements unless told not to, or the host is one of Neon's poolers. Raises ValueError.
        """
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(_find_fault(url, str(error))) from None
        if not all(port.isdecimal() and 0 < int(port) < 65536 for port in str(parts.get("port") or "5432").split(",")):
            raise ValueError("has a port that is not a number from 1 to 65535")
        if is_standby or "," in str(parts.get("host")):
            # Of several hosts not always the same first: one that is silent would use up the timeout.
            wanted = "standby" if is_standby else "read-write"
            url = make_conninfo(url, **{"target_session_attrs": wanted, "load_balance_hosts": "random"} | parts)
        self._url = url
        self._timeout = timeout
        self._is_standby = is_standby
        self._prepares = "-pooler" not in str(parts.get("host")) if prepare is None else prepare
        self._pool = Pool(url, pool_size, idle_timeout)

    def prepare_read(self, statement: Select[Any], *, is_quick: bool = True) -> Read:
        """A plan for many keys that was made for a table with few rows would be slow once it has more."""
        compiled = Compiled(statement, _DIALECT)
        prepared = PreparedStatement(compiled.text, *compiled.parameter_types, is_kept=is_quick)

        async def read(given: Parameters) -> Sequence[Row]:
            rows, _ = await self._run(prepared, compiled.arrange(given))
            return compiled.convert(rows)

        return read

    def prepare_read_beside(self, statement: Select[Any], order: Ordering, beside: Select[Any]) -> ReadBeside:
        """The row of ``beside`` comes first, in the columns of its names; the others are null there, as in no row."""
        single, rows = beside.subquery("beside"), statement.subquery("rows")
        padded = [
            single.c[column.key] if column.key in single.c else cast(null(), column.type).label(column.key)
            for column in rows.c
        ]
        both = union_all(select(*padded), select(rows)).subquery("both")
        ordered = [both.c[name].desc() if descends else both.c[name].asc() for name, descends in order]
        read = self.prepare_read(select(both).order_by(ordered[0].nulls_first(), *ordered[1:]))
        names = [column.key for column in rows.c]
        first = names.index(order[0][0])
        places = [names.index(column.key) for column in single.c]

        async def read_beside(given: Parameters) -> tuple[Sequence[Row], Row | None]:
            found = await read(given)
            if not found or found[0][first] is not None:
                return found, None
            return found[1:], tuple([found[0][place] for place in places])

        return read_beside

    async def read_versions(self, owners: Sequence[str]) -> Sequence[Row]:
        rows, _ = await self._run(_VERSIONS, [owners])
        return rows

    async def change(self, owner: str, changes: Sequence[RowChange], key: KeyRow | None = None) -> Changed:
        return await self._change(*combine_changes(owner, changes, key))

    async def purge(self, owner: str, task_id: UUID | None) -> None:
        if task_id is None:
            await self._run(PURGE_ALL, [owner])
        else:
            await self._run(PURGE, [owner, task_id])

    async def erase(self, owner: str) -> Changed:
        return await self._change(ERASE, [owner])

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

    def explain(self, error: BaseException | None) -> Unavailable | OperatorNeeded | None:
        match error:
            case DBAPIError():
                return self.explain(error.orig)
            case errors.UndefinedTable() | errors.UndefinedColumn():
                return SchemaOutdated()
            case errors.InsufficientPrivilege():
                return OperatorNeeded("The database role of this service lacks a privilege.")
            case errors.DiskFull():
                return OperatorNeeded("The database's disk is full; nothing was changed.")
            case psycopg.OperationalError() | psycopg.InterfaceError() | TimeoutError():
                return DatabaseAway()
            case _:
                return None

    async def _change(self, statement: PreparedStatement, parameters: Sequence[Any]) -> Changed:
        try:
            rows, maybe_applied = await self._run(statement, parameters)
        except _AppliedBefore:
            return Changed(None, maybe_applied=True)
        except errors.UniqueViolation:  # another has added a task with the same id
            return Changed(None, maybe_applied=False)
        return Changed(rows[0] if rows else None, maybe_applied)

    async def _run(self, statement: PreparedStatement, parameters: Sequence[Any]) -> tuple[Sequence[Row], bool]:
        """The rows, and whether the outcome of an earlier attempt is unknown.

        Retried while there is time. That is safe for reads, and for changes because they name the ids that they add
        and the revisions that they change.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout
        maybe_applied = False
        waits: Iterator[float] | None = None
        while True:
            lost: Exception
            try:
                connection = await self._pool.acquire(deadline)
            except DatabaseAway as error:
                if not maybe_applied:
                    raise
                lost = error
            else:
                try:
                    rows = await connection.run(statement, parameters, prepare=self._prepares, deadline=deadline)
                except errors.UniqueViolation:
                    if not maybe_applied:
                        raise
                    raise _AppliedBefore from None
                except (psycopg.Error, TimeoutError) as error:
                    maybe_applied |= self._check_retry(connection, error)
                    lost = error
                else:
                    if self._is_standby and connection.is_promoted:
                        connection.close()
                        raise DatabaseAway  # what it would say from now on may be of another history
                    return rows, maybe_applied
                finally:
                    self._pool.release(connection)
            waits = waits or pauses(FIRST_PAUSE, LONGEST_PAUSE)
            pause = next(waits)
            if now() + pause > deadline:
                raise DatabaseAway from lost
            await asyncio.sleep(pause)

    def _check_retry(self, connection: Connection, error: Exception) -> bool:
        """Whether the statement that failed may have been applied all the same. Raises what the error means if another
        attempt is no remedy."""
        if isinstance(error, TimeoutError):
            self._pool.close_idle()
            raise DatabaseAway from error
        if isinstance(error, errors.InvalidSqlStatementName):
            self._prepares = False  # a transaction pooler: another session came next, and has run nothing
            return False
        if isinstance(error, _ROLLED_BACK):
            return False
        if isinstance(error, errors.ReadOnlySqlTransaction):
            connection.close()  # no longer the primary
            self._pool.close_idle()
            return False
        if connection.is_closed:
            return True
        meaning = self.explain(error)
        if meaning is None:
            raise error
        raise meaning from error


def _find_fault(url: str, error: str) -> str:
    """Which part of a connection string libpq does not take. Its own text may hold the password."""
    parameter = re.search('invalid URI query parameter: "([a-z_]{1,40})"', error)
    if parameter is not None and f"{parameter[1]}=" in url.rpartition("@")[2].partition("?")[2]:
        return f"has the parameter {parameter[1]}, which PostgreSQL does not know; remove it"
    if "percent-encoded" in error:
        return "has a % that begins no percent-encoding; write it as %25"
    return "can't be read as a PostgreSQL connection string"


class _AppliedBefore(Exception):
    """A change that was retried has found what the earlier attempt added."""
