"""A SQLite file: the event loop looks up rows by key, one thread reads lists, another makes the changes.

So long searches and the disk delay only the requests that need them, and changes that arrive together share one
commit. The sqlite3 module without another library around it costs a third of aiosqlite (docs/decisions/13).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import GenericAlias
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import URL, ColumnElement, Engine, Select, String, create_engine, func, select, type_coerce
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
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
from todo.adapters.sql.sqlite.threads import (
    BUSY_TIMEOUT,
    Action,
    Worker,
    connect,
    run_in_one_transaction,
    run_separately,
)
from todo.adapters.sql.sqlite.write_changes import TaskMovedOn, erase, make_changes, purge
from todo.adapters.sql.tables import JsonText
from todo.domain.refusals import OperatorNeeded, Unavailable

PRIMARY_CODE = 0xFF  # the part of an extended error code that says what it is; the rest says where

_MEANINGS = {
    sqlite3.SQLITE_READONLY: "The database can't be written: its file or folder is read-only.",
    sqlite3.SQLITE_FULL: "The database's disk is full; nothing was changed.",
    sqlite3.SQLITE_CANTOPEN: "The database's file can't be opened, or its folder not be written to.",
    sqlite3.SQLITE_CORRUPT: "The database is damaged; restore a backup of it.",
    sqlite3.SQLITE_NOTADB: "The database's file is not a SQLite database.",
}

_DIALECT = SQLiteDialect_pysqlite(paramstyle="qmark")


class SqliteDatabase:
    """See Database. Every change that has returned survives a power cut."""

    def __init__(self, file: Path) -> None:
        """Raises ValueError if no file can be there."""
        try:
            if not file.absolute().parent.is_dir():
                raise ValueError(f"there is no folder {file.parent}")
            if file.is_dir():
                raise ValueError(f"{file} is a folder")
        except OSError as error:
            raise ValueError(f"{file} can't be used: {type(error).__name__}") from None
        self._file = file
        self._connection: sqlite3.Connection | None = None
        """For lookups in the event loop itself, which take less time than to hand them to a thread."""
        self._lookups: list[tuple[str, Sequence[Any], asyncio.Future[Sequence[Row] | None]]] = []
        self._reader = Worker(file, run_separately)
        self._writer = Worker(file, run_in_one_transaction)

    def prepare_read(self, statement: Select[Any], *, is_quick: bool = True) -> Read:
        rows = _JsonRows(statement)
        compiled = Compiled(select(rows.as_json), _DIALECT)

        async def read(given: Parameters) -> Sequence[Row]:
            parameters = compiled.arrange(given)
            found = await self._look_up(compiled.text, parameters) if is_quick else None
            found = found or await self._read(compiled.text, parameters)
            return rows.decode(found[0][0])

        return read

    def prepare_read_beside(
        self,
        statement: Select[Any],
        order: Ordering,  # noqa: ARG002 - the order is kept
        beside: Select[Any],
    ) -> ReadBeside:
        rows, single = _JsonRows(statement), _JsonRows(beside)
        compiled = Compiled(select(rows.as_json, single.as_json), _DIALECT)

        async def read_beside(given: Parameters) -> tuple[Sequence[Row], Row | None]:
            [[text, single_text]] = await self._read(compiled.text, compiled.arrange(given))
            return rows.decode(text), next(iter(single.decode(single_text)), None)

        return read_beside

    async def read_versions(self, owners: Sequence[str]) -> Sequence[Row]:
        chosen = "SELECT id, epoch, revision FROM users WHERE id IN (SELECT value FROM json_each(?))"
        rows = await self._read(chosen, [msgspec.json.encode(owners).decode()])
        return [(owner, UUID(epoch), revision) for owner, epoch, revision in rows]

    async def change(self, owner: str, changes: Sequence[RowChange], key: KeyRow | None = None) -> Changed:  # noqa: ARG002 - in each row
        try:
            row = await self._run(self._writer, lambda connection: make_changes(connection, changes, key))
        except TaskMovedOn:
            row = None
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != "SQLITE_CONSTRAINT_PRIMARYKEY":
                raise
            row = None  # another has added a task with the same id
        return Changed(row, maybe_applied=False)

    async def purge(self, owner: str, task_id: UUID | None) -> None:
        await self._run(self._writer, lambda connection: purge(connection, owner, task_id))

    async def erase(self, owner: str) -> Changed:
        row = await self._run(self._writer, lambda connection: erase(connection, owner))
        return Changed(row, maybe_applied=False)

    def engine(self) -> Engine:
        url = URL.create("sqlite", database=str(self._file))
        return create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": BUSY_TIMEOUT})

    def gauges(self) -> Mapping[str, float]:
        return {"db_read_queue": self._reader.queue_length, "db_change_queue": self._writer.queue_length}

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        await asyncio.to_thread(self._reader.stop)
        await asyncio.to_thread(self._writer.stop)

    def explain(self, error: BaseException | None) -> Unavailable | OperatorNeeded | None:
        match error:
            case DBAPIError():
                return self.explain(error.orig)
            case sqlite3.OperationalError() if str(error).startswith(("no such table", "no such column")):
                return SchemaOutdated()
            case sqlite3.DatabaseError() if meaning := _MEANINGS.get(_primary_code(error)):
                return OperatorNeeded(meaning)
            case sqlite3.OperationalError() if _primary_code(error) == sqlite3.SQLITE_BUSY:
                return Unavailable("Another program is writing to the database; try again in a moment.")
            case sqlite3.OperationalError() | sqlite3.InterfaceError():
                return DatabaseAway()
            case _:
                return None

    async def _look_up(self, text: str, parameters: Sequence[Any]) -> Sequence[Row] | None:
        """In the next turn of the event loop, together with all other lookups of this turn, so that what follows them
        (responses, changes) is batched, too. None if it fails at once, for instance because another program has locked
        the file; the thread then tries again, and can wait."""
        loop = asyncio.get_running_loop()
        if not self._lookups:
            loop.call_soon(self._run_lookups)
        found: asyncio.Future[Sequence[Row] | None] = loop.create_future()
        self._lookups.append((text, parameters, found))
        return await found

    def _run_lookups(self) -> None:
        lookups, self._lookups = self._lookups, []
        for text, parameters, found in lookups:
            rows = None
            with suppress(Exception):  # the thread tries again, and reports its error
                self._connection = self._connection or connect(self._file, busy_timeout=0)
                rows = self._connection.execute(text, parameters).fetchall()
            if not found.cancelled():
                found.set_result(rows)

    async def _read(self, text: str, parameters: Sequence[Any]) -> Any:
        return await self._run(self._reader, lambda connection: connection.execute(text, parameters).fetchall())

    async def _run(self, worker: Worker, action: Action) -> Any:
        try:
            return await worker.run(action)
        except sqlite3.Error as error:
            meaning = self.explain(error)
            if meaning is None:
                raise
            raise meaning from error


class _JsonRows:
    """All rows of a statement as one JSON text: one step for SQLite, and one for msgspec.

    SQLite keeps the order of rows for an aggregate of this kind (its rule that drops a subquery's ORDER BY excepts
    them). Row by row, the reading thread and the event loop would pass Python's lock to and fro: a list would take
    half as long again.
    """

    def __init__(self, statement: Select[Any]) -> None:
        rows = statement.subquery()
        values = [_as_json(column) for column in rows.c]
        self.as_json = select(func.json_group_array(func.json_array(*values))).scalar_subquery()
        types = tuple(_decoded_type(column) | None for column in rows.c)
        # SQLite has 0 and 1 for false and true, which only a decoder that is not strict takes.
        self.decode: Callable[[str], Sequence[Row]] = msgspec.json.Decoder(
            GenericAlias(list, (GenericAlias(tuple, types),)), strict=False
        ).decode


def _as_json(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type.dialect_impl(_DIALECT), JsonText):
        return func.json(column)
    return type_coerce(column, String) + "Z" if column.type.python_type is datetime else column


def _decoded_type(column: ColumnElement[Any]) -> Any:
    kind = column.type.dialect_impl(_DIALECT)
    return kind.kind if isinstance(kind, JsonText) else column.type.python_type


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
