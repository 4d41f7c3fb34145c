"""A pool of connections to PostgreSQL. Why not psycopg_pool: docs/decisions/13."""

import asyncio
from collections import deque
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

import psycopg

from todo.adapters.sql.database import DatabaseAway
from todo.adapters.sql.postgresql.connection import Connection
from todo.domain.refusals import Unavailable

SWEEP_INTERVAL = 0.1  # seconds between two checks for expired waiters


class _Waiter(NamedTuple):
    deadline: float
    handed: "asyncio.Future[Connection | None]"  # A connection, or None for a slot to open one in


class Pool:
    """At most ``size`` connections, the last used reused first; a queue when all are in use.

    Deadlines are in the event loop's time. One timer serves all waiters and all idle connections.
    """

    def __init__(self, url: str, size: int, idle_timeout: float) -> None:
        """``idle_timeout``: seconds after which an unused connection is closed; with 0 none is kept."""
        self._url = url
        self._size = size
        self._idle_timeout = idle_timeout
        self._is_closed = False
        self._idle: deque[tuple[float, Connection]] = deque()  # since when, and which; the longest idle first
        self._slots = 0  # taken by connections: idle, in use, or being opened
        self._queue: deque[_Waiter] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweeps_at = inf

    async def acquire(self, deadline: float) -> Connection:
        """Raises Unavailable."""
        while self._idle:
            _, connection = self._idle.pop()
            if not connection.is_closed:
                return connection
            self._slots -= 1
        if self._slots < self._size:
            self._slots += 1
            return await self._open(deadline)
        handed = await self._queue_up(deadline)
        return await self._open(deadline) if handed is None or handed.is_closed else handed

    def release(self, connection: Connection) -> None:
        if self._is_closed or (self._idle_timeout == 0 and not self._queue):
            connection.close()
        self._hand_over(None if connection.is_closed else connection)

    def close_idle(self) -> None:
        """For use when one connection stops answering: the idle ones probably lead to the same dead server."""
        while self._idle:
            self._idle.pop()[1].close()
            self._slots -= 1

    def gauges(self) -> Mapping[str, float]:
        return {
            "db_pool_size": self._size,
            "db_pool_connections": self._slots,
            "db_pool_idle": len(self._idle),
            "db_pool_queue": sum(not waiter.handed.done() for waiter in self._queue),
        }

    def close(self) -> None:
        self._is_closed = True
        self.close_idle()

    async def _open(self, deadline: float) -> Connection:
        """Opens a connection in a slot that is already taken; releases the slot on failure."""
        try:
            async with asyncio.timeout_at(deadline):
                return await Connection.open(self._url)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._hand_over(None)
            raise DatabaseAway from error
        except BaseException:
            self._hand_over(None)
            raise

    def _hand_over(self, connection: Connection | None) -> None:
        """Gives a connection, or (None) the slot of a closed one, to the first waiter or back to the pool."""
        now = asyncio.get_running_loop().time()
        while self._queue:
            waiter = self._queue.popleft()
            if waiter.handed.done():
                continue
            if waiter.deadline > now:
                waiter.handed.set_result(connection)
                return
            waiter.handed.set_exception(_all_in_use())
        if connection is None:
            self._slots -= 1
        else:
            self._idle.append((now, connection))
            self._schedule_sweep(now + self._idle_timeout)

    async def _queue_up(self, deadline: float) -> Connection | None:
        loop = asyncio.get_running_loop()
        handed: asyncio.Future[Connection | None] = loop.create_future()
        self._queue.append(_Waiter(deadline, handed))
        self._schedule_sweep(loop.time() + SWEEP_INTERVAL)
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                self._hand_over(handed.result())  # it was handed over at the moment of the cancellation
            raise

    def _schedule_sweep(self, when: float) -> None:
        if self._sweeps_at > when:
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
            self._sweeps_at = when
            self._sweep_timer = asyncio.get_running_loop().call_at(when, self._sweep)

    def _sweep(self) -> None:
        """Refuses expired waiters, and closes connections that were idle for too long."""
        self._sweep_timer, self._sweeps_at = None, inf
        now = asyncio.get_running_loop().time()
        for waiter in self._queue:
            if waiter.deadline <= now and not waiter.handed.done():
                waiter.handed.set_exception(_all_in_use())
        self._queue = deque(waiter for waiter in self._queue if not waiter.handed.done())
        while self._idle and (self._idle[0][1].is_closed or self._idle[0][0] + self._idle_timeout <= now):
            self._idle.popleft()[1].close()
            self._slots -= 1
        if self._queue:
            self._schedule_sweep(now + SWEEP_INTERVAL)
        elif self._idle:
            self._schedule_sweep(max(now + SWEEP_INTERVAL, self._idle[0][0] + self._idle_timeout))


def _all_in_use() -> Unavailable:
    return Unavailable("All database connections are in use; try again in a moment.")
