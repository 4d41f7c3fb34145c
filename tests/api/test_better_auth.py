"""The service with a real Better Auth, end to end."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest

from tests.api.problems import is_problem
from tests.cli.commands import run_todo
from tests.support.better_auth import BetterAuth, better_auth, needs_better_auth
from tests.support.databases import sqlite_url
from tests.support.secrets import keep_secret
from tests.support.serving import Server, serving

pytestmark = needs_better_auth


@dataclass
class Installation:
    issuer: BetterAuth
    service: Server
    ids: str  # a pattern
    algorithm: str


@pytest.fixture(
    scope="module",
    params=[
        ({}, "[A-Za-z0-9]{32}", "EdDSA"),
        ({"ids": "uuid", "alg": "ES256"}, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ES256"),
    ],
    ids=["default ids, EdDSA", "UUIDs, ES256"],
)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("installed")
    configuration, ids, algorithm = request.param
    with (
        better_auth(**configuration) as issuer,
        serving(directory, sqlite_url(directory / "todo.db"), BETTER_AUTH_URL=issuer.url) as service,
    ):
        yield Installation(issuer, service, ids, algorithm)


def test_two_people_sign_up_and_each_reaches_their_own_tasks_alone(installed: Installation) -> None:
    ann, bob = installed.issuer.sign_up("ann"), installed.issuer.sign_up("bob")
    with ann.open_client(installed.service.url) as anns, bob.open_client(installed.service.url) as bobs:
        for person, own, others in ((ann, anns, bobs), (bob, bobs, anns)):
            assert re.fullmatch(installed.ids, person.id)
            assert jwt.get_unverified_header(person.token())["alg"] == installed.algorithm
            made = own.post("/api/tasks", json={"title": "Buy milk"})
            assert made.status_code == 201
            task, path = made.json(), made.headers["location"]
            assert task["user_id"] == person.id
            assert [one["id"] for one in own.get("/api/tasks").json()] == [task["id"]]
            assert others.get("/api/tasks").json() == []
            changes = (("PATCH", {"completed": True}), ("PUT", {"title": "x"}), ("DELETE", None))
            for method, body in (("GET", None), *changes):
                is_problem(others.request(method, path, json=body), 403)
            assert own.patch(path, json={"completed": True}).json()["completed"] is True
            assert own.put(path, json={"title": "Buy oat milk"}).json()["title"] == "Buy oat milk"
            assert own.delete(path).status_code == 204
            is_problem(own.get(path), 404)


@pytest.mark.parametrize("size", [8_600, 30_000])
def test_a_person_may_have_a_picture(installed: Installation, size: int) -> None:
    person = installed.issuer.sign_up(f"somebody-{size}", image="data:image/png;base64," + "A" * size)
    with person.open_client(installed.service.url) as api:
        assert api.get("/api/tasks").status_code == 200


def test_of_a_picture_that_is_too_large_the_refusal_says_to_leave_it_out(installed: Installation) -> None:
    person = installed.issuer.sign_up("somebody-large", image="data:image/png;base64," + "A" * 70_000)
    with person.open_client(installed.service.url) as api:
        response = api.get("/api/tasks")
    assert response.status_code in (401, 431)  # by whether the head came in one piece
    assert "definePayload" in response.json()["detail"]


async def test_a_key_rotation_under_load_causes_no_wrong_401(installed: Installation) -> None:
    ann = installed.issuer.sign_up("cleo")
    before = ann.token()
    statuses: Counter[int] = Counter()
    rotated, done = asyncio.Event(), asyncio.Event()

    async def call(api: httpx.AsyncClient, token: str) -> None:
        response = await api.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        statuses[response.status_code] += 1

    async def work(api: httpx.AsyncClient) -> None:
        while not done.is_set():
            await call(api, before)
            if rotated.is_set():
                await call(api, after)

    async with httpx.AsyncClient(base_url=installed.service.url, timeout=20) as api, asyncio.TaskGroup() as workers:
        for _ in range(8):
            workers.create_task(work(api))
        await call(api, before)
        await asyncio.to_thread(installed.issuer.rotate)
        after = await asyncio.to_thread(ann.token)
        rotated.set()
        await asyncio.gather(*(call(api, after) for _ in range(50)))
        done.set()
    assert set(statuses) == {200}
    assert after.split(".")[0] != before.split(".")[0]


def test_a_session_token_is_refused_with_a_hint_where_to_get_a_jwt(installed: Installation) -> None:
    ann = installed.issuer.sign_up("dora")
    for token in (ann.session_token, ann.browser.cookies["better-auth.session_token"]):
        response = installed.service.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        assert "/api/auth/token" in is_problem(response, 401)["detail"]
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_the_jwt_of_a_session_cookie_is_refused_although_the_same_key_signs_it(tmp_path: Path) -> None:
    with (
        better_auth(cookies=True) as issuer,
        serving(tmp_path, sqlite_url(tmp_path / "todo.db"), BETTER_AUTH_URL=issuer.url) as service,
    ):
        cookie = keep_secret(issuer.sign_up("emma").browser.cookies["better-auth.session_data"])
        response = service.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {cookie}"})
        assert "another type" in is_problem(response, 401)["detail"]
        findings = run_todo(tmp_path, "auth", "check", cookie, BETTER_AUTH_URL=issuer.url).stdout
        assert "FAILS  The token is meant for another audience" in findings
        assert "ok     its signature is valid" in findings
