"""Clients that send requests without a pause, whatever happens to the server."""

import threading
import time
from collections import Counter

import httpx

from tests.support.serving import Person, Server

CLIENTS = 16
READ, WRITE = "read", "write"


class Load:
    """Clients that read and write, and record the responses."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.acknowledged: list[tuple[Person, str]] = []
        self.slowest = 0.0
        self.last_failure = time.monotonic()
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Load":
        for number in range(CLIENTS):
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
                    self._record(READ, person.api.get("/api/tasks?limit=5"))
                else:
                    response = person.api.post("/api/tasks", json={"title": title})
                    self._record(WRITE, response)
                    if response.status_code == 201:
                        self.acknowledged.append((person, title))
            except httpx.HTTPError as error:
                self.errors.append(repr(error))

    def _record(self, kind: str, response: httpx.Response) -> None:
        with self._lock:
            self.statuses[kind, response.status_code] += 1
            self.slowest = max(self.slowest, response.elapsed.total_seconds())
            if response.status_code >= 500:
                self.last_failure = time.monotonic()

    def wait_for(self, number: int) -> None:
        """Until that many more responses have come."""
        goal = self.statuses.total() + number
        deadline = time.monotonic() + 30
        while self.statuses.total() < goal:
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.01)

    def check(self) -> None:
        """Asserts that each acknowledged task was stored once, and that nothing failed but with 503."""
        assert self.errors == []
        assert {status for _, status in self.statuses} <= {200, 201, 503}
        titles: dict[Person, Counter[str]] = {}
        for person, title in self.acknowledged:
            if person not in titles:
                titles[person] = Counter(task["title"] for task in person.tasks())
            assert titles[person][title] == 1, title
