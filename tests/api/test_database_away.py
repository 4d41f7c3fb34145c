"""PostgreSQL goes away in every way it can, under load, and comes back: nothing hangs and nothing is lost."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.databases import OwnPostgres, own_postgres
from tests.support.serving import Person, Server, serving
from tests.support.wire import Weather, wire

CALLERS = 16
IN_TIME = 2
"""Seconds until a request hears what became of it."""
BACK = 5
"""Seconds after the database's return until all is well."""
READ, WRITE = "read", "write"


class Load:
    """Callers who read and write without a pause, and note what they were told."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.acknowledged: list[tuple[Person, str]] = []
        self.slowest = 0.0
        self.well_since = time.monotonic()
        self.faults: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Load":
        for number in range(CALLERS):
            thread = threading.Thread(target=self._call, args=(self._server.person(), number))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _call(self, person: Person, number: int) -> None:
        for count in range(10**6):
            if self._stopped.is_set():
                return
            title = f"{number}-{count}"
            try:
                if count % 2:
                    self._note(READ, person.api.get("/api/tasks?limit=5"))
                else:
                    answer = person.api.post("/api/tasks", json={"title": title})
                    self._note(WRITE, answer)
                    if answer.status_code == 201:
                        self.acknowledged.append((person, title))
            except httpx.HTTPError as error:
                self.faults.append(repr(error))

    def _note(self, what: str, answer: httpx.Response) -> None:
        with self._lock:
            self.statuses[what, answer.status_code] += 1
            self.slowest = max(self.slowest, answer.elapsed.total_seconds())
            if answer.status_code >= 500:
                self.well_since = time.monotonic()

    def until(self, number: int) -> None:
        """So many more answers."""
        goal = self.statuses.total() + number
        deadline = time.monotonic() + 30
        while self.statuses.total() < goal:
            assert time.monotonic() < deadline, self.faults
            time.sleep(0.01)

    def judge(self) -> None:
        """Each acknowledged task is there, once."""
        assert self.faults == []
        assert {status for _, status in self.statuses} <= {200, 201, 503}
        titles: dict[Person, Counter[str]] = {}
        for person, title in self.acknowledged:
            if person not in titles:
                titles[person] = Counter(task["title"] for task in person.tasks())
            assert titles[person][title] == 1, title


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


def test_reads_never_fail_while_connections_are_ended(tmp_path: Path, empty_postgres: str) -> None:
    """All of them, again and again; and of writes what is refused is 503, and what is acknowledged there once."""
    with serving(tmp_path, empty_postgres) as server, psycopg.connect(empty_postgres, autocommit=True) as own:
        with Load(server) as load:
            for _ in range(15):
                load.until(100)
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            load.until(100)
        load.judge()
        assert load.statuses[READ, 503] == 0
        assert load.statuses[WRITE, 503] < load.statuses[WRITE, 201] / 100


def is_well(server: Server, load: Load) -> None:
    """Soon, and without a restart."""
    returned = time.monotonic()
    while time.monotonic() - returned < BACK + 1:
        load.until(10)
    assert load.well_since - returned < BACK
    assert server.anybody.get("/health/ready").status_code == 200


def is_away(server: Server, load: Load) -> None:
    load.slowest = 0
    began = time.monotonic()
    ready = server.anybody.get("/health/ready")
    while time.monotonic() - began < 3:
        assert server.anybody.get("/health/live").status_code == 200
        ready = server.anybody.get("/health/ready")
        assert ready.elapsed.total_seconds() < IN_TIME + 0.5
    assert ready.status_code == 503
    assert load.slowest < IN_TIME + 0.5  # on a busy machine


@pytest.mark.parametrize("weather", [Weather.SWALLOWED, Weather.SLOW, Weather.RESET, Weather.CUT])
def test_the_way_to_it_is_disturbed(tmp_path: Path, own: OwnPostgres, weather: Weather) -> None:
    with wire(own.create("UTF8")) as (way, url), serving(tmp_path, url) as server:
        with Load(server) as load:
            load.until(100)
            way.change(weather)
            is_away(server, load)
            way.change(Weather.FAIR)
            is_well(server, load)
        load.judge()


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_it_is_stopped_and_started(tmp_path: Path, own: OwnPostgres, how: str) -> None:
    with serving(tmp_path, own.create("UTF8")) as server:
        with Load(server) as load:
            load.until(100)
            own.stop(how)
            is_away(server, load)
            own.start()
            is_well(server, load)
        load.judge()
