"""A SQLite file: the event loop looks up what a key names, one thread reads lists, another makes the changes.

So nobody waits for changes to reach the disk or for long searches but who asked for them, and changes that meet share
one way to it. Threads of our own, and sqlite3 without another library around it: that costs a third of aiosqlite
(docs/decisions/13).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread, local
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import URL, Column, Engine, Select, String, Table, create_engine, func, select, type_coerce
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.chain import Chain, as_statements
from todo.adapters.sql.database import Away, Change, Changed, Read, ReadBeside, SchemaIsOld
from todo.adapters.sql.statements import Compiled, Row
from todo.domain.refusals import Unavailable

BUSY_TIMEOUT = 10
"""Seconds a writer waits for those of other processes."""

COMMITTED_TOGETHER = 100
"""The most changes that share a transaction."""

PRIMARY = 0xFF
"""The part of an error's code that says what it is; the rest says where."""
_SAID = {
    sqlite3.SQLITE_BUSY: "Another program holds the database; try again in a moment.",
    sqlite3.SQLITE_READONLY: "The database can't be written: its file or folder is read-only.",
    sqlite3.SQLITE_FULL: "The database's disk is full; nothing was changed.",
    sqlite3.SQLITE_CANTOPEN: "The database's file can't be opened, or its folder not be written to.",
    sqlite3.SQLITE_CORRUPT: "The database is damaged; restore a backup of it.",
    sqlite3.SQLITE_NOTADB: "The database's file is no database.",
}

_DIALECT = SQLiteDialect_pysqlite(paramstyle="qmark")


class SqliteDatabase:
    """See Database. Every change that has returned survives a power cut."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lookup = _Lookup(file)
        self._reader = _Worker(file, _one_by_one)
        self._writer = _Worker(file, _in_one_transaction)

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def reading(self, statement: Select[Any]) -> Read:
        found = _Found(statement)
        compiled = Compiled(select(found.as_json), _DIALECT)

        async def read(given: Mapping[str, Any]) -> Sequence[Row]:
            parameters = compiled.parameters(given)
            [[text]] = await self._lookup.rows(compiled.text, parameters) or await self._read(compiled.text, parameters)
            return found.rows(text)

        return read

    def reading_beside(self, statement: Select[Any], latest: Sequence[Column[Any]], beside: Select[Any]) -> ReadBeside:  # noqa: ARG002 - the order is kept
        found = _Found(statement)
        compiled = Compiled(select(found.as_json, beside.scalar_subquery()), _DIALECT)

        async def read_beside(given: Mapping[str, Any]) -> tuple[Sequence[Row], Any]:
            [[text, value]] = await self._read(compiled.text, compiled.parameters(given))
            return found.rows(text), value

        return read_beside

    def changing(self, chain: Chain) -> Change:
        links = [(Compiled(statement, _DIALECT), kept) for statement, kept in as_statements(chain)]

        def made(connection: sqlite3.Connection, given: Mapping[str, Any]) -> Row | None:
            known, last = dict(given), None
            for statement, kept in links:
                # To its end: a statement that returns rows is only half done before.
                rows = statement.rows(connection.execute(statement.text, statement.parameters(known)).fetchall())
                last = rows[0] if rows else None
                known |= zip(kept, last or [None] * len(kept), strict=True)
            return last

        async def change(given: Mapping[str, Any]) -> Changed:
            return Changed(await self._done(self._writer, lambda connection: made(connection, given)), again=False)

        return change

    def engine(self) -> Engine:
        url = URL.create("sqlite", database=str(self._file))
        return create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": BUSY_TIMEOUT})

    def gauges(self) -> Mapping[str, float]:
        return {"database_reads_waiting": self._reader.waiting, "database_changes_waiting": self._writer.waiting}

    async def close(self) -> None:
        self._lookup.close()
        await asyncio.to_thread(self._reader.stop)
        await asyncio.to_thread(self._writer.stop)

    def meaning_of(self, error: BaseException | None) -> Unavailable | None:
        match error:
            case DBAPIError():
                return self.meaning_of(error.orig)
            case sqlite3.OperationalError() if str(error).startswith(("no such table", "no such column")):
                return SchemaIsOld()
            case sqlite3.DatabaseError() if said := _SAID.get(getattr(error, "sqlite_errorcode", 0) & PRIMARY):
                return Unavailable(said)
            case sqlite3.OperationalError() | sqlite3.InterfaceError():
                return Away()
            case _:
                return None

    async def _read(self, text: str, parameters: Sequence[Any]) -> Any:
        return await self._done(self._reader, lambda connection: connection.execute(text, parameters).fetchall())

    async def _done(self, worker: "_Worker", act: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return await worker.do(act)
        except sqlite3.Error as error:
            meaning = self.meaning_of(error)
            if meaning is None:
                raise
            raise meaning from error


class _Found:
    """All rows of a statement as one JSON text, which is one step for SQLite and one for msgspec.

    SQLite keeps the order of rows for an aggregate of this kind (from its rule that drops a subquery's ORDER BY these
    are excepted). Row by row, the reading thread and the event loop would pass Python's lock to and fro: a list took
    half as long again.
    """

    def __init__(self, statement: Select[Any]) -> None:
        rows = statement.subquery("found")
        values = [
            type_coerce(column, String) + "Z" if column.type.python_type is datetime else column for column in rows.c
        ]
        self.as_json = select(func.json_group_array(func.json_array(*values))).scalar_subquery()
        kinds = tuple(column.type.python_type | None for column in rows.c)
        # SQLite has 0 and 1 for false and true, which only a decoder that is not strict takes.
        self.rows: Callable[[str], Sequence[Row]] = msgspec.json.Decoder(
            GenericAlias(list, (GenericAlias(tuple, kinds),)), strict=False
        ).decode


class _Lookup(local):
    """Reads in the event loop's own thread, at its next turn all that this one has asked for.

    For what takes less time than to hand it to a thread, with which the loop would pass Python's lock to and fro. What
    does not come right at once, such as when another program holds the file, is left to a thread. Each thread that has
    an event loop has a lookup of its own.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[str, Sequence[Any], asyncio.Future[Sequence[Row] | None]]] = []

    async def rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Row] | None:
        """None if it did not come right."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a host that runs one for each of its calls
            self._loop, self._waiting = loop, []
        if not self._waiting:
            loop.call_soon(self._look_up)
        done: asyncio.Future[Sequence[Row] | None] = loop.create_future()
        self._waiting.append((text, parameters, done))
        return await done

    def _look_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for text, parameters, done in waiting:
            if not done.cancelled():
                done.set_result(self._rows(text, parameters))

    def _rows(self, text: str, parameters: Sequence[Any]) -> Sequence[Row] | None:
        try:
            self._connection = self._connection or _connected(self._file, busy_timeout=0)
            return self._connection.execute(text, parameters).fetchall()
        except Exception:  # noqa: BLE001 - the thread that it is left to says what it was
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Errand(NamedTuple):
    act: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[Any]"

    def settle(self, result: Any, error: Exception | None) -> None:
        def settle() -> None:
            if self.done.cancelled():
                return  # whoever asked is gone
            if error is None:
                self.done.set_result(result)
            else:
                self.done.set_exception(error)

        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(settle)

    def run(self, connection: sqlite3.Connection) -> tuple[Any, Exception | None]:
        try:
            return self.act(connection), None
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            return None, error


Manner = Callable[[sqlite3.Connection, Sequence[_Errand]], None]


class _Worker:
    """A thread with a connection of its own. A change that it was given it makes, even when whoever asked is gone."""

    def __init__(self, file: Path, manner: Manner) -> None:
        self._file = file
        self._manner = manner
        self._errands: SimpleQueue[_Errand | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def do(self, act: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"todo {self._manner.__name__}", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        errand = _Errand(act, loop, loop.create_future())
        self._errands.put(errand)
        return await errand.done

    @property
    def waiting(self) -> int:
        return self._errands.qsize()

    def stop(self) -> None:
        """Once all that was asked for is done."""
        if self._thread is not None:
            self._errands.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while batch := self._next():
            try:
                connection = connection or _connected(self._file)
                self._manner(connection, batch)
            except Exception as error:  # noqa: BLE001 - those who asked get it
                for errand in batch:
                    errand.settle(None, error)
                if connection is not None:
                    connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    def _next(self) -> list[_Errand]:
        """All that waits, once there is any; nothing means the end."""
        first = self._errands.get()
        batch = [] if first is None else [first]
        with suppress(Empty):
            while batch and len(batch) < COMMITTED_TOGETHER:
                errand = self._errands.get_nowait()
                if errand is None:
                    self._errands.put(None)  # for the next time
                    break
                batch.append(errand)
        return batch


def _one_by_one(connection: sqlite3.Connection, errands: Sequence[_Errand]) -> None:
    for errand in errands:
        if not errand.done.cancelled():
            errand.settle(*errand.run(connection))


def _in_one_transaction(connection: sqlite3.Connection, errands: Sequence[_Errand]) -> None:
    """Each is made wholly or not at all, and none has been before all are on the disk."""
    outcomes = []
    connection.execute("BEGIN IMMEDIATE")
    for errand in errands:
        connection.execute("SAVEPOINT errand")
        result, error = errand.run(connection)
        if error is not None:
            if not connection.in_transaction:
                raise error  # of the whole file, such as a full disk: SQLite has taken everything back
            connection.execute("ROLLBACK TO errand")
        connection.execute("RELEASE errand")
        outcomes.append((errand, result, error))
    connection.execute("COMMIT")
    for errand, result, error in outcomes:
        errand.settle(result, error)


def _connected(file: Path, busy_timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=busy_timeout, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")  # a change that was answered survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
