"""Connections to PostgreSQL, what they run, and how they are shared.

psycopg opens them and speaks the protocol. The pool, and how an answer is waited for, are our own: that saves more
than half of what a statement costs (docs/decisions/13).
"""

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, adapters, errors, generators
from psycopg.abc import Buffer, Dumper, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.types.numeric import Int8
from psycopg.waiting import Ready, Wait

from todo.adapters.sql.database import Away
from todo.adapters.sql.statements import Row
from todo.domain.refusals import Unavailable

CONNECT_TIMEOUT = 15
"""Seconds. A serverless PostgreSQL that sleeps takes some to wake."""

PATIENCE = 5
"""Seconds a call waits for a connection."""

SILENCE = 20
"""Seconds a statement may take before its connection is given up."""

PULSE = 0.25
"""Seconds between two looks at a connection that is waited for."""


_DUMPERS: dict[type, Dumper] = {
    kind: adapters.get_dumper(kind, PyFormat.BINARY)(kind) for kind in (UUID, str, bool, bytes, datetime)
}
_DUMPERS[int] = adapters.get_dumper(Int8, PyFormat.BINARY)(Int8)
"""What writes a value of this type as PostgreSQL has it in binary. A datetime is aware."""


class Statement:
    """In PostgreSQL's words, with the types of its parameters: chosen once, and not anew for every value.

    Its name says what it is: behind a transaction pooler, where another's session may come next, that session has the
    very same statement by this name or none.
    """

    def __init__(self, text: str, *kinds: type) -> None:
        dumpers = [_DUMPERS[kind] for kind in kinds]
        self.text = text.encode()
        self.types = [dumper.oid for dumper in dumpers]
        self.name = b"todo_" + sha256(f"{text} {self.types}".encode()).hexdigest()[:32].encode()
        self.formats = [Format.BINARY] * len(kinds)
        self._dumps = [dumper.dump for dumper in dumpers]

    def dumped(self, parameters: Sequence[Any]) -> list[Buffer | None]:
        return [None if value is None else dump(value) for dump, value in zip(self._dumps, parameters, strict=True)]


class Connection(AsyncConnection[Any]):
    """Its socket is watched by the event loop from its start to its end, and not anew for every statement.

    So the end of a connection at rest is seen before its next use. A socket that fails may wake nobody (uvloop
    tells some failures to no reader): hence the pulse, which wakes who waits, and libpq finds out.
    """

    _watched: int | None = None
    _awaited: "asyncio.Future[None] | None" = None
    _pulse: asyncio.TimerHandle | None = None
    _until = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of no connection: of one, it would give times in the session's zone, which is not ours to set behind a
        # transaction pooler.
        self._transformer = Transformer(None)
        self._at_server: set[bytes] = set()

    async def run(self, statement: Statement, parameters: Sequence[Any], *, prepare: bool) -> list[Row]:
        """The rows of one statement, in autocommit. A connection that breaks over it is closed."""
        dumped = statement.dumped(parameters)
        if prepare:
            if statement.name not in self._at_server:
                self.pgconn.send_prepare(statement.name, statement.text, statement.types)
                with suppress(errors.DuplicatePreparedStatement):
                    await self._result()
                self._at_server.add(statement.name)
            self.pgconn.send_query_prepared(statement.name, dumped, statement.formats, Format.BINARY)
        else:
            self.pgconn.send_query_params(statement.text, dumped, statement.types, statement.formats, Format.BINARY)
        result = await self._result()
        self._transformer.set_pgresult(result)
        rows: list[Row] = self._transformer.load_rows(0, result.ntuples, tuple)
        return rows

    async def _result(self) -> Any:
        results = await self.wait(generators.execute(self.pgconn))
        for result in results:
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                error = errors.error_from_result(result)
                if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
                    self.end()  # as the server does, but we may not have seen that yet
                raise error
        return results[-1]

    def watch(self) -> None:
        self._watched = self.pgconn.socket
        asyncio.get_running_loop().add_reader(self._watched, self._readable)

    async def wait(self, gen: PQGen[Any], interval: float = PULSE, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - psycopg's
        if self._watched is None or timeout is not None:
            return await super().wait(gen, interval, timeout)
        loop = asyncio.get_running_loop()
        self._until = loop.time() + SILENCE
        if self._pulse is None:
            self._pulse = loop.call_later(PULSE, self._beat, loop)
        try:
            state = next(gen)
            while state == Wait.R:
                self._awaited = loop.create_future()
                await self._awaited
                state = gen.send(Ready.R)
            # The socket takes no more for now: rare, and left to psycopg.
            self._unwatch()
            ended = await super().wait(_begun(gen, state), interval)
            if not self.closed:
                self.watch()
        except StopIteration as stop:
            return stop.value
        except psycopg.Error:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.end()  # as below
            raise
        except BaseException:
            self.end()  # its answer is still to come, and is nobody else's; the generator is never taken up again
            raise
        else:
            return ended
        finally:
            self._awaited = None
            if self.closed:
                self._unwatch()

    async def close(self) -> None:
        self._unwatch()
        await super().close()

    def end(self) -> None:
        """At once, whatever it is at."""
        self._unwatch()
        self.pgconn.finish()

    def _readable(self) -> None:
        if self._awaited is not None:
            if not self._awaited.done():
                self._awaited.set_result(None)
            return
        # At rest: a notice, or the end.
        with suppress(psycopg.Error):
            self.pgconn.consume_input()
        if self.closed:
            self._unwatch()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pulse = None
        if self._awaited is not None:
            self._pulse = loop.call_later(PULSE, self._beat, loop)
            if loop.time() > self._until and not self._awaited.done():
                self._awaited.set_exception(TimeoutError())
            self._readable()

    def _unwatch(self) -> None:
        # At once: libpq has closed a broken connection's socket, and the next one gets its number.
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None


def _begun(gen: PQGen[Any], state: Any) -> Generator[Any, Any, Any]:
    """A generator that has begun, as one to begin."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as stop:
            return stop.value


class Connections:
    """At most ``size`` of them. Those at rest lie on a stack, the last used on top; who finds none stands in line."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._resting: list[Connection] = []
        self._places = 0
        """Taken by connections: those at rest, in use, and being opened."""
        self._line: deque[tuple[float, asyncio.Future[Connection | None]]] = deque()
        """Until when they wait, by the event loop's clock, and what for."""
        self._lapsing: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[Connection]] = set()
        self._is_closed = False

    async def take(self) -> Connection:
        """Raises Unavailable."""
        while self._resting:
            connection = self._resting.pop()
            if not connection.closed:
                return connection
            self._places -= 1
        if self._places < self._size:
            self._places += 1
            return await self._opened()
        handed = await self._turn()
        return await self._opened() if handed is None or handed.closed else handed

    def give(self, connection: Connection) -> None:
        if self._is_closed:
            connection.end()
        self._pass_on(None if connection.closed else connection)

    def close(self) -> None:
        self._is_closed = True
        while self._resting:
            self._resting.pop().end()

    def _pass_on(self, connection: Connection | None) -> None:
        """A connection, or None for a place to open one in: to the first in line, or to where they rest."""
        while self._line:
            _, first = self._line.popleft()
            if not first.done():
                first.set_result(connection)
                return
        if connection is None:
            self._places -= 1
        else:
            self._resting.append(connection)

    async def _turn(self) -> Connection | None:
        """A connection, or None for a place to open one in: either is the caller's from then on."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Connection | None] = loop.create_future()
        self._line.append((loop.time() + PATIENCE, turn))
        if self._lapsing is None:  # one timer for all of them: all have the same patience
            self._lapsing = loop.call_later(PATIENCE, self._lapse, loop)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(turn.result())  # handed over in the very moment in which the caller left
            raise

    def _lapse(self, loop: asyncio.AbstractEventLoop) -> None:
        self._lapsing = None
        while self._line:
            until, first = self._line[0]
            if until > loop.time() and not first.done():
                self._lapsing = loop.call_at(until, self._lapse, loop)
                return
            self._line.popleft()
            if not first.done():
                first.set_exception(Unavailable("All database connections are in use; try again in a moment."))

    async def _opened(self) -> Connection:
        """In a place that is taken already. Who has no patience leaves the opening to whoever comes next."""
        opening = asyncio.create_task(
            Connection.connect(self._url, autocommit=True, client_encoding="utf8", connect_timeout=CONNECT_TIMEOUT)
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await asyncio.shield(opening)
        except psycopg.Error as error:
            self._pass_on(None)
            raise Away from error
        except TimeoutError as error:
            opening.add_done_callback(self._keep)
            raise Away from error
        except BaseException:
            opening.add_done_callback(self._keep)
            raise
        connection.watch()
        return connection

    def _keep(self, opening: "asyncio.Task[Connection]") -> None:
        if opening.cancelled() or opening.exception() is not None:
            self._pass_on(None)
        else:
            opening.result().watch()
            self.give(opening.result())
