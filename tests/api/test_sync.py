"""The trash and the changes, over a real socket, on SQLite and on PostgreSQL."""

import re
from typing import Any
from uuid import uuid4

import pytest

from tests.api.problems import is_problem
from tests.support.builders import somebody
from tests.support.serving import Person, Server


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


@pytest.fixture
def bob(server: Server) -> Person:
    return server.person()


def remove(person: Person, task: dict[str, Any]) -> None:
    assert person.api.delete(f"/api/tasks/{task['id']}").status_code == 204


class TestTrash:
    def test_a_removed_task_can_be_listed_and_restored(self, ann: Person) -> None:
        body = {"title": "Pay rent", "notes": "Cash", "due": {"date": "2026-12-24"}, "labels": ["home"]}
        task = ann.api.post("/api/tasks", json=body).json()
        remove(ann, task)
        is_problem(ann.api.get(f"/api/tasks/{task['id']}"), 404)
        [removed] = ann.api.get("/api/trash").json()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", removed.pop("removed_at"))
        assert removed == {**task, "revision": 2}
        response = ann.api.post(f"/api/trash/{task['id']}/restore")
        restored = response.json()
        assert (response.status_code, response.headers["etag"]) == (200, '"3"')
        assert restored == {**task, "updated_at": restored["updated_at"], "revision": 3}
        assert ann.tasks() == [restored]
        assert ann.api.get("/api/trash").json() == []

    def test_the_latest_removal_comes_first_and_pages_are_linked(self, ann: Person) -> None:
        tasks = [ann.add(f"Task {n}") for n in range(5)]
        for n in (3, 0, 4, 1):
            remove(ann, tasks[n])
        walked, where = [], "/api/trash?limit=3"
        while where:
            response = ann.api.get(where)
            walked += response.json()
            where = response.links.get("next", {}).get("url", "")
        assert [task["title"] for task in walked] == ["Task 1", "Task 4", "Task 0", "Task 3"]
        assert ann.api.get("/api/trash").json() == walked

    def test_one_or_all_can_be_purged(self, ann: Person) -> None:
        tasks = [ann.add(f"Task {n}") for n in range(3)]
        for task in tasks:
            remove(ann, task)
        first = f"/api/trash/{tasks[0]['id']}"
        response = ann.api.delete(first)
        assert (response.status_code, response.content) == (204, b"")
        is_problem(ann.api.delete(first), 404)
        is_problem(ann.api.post(f"{first}/restore"), 404)
        is_problem(ann.api.delete("/api/trash/"), 404)  # an address whose id is missing
        assert len(ann.api.get("/api/trash").json()) == 2
        assert ann.api.delete("/api/trash").status_code == 204
        assert ann.api.get("/api/trash").json() == []
        assert ann.api.delete("/api/trash").status_code == 204

    def test_it_is_its_owners_alone(self, ann: Person, bob: Person) -> None:
        task = ann.add()
        remove(ann, task)
        assert bob.api.get("/api/trash").json() == []
        is_problem(bob.api.post(f"/api/trash/{task['id']}/restore"), 403)
        is_problem(bob.api.delete(f"/api/trash/{task['id']}"), 403)
        assert bob.api.delete("/api/trash").status_code == 204
        assert len(ann.api.get("/api/trash").json()) == 1
        for path in (f"/api/trash/{uuid4()}", f"/api/trash/{ann.add()['id']}"):
            is_problem(ann.api.delete(path), 404)
            is_problem(ann.api.post(f"{path}/restore"), 404)
        is_problem(ann.api.post("/api/trash/x/restore"), 400)
        is_problem(ann.api.delete("/api/trash/x"), 400)

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=x", "cursor=", "limit=1&limit=1"])
    def test_a_wrong_parameter_is_400(self, ann: Person, query: str) -> None:
        problem = is_problem(ann.api.get(f"/api/trash?{query}"), 400)
        assert problem["errors"][0]["parameter"] == query.partition("=")[0]

    def test_a_cursor_is_its_owners_alone(self, ann: Person, bob: Person) -> None:
        for task in [ann.add(), ann.add()]:
            remove(ann, task)
        where = ann.api.get("/api/trash?limit=1").links["next"]["url"]
        assert len(ann.api.get(where).json()) == 1
        is_problem(bob.api.get(where), 400)
        is_problem(ann.api.get(where.replace("cursor=", "cursor=A")), 400)


class TestChanges:
    def follow(self, person: Person, since: str = "", limit: int = 1000) -> tuple[list[Any], list[str], str]:
        changed, removed, more = [], [], True
        while more:
            query = f"limit={limit}" + (f"&since={since}" if since else "")
            answer = person.api.get(f"/api/changes?{query}").json()
            assert set(answer) == {"changed", "removed", "next", "more"}
            changed += answer["changed"]
            removed += answer["removed"]
            since, more = answer["next"], answer["more"]
        return changed, removed, since

    @pytest.mark.parametrize("limit", [1, 2, 1000])
    def test_everything_that_moved_comes_in_the_order_of_revisions(self, ann: Person, limit: int) -> None:
        tasks = [ann.add(f"Task {n}") for n in range(4)]
        changed, removed, since = self.follow(ann, limit=limit)
        assert (changed, removed) == (tasks, [])
        done = ann.api.patch(f"/api/tasks/{tasks[1]['id']}", json={"completed": True}).json()
        remove(ann, tasks[0])
        new = ann.add("New")
        remove(ann, tasks[2])
        restored = ann.api.post(f"/api/trash/{tasks[0]['id']}/restore").json()
        changed, removed, since = self.follow(ann, since, limit)
        assert (changed, removed) == ([done, new, restored], [tasks[2]["id"]])
        assert self.follow(ann, since, limit) == ([], [], since)

    def test_a_walk_from_the_beginning_names_no_removed_ones(self, ann: Person) -> None:
        tasks = [ann.add(f"Task {n}") for n in range(4)]
        for task in tasks[1:3]:
            remove(ann, task)
        changed, removed, _ = self.follow(ann, limit=1)
        assert (changed, removed) == ([tasks[0], tasks[3]], [])
        first = ann.api.get("/api/changes?limit=1").json()
        remove(ann, tasks[0])
        assert self.follow(ann, first["next"], limit=1)[1] == [tasks[0]["id"]]

    def test_nothing_new_is_the_same_next_or_304(self, ann: Person) -> None:
        for _ in range(30):
            ann.add("x" * 100)
        first = ann.api.get("/api/changes")
        since = first.json()["next"]
        tag = ""
        for headers in ({}, {"Accept-Encoding": "identity"}):
            tag = ann.api.get("/api/changes", headers=headers).headers["etag"]
            again = ann.api.get(f"/api/changes?since={since}", headers={"If-None-Match": tag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert ann.api.get(f"/api/changes?since={since}").json() == {
            "changed": [],
            "removed": [],
            "next": since,
            "more": False,
        }
        task = ann.add()
        changed = ann.api.get(f"/api/changes?since={since}", headers={"If-None-Match": tag})
        assert (changed.status_code, changed.json()["changed"]) == (200, [task])

    def test_somebody_without_tasks_can_follow_too(self, ann: Person) -> None:
        _, _, since = self.follow(ann)
        assert ann.api.get(f"/api/changes?since={since}", headers={"If-None-Match": f'"{since}"'}).status_code == 304
        task = ann.add()
        assert self.follow(ann, since)[0] == [task]

    def test_a_token_that_was_changed_or_is_another_persons_is_400(self, ann: Person, bob: Person) -> None:
        ann.add()
        since = self.follow(ann)[2]
        is_problem(bob.api.get(f"/api/changes?since={since}"), 400)
        for place in range(len(since)):
            changed = since[:place] + ("A" if since[place] != "A" else "B") + since[place + 1 :]
            problem = is_problem(ann.api.get(f"/api/changes?since={changed}"), 400)
            assert problem["errors"][0]["parameter"] == "since"
        for wrong in ("", "x", since[:-1], since + "A", f"{since}&since={since}"):
            is_problem(ann.api.get(f"/api/changes?since={wrong}"), 400)

    def test_the_methods_of_each_path_are_named(self, ann: Person) -> None:
        task = ann.add()["id"]
        for path, allow in (
            ("/api/changes", "GET, HEAD, OPTIONS"),
            ("/api/trash", "DELETE, GET, HEAD, OPTIONS"),
            (f"/api/trash/{task}", "DELETE, OPTIONS"),
            (f"/api/trash/{task}/restore", "OPTIONS, POST"),
        ):
            assert ann.api.options(path).headers["allow"] == allow
            response = ann.api.put(path, json={})
            is_problem(response, 405)
            assert response.headers["allow"] == allow


def test_every_request_needs_a_token(server: Server) -> None:
    for method, path in (
        ("GET", "/api/changes"),
        ("GET", "/api/trash"),
        ("DELETE", "/api/trash"),
        ("DELETE", f"/api/trash/{uuid4()}"),
        ("POST", f"/api/trash/{uuid4()}/restore"),
    ):
        is_problem(server.anybody.request(method, path), 401)


def test_somebody_else_of_the_same_name_in_capitals_is_somebody_else(server: Server) -> None:
    name = somebody()
    lower, upper = server.person(name), server.person(name.upper())
    remove(lower, lower.add())
    assert upper.api.get("/api/trash").json() == []
