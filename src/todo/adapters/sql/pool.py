"""PostgreSQL's connections, and how they are shared. Why not psycopg_pool: docs/decisions/13."""

import asyncio
from collections import deque
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

import psycopg

from todo.adapters.sql.connection import Connection
from todo.adapters.sql.database import Away
from todo.domain.refusals import Unavailable

CONNECT_TIMEOUT = 15
"""Seconds. A serverless PostgreSQL that sleeps takes some to wake."""

LOOK = 0.1
"""Seconds between two looks at whose time in the line is over."""


class _Waiting(NamedTuple):
    until: float
    turn: "asyncio.Future[Connection | None]"


class Pool:
    """At most ``size`` connections. Those at rest lie on a stack, the last used on top; who finds none stands in line.

    Who waits says until when, by the event loop's clock, and hears Unavailable then.
    """

    def __init__(self, url: str, size: int, rest: float) -> None:
        """``rest``: seconds after which a connection that nobody used is closed; with 0 none is kept."""
        self._url = url
        self._size = size
        self._rest = rest
        self._is_closed = False
        self._resting: deque[tuple[float, Connection]] = deque()
        """Since when, by the event loop's clock."""
        self._begin_in(None)

    def _begin_in(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """What came out of another event loop is lost with it."""
        self._loop = loop
        while self._resting:
            self._resting.pop()[1].end()
        self._places = 0
        """Taken by connections: those at rest, in use, and being opened."""
        self._line: deque[_Waiting] = deque()
        self._strays: deque[asyncio.Task[Connection]] = deque()
        """Connections whose opening nobody waits for any more, and that have no place: they may still be of use."""
        self._look: asyncio.TimerHandle | None = None
        self._looks_at = inf

    async def take(self, until: float) -> Connection:
        """Raises Unavailable."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a host that runs one for each of its calls
            self._begin_in(loop)
        while self._resting:
            _, connection = self._resting.pop()
            if not connection.closed:
                return connection
            self._places -= 1
        if self._places < self._size:
            self._places += 1
            return await self._opened(until)
        handed = await self._turn(until)
        return await self._opened(until) if handed is None or handed.closed else handed

    def give(self, connection: Connection) -> None:
        if self._is_closed or (self._rest == 0 and not self._line):
            connection.end()
        self._pass_on(None if connection.closed else connection)

    def end_resting(self) -> None:
        """One of their kind has fallen silent: whoever went that way would wait in vain."""
        while self._resting:
            self._resting.pop()[1].end()
            self._places -= 1

    def gauges(self) -> Mapping[str, float]:
        return {
            "database_connections_most": self._size,
            "database_connections": self._places,
            "database_connections_at_rest": len(self._resting),
            "database_waiting": sum(not waiting.turn.done() for waiting in self._line),
        }

    def close(self) -> None:
        self._is_closed = True
        self.end_resting()
        while self._strays:
            self._strays.pop().cancel()

    def _pass_on(self, connection: Connection | None) -> None:
        """A connection, or None for a place to open one in: to the first in line, or to where they rest."""
        assert self._loop is not None
        now = self._loop.time()
        while self._line:
            first = self._line.popleft()
            if first.turn.done():
                continue
            if first.until > now:
                first.turn.set_result(connection)
                return
            first.turn.set_exception(_all_in_use())
        if connection is None:
            self._places -= 1
        else:
            self._resting.append((now, connection))
            self._look_at(now + self._rest)

    async def _turn(self, until: float) -> Connection | None:
        """A connection, or None for a place to open one in: either is the caller's from then on."""
        assert self._loop is not None
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._line.append(_Waiting(until, turn))
        self._look_at(self._loop.time() + LOOK)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(turn.result())  # handed over in the very moment in which the caller left
            raise

    def _look_at(self, when: float) -> None:
        """One timer for all who wait and all that rests: one for each would cost more than the waiting."""
        if self._looks_at > when:
            assert self._loop is not None
            if self._look is not None:
                self._look.cancel()
            self._looks_at = when
            self._look = self._loop.call_at(when, self._look_around, self._loop)

    def _look_around(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look, self._looks_at = None, inf
        now = loop.time()
        for waiting in self._line:
            if waiting.until <= now and not waiting.turn.done():
                waiting.turn.set_exception(_all_in_use())
        self._line = deque(waiting for waiting in self._line if not waiting.turn.done())
        while self._resting and (self._resting[0][1].closed or self._resting[0][0] + self._rest <= now):
            self._resting.popleft()[1].end()
            self._places -= 1
        if self._line:
            self._look_at(now + LOOK)
        elif self._resting:
            self._look_at(max(now + LOOK, self._resting[0][0] + self._rest))

    async def _opened(self, until: float) -> Connection:
        """In a place that is taken already; given up again if nothing comes of it."""
        opening = asyncio.create_task(
            Connection.connect(self._url, autocommit=True, client_encoding="utf8", connect_timeout=CONNECT_TIMEOUT)
        )
        try:
            async with asyncio.timeout_at(until):
                connection = await asyncio.shield(opening)
        except psycopg.Error as error:
            self._pass_on(None)
            raise Away from error
        except BaseException as error:
            self._let_go(opening)
            if isinstance(error, TimeoutError):
                raise Away from error
            raise
        connection.watch()
        return connection

    def _let_go(self, opening: "asyncio.Task[Connection]") -> None:
        """It goes on by itself, while its place is free for another attempt, which may find a way that this one did
        not. As many may do so as there are places: a new one ends the oldest."""
        self._pass_on(None)
        self._strays.append(opening)
        opening.add_done_callback(self._come_home)
        if len(self._strays) > self._size:
            self._strays.popleft().cancel()

    def _come_home(self, opening: "asyncio.Task[Connection]") -> None:
        if opening in self._strays:
            self._strays.remove(opening)
        if opening.cancelled() or opening.exception() is not None:
            return
        connection = opening.result()
        connection.watch()
        if self._places < self._size:
            self._places += 1
            self.give(connection)
        else:
            connection.end()


def _all_in_use() -> Unavailable:
    return Unavailable("All database connections are in use; try again in a moment.")
