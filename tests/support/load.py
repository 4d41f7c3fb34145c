"""Callers who keep at it, whatever happens to what they call."""

import threading
import time
from collections import Counter

import httpx

from tests.support.serving import Person, Server

CALLERS = 16
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
