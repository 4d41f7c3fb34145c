"""What those who run the service see of it: a line for each request, and figures."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import sqlite_url
from tests.support.serving import Server, serving


def until_told(server: Server, number: int) -> list[dict[str, Any]]:
    """Lines wait for others for a moment, and none is lost."""
    while len(told := server.told("todo.requests")) < number:
        server.anybody.get("/health/live")
    return [line for line in told if line["route"] != "/health/live"]


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Server]:
    settings = {"METRICS": "true", "LOG_HASH_KEY": "the same in every copy"}
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
        yield server


def test_each_request_is_a_line_that_names_its_route_and_not_what_was_asked(seen: Server) -> None:
    ann, bob = seen.person(), seen.person()
    task = ann.add("a secret title")
    bob.api.get(f"/api/tasks/{task['id']}", headers={"X-Request-Id": "the-one"})
    ann.api.get("/api/tasks", params={"q": "secret"})
    seen.anybody.get("/api/tasks")
    seen.anybody.head("/made/up/by-somebody")
    told = until_told(seen, 5)
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/api/tasks", 201),
        ("GET", "/api/tasks/{task_id}", 403),
        ("GET", "/api/tasks", 200),
        ("GET", "/api/tasks", 401),
        ("HEAD", "unknown", 404),
    ]
    assert told[1]["request_id"] == "the-one"
    assert len({line["request_id"] for line in told}) == 5
    assert all(0 < line["seconds"] < 5 for line in told)
    hashes = [line["owner"] for line in told]
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[3:] == [None, None]
    for secret in ("secret title", "q=", ann.user_id, ann.token, task["id"], "somebody"):
        assert secret not in seen.printed()


def test_what_is_refused_as_no_request_is_told_by_the_id_that_its_answer_has(seen: Server) -> None:
    with socket.create_connection(seen.address, timeout=10) as connection:
        connection.sendall(b"a secret, and nothing that HTTP knows\r\n\r\n")
        answer = connection.makefile("rb").read()
    [named] = re.findall(rb"x-request-id: ([0-9a-f]{32})\r\n", answer)
    [told] = seen.told("todo.http")
    assert told["said"] == f"request {named.decode()} was refused before it was whole: 400"
    assert "secret" not in seen.printed()


def test_a_person_has_one_hash_in_every_copy_with_one_key_and_another_with_another(tmp_path: Path) -> None:
    def hash_of_ann(**settings: str) -> str:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
            server.person("somebody").tasks()
        owner: str = server.told("todo.requests")[0]["owner"]  # what lingers is written at the end
        return owner

    mine = hash_of_ann(LOG_HASH_KEY="mine")
    assert hash_of_ann(LOG_HASH_KEY="mine") == mine
    assert len({mine, hash_of_ann(LOG_HASH_KEY="another"), hash_of_ann(), hash_of_ann()}) == 4


def test_requests_are_not_told_where_that_is_not_wanted(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), REQUEST_LOG="false") as server:
        server.person().add()
        assert server.anybody.get("/metrics").status_code == 404
    assert server.printed() == ""


def figures(server: Server) -> dict[str, float]:
    page = server.anybody.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    return {name: float(value) for name, value in re.findall("^([a-z].*) ([0-9.e+-]+)$", page.text, re.MULTILINE)}


def test_figures_count_requests_by_route_tokens_and_the_databases_use(seen: Server) -> None:
    ann = seen.person()
    ann.add()
    ann.tasks()
    ann.tasks()
    seen.anybody.get("/api/tasks", headers={"Authorization": "Bearer nonsense"})
    found = figures(seen)
    assert found['todo_requests_total{method="POST",route="/api/tasks",status="201"}'] == 1
    assert found['todo_requests_total{method="GET",route="/api/tasks",status="200"}'] == 2
    assert found['todo_request_seconds_count{method="GET",route="/api/tasks"}'] == 3
    assert (found["todo_tokens_verified_total"], found["todo_tokens_remembered_total"]) == (1, 2)
    assert found["todo_tokens_refused_total"] == 1
    assert found["todo_database_changes_waiting"] == 0
    assert ann.user_id not in seen.anybody.get("/metrics").text


def test_figures_tell_how_postgresqls_connections_are_used(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres, METRICS="true", DATABASE_POOL_SIZE="3") as server:
        server.person().add()
        found = figures(server)
    assert found["todo_database_connections_most"] == 3
    assert found["todo_database_connections"] == found["todo_database_connections_at_rest"] == 1
    assert found["todo_database_waiting"] == 0


def test_several_workers_count_together(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", "2", METRICS="true") as server:
        for _ in range(20):
            server.person().tasks()  # each over a connection of their own
        assert figures(server)['todo_requests_total{method="GET",route="/api/tasks",status="200"}'] == 20
