"""More requests than are served at once."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from tests.api.problems import is_problem
from tests.support.databases import sqlite_url
from tests.support.serving import serving

LIMIT = 3


def wait_for_lock_queue(url: str, number: int) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as own:
        while own.execute(waiting).fetchone() != (number,):
            time.sleep(0.01)


def test_requests_over_the_limit_are_refused_at_once_and_the_others_served(tmp_path: Path, empty_postgres: str) -> None:
    settings = {"MAX_CONCURRENT_REQUESTS": str(LIMIT), "DATABASE_TIMEOUT": "20"}
    with serving(tmp_path, empty_postgres, **settings) as server, ThreadPoolExecutor(LIMIT) as pool:
        people = [server.person() for _ in range(LIMIT)]
        people[0].add()
        with psycopg.connect(empty_postgres) as holder:
            holder.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            waiting = [pool.submit(person.add) for person in people]
            outsider = server.person()
            wait_for_lock_queue(empty_postgres, LIMIT)
            refused = outsider.api.get("/api/tasks")
            is_problem(refused, 503)
            assert int(refused.headers["retry-after"]) > 0
            assert refused.elapsed.total_seconds() < 1
            assert server.anybody.get("/health/live").status_code == 200
        assert [response.result()["title"] for response in waiting] == ["Buy milk"] * LIMIT
        assert outsider.tasks() == []


def test_clients_that_do_not_read_the_docs_do_not_block_requests_for_tasks(tmp_path: Path) -> None:
    with (
        serving(tmp_path, sqlite_url(tmp_path / "todo.db"), MAX_CONCURRENT_REQUESTS="1") as server,
        socket.create_connection(server.address) as idle,
    ):
        idle.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        while server.anybody.get("/openapi.json").status_code != 503:
            pass
        assert server.person().tasks() == []
