"""A thread with a SQLite connection of its own, which works through a queue of jobs."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

BUSY_TIMEOUT = 10  # seconds that a writer waits for those of other processes
BATCH_SIZE = 100  # the most jobs that are run together

Action = Callable[[sqlite3.Connection], Any]


class Job(NamedTuple):
    action: Action
    done: "asyncio.Future[Any]"


Outcome = tuple[Job, Any, Exception | None]


def run_separately(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    for job in jobs:
        if not job.done.cancelled():
            try:
                _settle([(job, job.action(connection), None)])
            except Exception as error:  # noqa: BLE001 - raised where the result is awaited
                _settle([(job, None, error)])


def run_in_one_transaction(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """Each job wholly or not at all; none has succeeded before all are on the disk, which they reach together. If one
    fails, each is run again in a transaction of its own."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes: list[Outcome] = [(job, job.action(connection), None) for job in jobs]
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - raised where the result is awaited
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(jobs) > 1:
            for job in jobs:
                run_in_one_transaction(connection, [job])
            return
        outcomes = [(jobs[0], None, error)]
    _settle(outcomes)


def _settle(outcomes: Sequence[Outcome]) -> None:
    def settle() -> None:
        for job, result, error in outcomes:
            if job.done.cancelled():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)

    with suppress(RuntimeError):  # the loop has ended
        outcomes[0][0].done.get_loop().call_soon_threadsafe(settle)


class Worker:
    """Starts with its first job. A change that it was given is made even when its caller is cancelled."""

    def __init__(self, file: Path, run_batch: Callable[[sqlite3.Connection, Sequence[Job]], None]) -> None:
        self._file = file
        self._run_batch = run_batch
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, action: Action) -> Any:
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"todo {self._run_batch.__name__}", daemon=True)
            self._thread.start()
        job = Job(action, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return await job.done

    @property
    def queue_length(self) -> int:
        return self._jobs.qsize()

    def stop(self) -> None:
        """Once all jobs are done."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while batch := self._next_batch():
            try:
                connection = connection or connect(self._file)
                self._run_batch(connection, batch)
            except Exception as error:  # noqa: BLE001 - raised where the results are awaited
                _settle([(job, None, error) for job in batch])
                if connection is not None:
                    connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    def _next_batch(self) -> list[Job]:
        """All that is queued, once there is anything; empty at the end."""
        first = self._jobs.get()
        batch = [] if first is None else [first]
        with suppress(Empty):
            while batch and len(batch) < BATCH_SIZE:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # for the next time
                    break
                batch.append(job)
        return batch


def connect(file: Path, busy_timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=busy_timeout, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")  # a change that was acknowledged survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
