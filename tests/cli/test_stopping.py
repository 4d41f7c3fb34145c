"""A server that is told to stop answers what it has taken in, and one of several can be replaced unnoticed."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.databases import migrated, sqlite_url
from tests.support.proxy import proxy, to_whoever_listens
from tests.support.serving import serving, signed

CALLERS = 24


class Caller:
    """Calls without a pause, over a connection that it keeps as long as the server does."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {signed({'sub': f'caller-{id(self)}'})}"}
        self.added: list[str] = []
        self.answered = 0
        self.faults: list[str] = []

    def call_until(self, stopped: threading.Event) -> None:
        """Ends when nobody listens any more."""
        while not stopped.is_set():
            connection = http.client.HTTPConnection(*self._address, timeout=20)
            try:
                connection.connect()
            except ConnectionError:
                return
            try:
                while not stopped.is_set() and self._is_kept(connection):
                    pass
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
            finally:
                connection.close()

    def _is_kept(self, connection: http.client.HTTPConnection) -> bool:
        method, body = ("GET", None) if self.answered % 2 else ("POST", f'{{"title": "{self.answered}"}}')
        connection.request(method, "/api/tasks", body, self._headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in (200, 201):
            self.faults.append(f"{answer.status} {said!r}")
        if answer.status == 201:
            self.added.append(f'"title":"{self.answered}"')
        self.answered += 1
        return not answer.will_close


@contextmanager
def calling(address: tuple[str, int]) -> Iterator[list[Caller]]:
    callers, stopped = [Caller(address) for _ in range(CALLERS)], threading.Event()
    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(caller.call_until, stopped) for caller in callers]
        try:
            yield callers
        finally:
            stopped.set()
        for call in calls:
            call.result()


def until_each_was_answered(callers: list[Caller], times: int) -> None:
    goal = [caller.answered + times for caller in callers]
    deadline = time.monotonic() + 30
    while any(caller.answered < least for caller, least in zip(callers, goal, strict=True)):
        assert time.monotonic() < deadline, [caller.faults for caller in callers]
        time.sleep(0.01)


def test_what_was_taken_in_is_answered(tmp_path: Path, empty_database: str) -> None:
    with serving(tmp_path, empty_database) as server:
        with calling(server.address) as callers:
            until_each_was_answered(callers, 5)
            os.kill(server.pid, signal.SIGTERM)
            assert server.wait() == 0
        assert [caller.faults for caller in callers] == [[]] * CALLERS
    with serving(tmp_path, empty_database) as server:
        ann = server.person()
        for caller in callers:
            ann.api.headers["Authorization"] = caller._headers["Authorization"]
            kept = ann.api.get("/api/tasks").text
            assert all(kept.count(f"{title},") == 1 for title in caller.added)
            assert kept.count('"title"') == len(caller.added)


@pytest.mark.timeout(180)
def test_a_rolling_restart_is_not_noticed(tmp_path: Path, empty_postgres: str) -> None:
    migrated(empty_postgres)
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(tmp_path, empty_postgres)) for _ in range(2)]
        addresses = [server.address for server in servers]
        balancer = stack.enter_context(proxy(addresses[0], others=to_whoever_listens(addresses)))
        with calling(balancer.address) as callers:
            for server in servers:
                until_each_was_answered(callers, 3)
                os.kill(server.pid, signal.SIGTERM)
                assert server.wait() == 0
                until_each_was_answered(callers, 3)
                addresses.remove(server.address)
                addresses.append(stack.enter_context(serving(tmp_path, empty_postgres)).address)
        assert [caller.faults for caller in callers] == [[]] * CALLERS


def test_a_list_that_is_being_sent_is_sent_to_its_end(tmp_path: Path) -> None:
    """To a client that takes its time, though the server was told to stop in the middle."""
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        ann = server.person()
        for _ in range(1200):
            ann.add("\U0001d11e" * 500)
        with ann.api.stream("GET", "/api/tasks", headers={"Accept-Encoding": "identity"}) as answer:
            parts = answer.iter_raw(100_000)
            received = next(parts)
            os.kill(server.pid, signal.SIGTERM)
            for part in parts:
                received += part
                time.sleep(0.005)
        assert received.count(b'"title"') == 1200
        assert server.wait() == 0
