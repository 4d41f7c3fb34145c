"""A connection to PostgreSQL that runs one statement at a time, in autocommit.

psycopg opens it and speaks the protocol; how an answer is waited for is our own, which saves 14 to 21 % of what a
request costs (docs/decisions/13).
"""

import asyncio
import struct
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from math import inf
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, adapters, errors
from psycopg.abc import Buffer
from psycopg.abc import Dumper as AnyDumper
from psycopg.adapt import Dumper, PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int8

from todo.adapters.sql.compiled import Row

POLL_INTERVAL = 0.1  # seconds between two checks of a connection whose answer is awaited
CANCEL_TIMEOUT = 5  # seconds that a request to cancel a statement may take

_DUMPERS: dict[type, AnyDumper] = {
    kind: adapters.get_dumper(kind, PyFormat.BINARY)(kind) for kind in (UUID, str, bool, bytes, datetime)
}


class _TextListDumper(Dumper):
    """A list of strings as text[], in the binary format of arrays: dimensions, whether one is null, the type of the
    elements, their number, the first index, and each with its length."""

    format = Format.BINARY
    oid = adapters.types["text"].array_oid

    def dump(self, obj: Sequence[str]) -> Buffer:
        text = adapters.types["text"].oid
        if not obj:
            return struct.pack("!iii", 0, 0, text)
        encoded = [element.encode() for element in obj]
        parts = (struct.pack("!i", len(element)) + element for element in encoded)
        return struct.pack("!iiiii", 1, 0, text, len(encoded), 1) + b"".join(parts)


_DUMPERS[list] = _TextListDumper(list)
_DUMPERS[int] = adapters.get_dumper(Int8, PyFormat.BINARY)(Int8)
"""Each writes values of its type in PostgreSQL's binary format. Datetimes must be aware."""

_abandoned: set["asyncio.Task[None]"] = set()  # A running task needs a reference


class PreparedStatement:
    """SQL with the types of its parameters, whose dumpers are chosen once and not again for every value.

    Its name is a digest of what it says: behind a transaction pooler, where another session may come next, that session
    has the very same statement by this name or none.
    """

    def __init__(self, text: str, *types: type, is_kept: bool = True) -> None:
        """``is_kept``: whether a session plans it once for all. Else it is planned for the rows that there are."""
        self.is_kept = is_kept
        dumpers = [_DUMPERS[kind] for kind in types]
        self.text = text.encode()
        self.types = [dumper.oid for dumper in dumpers]
        self.name = b"todo_" + sha256(f"{text} {self.types}".encode()).hexdigest()[:32].encode()
        self.formats = [Format.BINARY] * len(types)
        self._dumps = [dumper.dump for dumper in dumpers]

    def dump(self, parameters: Sequence[Any]) -> list[Buffer | None]:
        return [None if value is None else dump(value) for dump, value in zip(self._dumps, parameters, strict=True)]


class Connection:
    """The event loop watches its socket from start to end, not again for every statement.

    So the end of an idle connection is noticed before its next use. A socket that fails may wake nobody (uvloop hides
    some failures from readers), so an awaited connection also polls.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        # Of no connection: of one, it would give times in the session's time zone, which is not ours to set behind a
        # transaction pooler.
        self._transformer = Transformer(None)
        self._prepared: set[bytes] = set()
        self._loop = asyncio.get_running_loop()
        self._awaited: asyncio.Future[None] | None = None
        self._poll_timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        self._socket: int | None = self._pgconn.socket
        self._loop.add_reader(self._socket, self._on_readable)

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(await AsyncConnection.connect(url, autocommit=True, client_encoding="utf8"))

    @property
    def is_closed(self) -> bool:
        return self._socket is None

    @property
    def is_promoted(self) -> bool:
        """Whether the server was a primary when it answered the last statement; PostgreSQL 14 and later say so."""
        return self._pgconn.parameter_status(b"in_hot_standby") == b"off"

    async def run(
        self, statement: PreparedStatement, parameters: Sequence[Any], *, prepare: bool, deadline: float = inf
    ) -> list[Row]:
        """The rows of one statement. A connection that breaks meanwhile is closed.

        Raises TimeoutError if there is no answer by the ``deadline``, in the event loop's time. The server is then
        asked to cancel the statement. A statement_timeout would do so by itself, but it belongs to the session, and
        sessions are not ours to set behind a transaction pooler.
        """
        self._deadline = deadline
        dumped = statement.dump(parameters)
        if prepare and statement.is_kept:
            if statement.name not in self._prepared:
                self._pgconn.send_prepare(statement.name, statement.text, statement.types)
                with suppress(errors.DuplicatePreparedStatement):
                    await self._fetch_result()
                self._prepared.add(statement.name)
            self._pgconn.send_query_prepared(statement.name, dumped, statement.formats, Format.BINARY)
        else:
            self._pgconn.send_query_params(statement.text, dumped, statement.types, statement.formats, Format.BINARY)
        result = await self._fetch_result()
        self._transformer.set_pgresult(result)
        rows: list[Row] = self._transformer.load_rows(0, result.ntuples, tuple)
        return rows

    def close(self) -> None:
        """Immediately, even while a statement runs."""
        self._unwatch()
        self._pgconn.finish()

    async def _fetch_result(self) -> PGresult:
        """That of the statement that has just been sent."""
        if self._poll_timer is None:
            self._poll_timer = self._loop.call_later(POLL_INTERVAL, self._poll)
        results = []
        try:
            while self._pgconn.flush():  # the socket's buffer is full, which is rare
                await self._wait_to_write()
                self._pgconn.consume_input()
            while True:
                while self._pgconn.is_busy():
                    self._awaited = self._loop.create_future()
                    await self._awaited
                    self._pgconn.consume_input()
                result = self._pgconn.get_result()
                if result is None:
                    break
                results.append(result)
        except psycopg.Error:
            self.close()
            raise
        except BaseException:
            self._abandon()
            raise
        finally:
            self._awaited = None
        for result in results:
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                error = errors.error_from_result(result)
                if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
                    self.close()  # the server does, too, but we may not have seen that yet
                raise error
        return results[-1]

    async def _wait_to_write(self) -> None:
        self._awaited = self._loop.create_future()
        self._loop.add_writer(self._pgconn.socket, self._wake)
        try:
            await self._awaited
        finally:
            if not self.is_closed:
                self._loop.remove_writer(self._pgconn.socket)

    def _abandon(self) -> None:
        """Nobody waits for the answer any more: asks the server to cancel the statement, in the background."""
        if self.is_closed:
            return
        self._unwatch()
        task = self._loop.create_task(self._cancel())
        _abandoned.add(task)
        task.add_done_callback(_abandoned.discard)

    async def _cancel(self) -> None:
        try:
            with suppress(psycopg.Error):
                await self._connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        finally:
            self._pgconn.finish()

    def _on_readable(self) -> None:
        if self._awaited is not None:
            self._wake()
            return
        # Idle: a notice, or the end.
        with suppress(psycopg.Error):
            self._pgconn.consume_input()
        if self._pgconn.status == ConnStatus.BAD:
            self.close()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    def _poll(self) -> None:
        self._poll_timer = None
        if self._awaited is not None:
            self._poll_timer = self._loop.call_later(POLL_INTERVAL, self._poll)
            if self._loop.time() > self._deadline and not self._awaited.done():
                self._awaited.set_exception(TimeoutError())
            self._wake()

    def _unwatch(self) -> None:
        # At once: libpq has closed a broken connection's socket, and the next one gets its number.
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None
