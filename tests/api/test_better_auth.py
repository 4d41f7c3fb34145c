"""The service and a real Better Auth, end to end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.api.problems import is_problem
from tests.support.better_auth import BetterAuth, better_auth, wanted
from tests.support.databases import sqlite_url
from tests.support.serving import Server, serving

pytestmark = wanted


@dataclass
class Installation:
    issuer: BetterAuth
    service: Server
    has_cookies_that_are_jwts: bool


@pytest.fixture(
    scope="module",
    params=[{}, {"ids": "uuid", "alg": "ES256", "cookies": True}],
    ids=["default ids, EdDSA", "UUIDs, ES256"],
)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("installed")
    with (
        better_auth(**request.param) as issuer,
        serving(directory, sqlite_url(directory / "todo.db"), BETTER_AUTH_URL=issuer.url) as service,
    ):
        yield Installation(issuer, service, "cookies" in request.param)


def test_two_people_sign_up_and_each_has_tasks_of_their_own(installed: Installation) -> None:
    ann, bob = installed.issuer.sign_up("ann"), installed.issuer.sign_up("bob")
    with ann.calls(installed.service.url) as anns, bob.calls(installed.service.url) as bobs:
        made = anns.post("/api/tasks", json={"title": "Buy milk"})
        assert made.status_code == 201
        task, path = made.json(), made.headers["location"]
        assert task["user_id"] == ann.id
        assert len(ann.id) == (36 if "-" in ann.id else 32)
        assert [one["id"] for one in anns.get("/api/tasks").json()] == [task["id"]]
        assert bobs.get("/api/tasks").json() == []
        for method, body in (("GET", None), ("PATCH", {"completed": True}), ("PUT", {"title": "x"}), ("DELETE", None)):
            is_problem(bobs.request(method, path, json=body), 403)
        assert anns.patch(path, json={"completed": True}).json()["completed"] is True
        assert anns.put(path, json={"title": "Buy oat milk"}).json()["title"] == "Buy oat milk"
        assert anns.delete(path).status_code == 204
        is_problem(anns.get(path), 404)


async def test_a_rotation_in_mid_traffic_costs_no_request_a_wrongful_401(installed: Installation) -> None:
    ann = installed.issuer.sign_up("cleo")
    before = ann.token()
    statuses: Counter[int] = Counter()
    rotated, done = asyncio.Event(), asyncio.Event()

    async def call(api: httpx.AsyncClient, token: str) -> None:
        answer = await api.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        statuses[answer.status_code] += 1

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


def test_a_session_token_is_refused_and_told_where_to_get_a_jwt(installed: Installation) -> None:
    ann = installed.issuer.sign_up("dora")
    for token in (ann.session_token, ann.browser.cookies["better-auth.session_token"]):
        answer = installed.service.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        assert "/api/auth/token" in is_problem(answer, 401)["detail"]
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_the_jwt_of_a_session_cookie_is_refused_though_its_key_is_the_same(installed: Installation) -> None:
    ann = installed.issuer.sign_up("emma")
    cookie = ann.browser.cookies.get("better-auth.session_data")
    assert (cookie is not None) == installed.has_cookies_that_are_jwts
    answer = installed.service.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {cookie}"})
    is_problem(answer, 401)
