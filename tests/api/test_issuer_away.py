"""A running server whose issuer can't be reached."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.api.problems import is_problem
from tests.api.test_observability import metrics
from tests.support.databases import sqlite_url
from tests.support.issuer import BROKEN, Issuer, SigningKey, breakable_issuer, publishes
from tests.support.serving import Server, serving


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with breakable_issuer() as issuer:
        yield issuer


def status(server: Server, token: str) -> int:
    return server.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {token}"}).status_code


def test_requests_are_503_within_3_seconds_until_the_first_key_set_has_come_and_never_after(
    tmp_path: Path, issuer: Issuer
) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), BETTER_AUTH_URL=issuer.url) as server:
        issuer.behaviour = BROKEN["hang"]
        began = time.monotonic()
        response = server.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {issuer.token()}"})
        assert time.monotonic() - began < 3  # seconds, as promised
        assert int(response.headers["retry-after"]) > 0
        assert "issuer" in is_problem(response, 503)["detail"]
        assert server.anybody.get("/health/ready").status_code == 200
        is_problem(server.anybody.get("/api/tasks"), 401)

        issuer.behaviour = publishes
        deadline = time.monotonic() + 20
        while status(server, issuer.token()) == 503:
            assert time.monotonic() < deadline

        issuer.behaviour = BROKEN["hang"]
        assert {status(server, issuer.token(sub=f"person-{number}")) for number in range(20)} == {200}
        assert status(server, issuer.token(SigningKey("another"))) == 401
        assert {status(server, issuer.token(sub=f"person-{number}")) for number in range(20)} == {200}
        logged = server.logged("todo.tokens")
        assert logged[0]["message"] == "fetching the key set failed: no complete response within 2 seconds"
        assert len(logged) <= 4  # not one for each request


def test_tokens_that_wait_for_the_issuer_do_not_keep_others_from_being_served(tmp_path: Path, issuer: Issuer) -> None:
    settings = {"BETTER_AUTH_URL": issuer.url, "MAX_CONCURRENT_REQUESTS": "2", "METRICS": "true"}
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server, ThreadPoolExecutor(5) as pool:
        assert status(server, issuer.token()) == 200
        issuer.behaviour = BROKEN["hang"]
        made_up = [issuer.token(SigningKey(f"made-up-{number}")) for number in range(5)]
        waiting = [pool.submit(status, server, token) for token in made_up]
        while metrics(server)["todo_jwks_unknown_kids_total"] < len(made_up):
            assert not any(response.done() for response in waiting)
        assert status(server, issuer.token()) == 200
        assert not any(response.done() for response in waiting)
        issuer.behaviour = publishes
        issuer.released.set()
        assert {response.result() for response in waiting} == {401}


def test_the_server_warns_when_no_audience_is_configured(tmp_path: Path, issuer: Issuer) -> None:
    settings = {"JWT_JWKS_URL": f"{issuer.url}/api/auth/jwks"}
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), **settings) as server:
        assert status(server, issuer.token(aud=None, iss=None)) == 200
        assert "JWT_AUDIENCE is not set" in server.printed()
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), JWT_AUDIENCE="tasks", **settings) as server:
        assert status(server, issuer.token()) == 401
        assert status(server, issuer.token(aud="tasks")) == 200
        assert server.logged("todo.http") == []
        assert "<a token of your issuer>" in server.greeting
