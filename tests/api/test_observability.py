"""What operators see of the service: the access log, and metrics."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import sqlite_url
from tests.support.serving import Server, serving


def wait_for_lines(server: Server, number: int) -> list[dict[str, Any]]:
    """Lines are written in batches, after a moment."""
    while len(lines := server.logged("todo.access")) < number:
        server.anybody.get("/health/live")
    return [line for line in lines if line["route"] != "/health/live"]


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Server]:
    settings = {"METRICS": "true", "LOG_HASH_KEY": "the same in every copy"}
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
        yield server


def test_the_access_log_names_the_route_and_nothing_that_a_client_chose(observed: Server) -> None:
    ann, bob = observed.person(), observed.person()
    task = ann.add("a secret title")
    bob.api.get(f"/api/tasks/{task['id']}", headers={"X-Request-Id": "the-one"})
    ann.api.get("/api/tasks", params={"q": "secret"})
    observed.anybody.get("/api/tasks")
    observed.anybody.head("/made/up/by-somebody")
    lines = wait_for_lines(observed, 5)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/api/tasks", 201),
        ("GET", "/api/tasks/{task_id}", 403),
        ("GET", "/api/tasks", 200),
        ("GET", "/api/tasks", 401),
        ("HEAD", "unknown", 404),
    ]
    assert lines[1]["request_id"] == "the-one"
    assert len({line["request_id"] for line in lines}) == 5
    assert all(0 < line["seconds"] < 5 for line in lines)
    hashes = [line["user_hash"] for line in lines]
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[3:] == [None, None]
    for secret in ("secret title", "q=", ann.user_id, ann.token, task["id"], "somebody"):
        assert secret not in observed.printed()


def test_what_is_not_http_is_logged_under_the_id_in_its_response(observed: Server) -> None:
    with socket.create_connection(observed.address, timeout=10) as connection:
        connection.sendall(b"a secret, and nothing that HTTP knows\r\n\r\n")
        response = connection.makefile("rb").read()
    [named] = re.findall(rb"x-request-id: ([0-9a-f]{32})\r\n", response)
    [line] = observed.logged("todo.http")
    assert line["message"] == (
        f"request {named.decode()} was refused before it was complete: 400, This is not a valid HTTP/1.1 request."
    )
    assert "secret" not in observed.printed()


def test_a_persons_hash_is_the_same_in_every_copy_with_the_same_key(tmp_path: Path) -> None:
    def hash_of_ann(**settings: str) -> str:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
            server.person("somebody").tasks()
        owner: str = server.logged("todo.access")[0]["user_hash"]  # waiting lines are written at the end
        return owner

    mine = hash_of_ann(LOG_HASH_KEY="mine")
    assert hash_of_ann(LOG_HASH_KEY="mine") == mine
    assert len({mine, hash_of_ann(LOG_HASH_KEY="another"), hash_of_ann(), hash_of_ann()}) == 4


def test_the_access_log_can_be_switched_off(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), ACCESS_LOG="false") as server:
        server.person().add()
        assert server.anybody.get("/metrics").status_code == 404
    assert server.printed() == ""


def metrics(server: Server) -> dict[str, float]:
    page = server.anybody.get("/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {name: float(value) for name, value in re.findall("^([a-z].*) ([0-9.e+-]+)$", page.text, re.MULTILINE)}


def test_metrics_count_requests_by_route_tokens_and_queues(observed: Server) -> None:
    ann = observed.person()
    ann.add()
    ann.tasks()
    ann.tasks()
    observed.anybody.get("/api/tasks", headers={"Authorization": "Bearer nonsense"})
    found = metrics(observed)
    assert found['todo_http_requests_total{method="POST",route="/api/tasks",status="201"}'] == 1
    assert found['todo_http_requests_total{method="GET",route="/api/tasks",status="200"}'] == 2
    assert found['todo_http_request_duration_seconds_count{method="GET",route="/api/tasks"}'] == 3
    assert (found["todo_tokens_verified_total"], found["todo_tokens_cached_total"]) == (1, 2)
    assert found["todo_tokens_rejected_total"] == 1
    assert found["todo_db_change_queue"] == 0
    assert ann.user_id not in observed.anybody.get("/metrics").text


def test_metrics_show_the_connection_pool(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres, METRICS="true", DATABASE_POOL_SIZE="3") as server:
        server.person().add()
        found = metrics(server)
    assert found["todo_db_pool_size"] == 3
    assert found["todo_db_pool_connections"] == found["todo_db_pool_idle"] == 1
    assert found["todo_db_pool_queue"] == 0


def test_several_workers_count_together(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", "2", METRICS="true") as server:
        for _ in range(20):
            server.person().tasks()  # each over a connection of their own
        assert metrics(server)['todo_http_requests_total{method="GET",route="/api/tasks",status="200"}'] == 20
