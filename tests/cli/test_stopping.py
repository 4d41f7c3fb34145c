"""A server that is told to stop finishes the requests that it has accepted: servers can be replaced unnoticed."""

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

CLIENTS = 24


class Client:
    """Sends requests without a pause, over a connection that it keeps as long as the server does."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.headers = {"Authorization": f"Bearer {signed({'sub': f'client-{id(self)}'})}"}
        self.added: list[str] = []
        self.responses = 0
        self.errors: list[str] = []

    def run(self, stopped: threading.Event) -> None:
        """Also ends when no server listens any more."""
        while not stopped.is_set():
            connection = http.client.HTTPConnection(*self._address, timeout=20)
            try:
                connection.connect()
            except ConnectionError:
                return
            try:
                while not stopped.is_set() and self._request(connection):
                    pass
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
            finally:
                connection.close()

    def _request(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the connection stays open."""
        method, body = ("GET", None) if self.responses % 2 else ("POST", f'{{"title": "{self.responses}"}}')
        connection.request(method, "/api/tasks", body, self.headers)
        response = connection.getresponse()
        content = response.read()
        if response.status not in (200, 201):
            self.errors.append(f"{response.status} {content!r}")
        if response.status == 201:
            self.added.append(f'"title":"{self.responses}"')
        self.responses += 1
        return not response.will_close


@contextmanager
def running_clients(address: tuple[str, int]) -> Iterator[list[Client]]:
    clients, stopped = [Client(address) for _ in range(CLIENTS)], threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [pool.submit(client.run, stopped) for client in clients]
        try:
            yield clients
        finally:
            stopped.set()
        for run in runs:
            run.result()


def wait_for_responses(clients: list[Client], number: int) -> None:
    """For so many more, to each."""
    goals = [client.responses + number for client in clients]
    deadline = time.monotonic() + 30
    while any(client.responses < goal for client, goal in zip(clients, goals, strict=True)):
        assert time.monotonic() < deadline, [client.errors for client in clients]
        time.sleep(0.01)


def test_every_accepted_request_gets_its_response(tmp_path: Path, empty_database: str) -> None:
    with serving(tmp_path, empty_database) as server:
        with running_clients(server.address) as clients:
            wait_for_responses(clients, 5)
            os.kill(server.pid, signal.SIGTERM)
            assert server.wait() == 0
        assert [client.errors for client in clients] == [[]] * CLIENTS
    with serving(tmp_path, empty_database) as server:
        api = server.person().api
        for client in clients:
            api.headers["Authorization"] = client.headers["Authorization"]
            tasks = api.get("/api/tasks").text
            assert all(tasks.count(f"{title},") == 1 for title in client.added)
            assert tasks.count('"title"') == len(client.added)


@pytest.mark.timeout(180)
def test_clients_do_not_notice_a_rolling_restart(tmp_path: Path, empty_postgres: str) -> None:
    migrated(empty_postgres)
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(tmp_path, empty_postgres)) for _ in range(2)]
        addresses = [server.address for server in servers]
        balancer = stack.enter_context(proxy(addresses[0], others=to_whoever_listens(addresses)))
        with running_clients(balancer.address) as clients:
            for server in servers:
                wait_for_responses(clients, 3)
                os.kill(server.pid, signal.SIGTERM)
                assert server.wait() == 0
                wait_for_responses(clients, 3)
                addresses.remove(server.address)
                addresses.append(stack.enter_context(serving(tmp_path, empty_postgres)).address)
        assert [client.errors for client in clients] == [[]] * CLIENTS


def test_a_list_is_sent_to_its_end_to_a_slow_client(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        ann = server.person()
        for _ in range(1200):
            ann.add("\U0001d11e" * 500)
        with ann.api.stream("GET", "/api/tasks", headers={"Accept-Encoding": "identity"}) as response:
            chunks = response.iter_raw(100_000)
            received = next(chunks)
            os.kill(server.pid, signal.SIGTERM)
            for chunk in chunks:
                received += chunk
                time.sleep(0.005)
        assert received.count(b'"title"') == 1200
        assert server.wait() == 0
