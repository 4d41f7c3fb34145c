"""A connection to PostgreSQL, and what it runs.

psycopg opens it and speaks the protocol. How an answer is waited for is our own: that saves a third of what a
statement costs (docs/decisions/13).
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from math import inf
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, adapters, capabilities, errors, generators, waiting
from psycopg.abc import Buffer, Dumper, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.types.numeric import Int8
from psycopg.waiting import Ready, Wait

from todo.adapters.sql.statements import Row

PULSE = 0.1
"""Seconds between two looks at a connection that is waited for."""

CANCEL_TIMEOUT = 5
"""Seconds that a request to cancel a statement may take."""

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
    _loop: asyncio.AbstractEventLoop
    """In which it is watched."""
    _awaited: "asyncio.Future[None] | None" = None
    _pulse: asyncio.TimerHandle | None = None
    _until = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of no connection: of one, it would give times in the session's zone, which is not ours to set behind a
        # transaction pooler.
        self._transformer = Transformer(None)
        self._at_server: set[bytes] = set()

    async def run(
        self, statement: Statement, parameters: Sequence[Any], *, prepare: bool, until: float = inf
    ) -> list[Row]:
        """The rows of one statement, in autocommit. A connection that breaks over it is closed.

        Raises TimeoutError if there is no answer ``until`` then, by the event loop's clock. The statement is asked to
        stop, as the server would by itself with a statement_timeout; but that is a session's, and sessions are not
        ours to set behind a transaction pooler.
        """
        self._until = until
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
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._watched, self._readable)

    async def wait(self, gen: PQGen[Any], interval: float = PULSE, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - psycopg's
        if self._watched is None or timeout is not None:
            return await super().wait(gen, interval, timeout)
        if self._pulse is None:
            self._pulse = self._loop.call_later(PULSE, self._beat)
        try:
            state = next(gen)
            while state == Wait.R:
                self._awaited = self._loop.create_future()
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
            # Its answer is still to come, and is nobody else's; the generator is never taken up again.
            self._cancel()
            self.end()
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

    def _cancel(self) -> None:
        """Asks the server to leave what it is at, and does not wait for that."""
        if self.closed or not capabilities.has_cancel_safe():
            return
        with suppress(psycopg.Error):
            asked = self.pgconn.cancel_conn()
            asked.start()
            asking = asyncio.ensure_future(
                waiting.wait_conn_async(generators.cancel(asked), PULSE, timeout=CANCEL_TIMEOUT)
            )
            _cancelling.add(asking)
            asking.add_done_callback(_cancelled)

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

    def _beat(self) -> None:
        self._pulse = None
        if self._awaited is not None:
            self._pulse = self._loop.call_later(PULSE, self._beat)
            if self._loop.time() > self._until and not self._awaited.done():
                self._awaited.set_exception(TimeoutError())
            self._readable()

    def _unwatch(self) -> None:
        # At once: libpq has closed a broken connection's socket, and the next one gets its number.
        if self._watched is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._watched)
            self._watched = None


def _begun(gen: PQGen[Any], state: Any) -> Generator[Any, Any, Any]:
    """A generator that has begun, as one to begin."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as stop:
            return stop.value


_cancelling: set["asyncio.Future[None]"] = set()


def _cancelled(asking: "asyncio.Future[None]") -> None:
    _cancelling.discard(asking)
    if not asking.cancelled():
        asking.exception()  # there is nothing more to be done about it
