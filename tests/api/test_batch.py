"""Batches, over a real socket, on SQLite and on PostgreSQL."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.problems import is_problem
from tests.support.serving import Person, Server

Operation = dict[str, Any]


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


@pytest.fixture
def bob(server: Server) -> Person:
    return server.person()


def send(person: Person, *operations: Operation, **more: Any) -> httpx.Response:
    return person.api.post("/api/batch", json={"operations": operations, **more})


def create(title: str, task_id: str | None = None, **fields: Any) -> Operation:
    return {"op": "create", "task": {"title": title, **fields}} | ({} if task_id is None else {"id": task_id})


def statuses(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [result["status"] for result in response.json()["results"]]


def is_refused(response: httpx.Response, status: int, pointer: str) -> None:
    assert is_problem(response, status)["errors"][0]["pointer"] == pointer


def revision(person: Person) -> int:
    changes: dict[str, Any] = send(person, create("x", str(uuid4())), atomic=False).json()
    return int(changes["revision"])


def test_all_kinds_of_operations_are_made_in_their_order(ann: Person) -> None:
    changed, removed, restored = (ann.add(title) for title in ("changed", "removed", "restored"))
    ann.api.delete(f"/api/tasks/{restored['id']}")
    task_id = str(uuid4())
    response = send(
        ann,
        create("new", labels=["a"], due={"date": "2026-12-24"}),
        create("with an id", task_id, completed=True),
        {"op": "change", "id": changed["id"], "if_revision": 1, "task": {"completed": True, "notes": "n"}},
        {"op": "remove", "id": removed["id"], "if_revision": 2},
        {"op": "restore", "id": restored["id"]},
    )
    assert statuses(response) == [201, 201, 200, 204, 200]
    results = response.json()["results"]
    assert results[3] == {"status": 204}
    tasks = [result["task"] for result in results if "task" in result]
    assert [task["revision"] for task in tasks] == [5, 6, 7, 9]
    assert response.json()["revision"] == 9
    assert sorted(ann.tasks(), key=lambda task: task["revision"]) == tasks
    assert (tasks[0]["labels"], tasks[0]["due"], tasks[1]["id"]) == (["a"], {"date": "2026-12-24"}, task_id)
    assert tasks[1]["completed_at"] == tasks[1]["created_at"]
    assert [task["title"] for task in ann.api.get("/api/trash").json()] == ["removed"]


REFUSED: list[tuple[int, Operation]] = [
    (400, create(" ")),
    (400, create("x", due={"date": "2026-13-01"})),
    (400, create("x", due={"date": "2026-12-24", "time": "12:00", "time_zone": "Mars/Olympus"})),
    (400, create("x", "1")),
    (400, {"op": "create"}),
    (400, {"op": "change", "id": "MINE", "task": {}}),
    (400, {"op": "change", "id": "MINE", "task": {"completed": "true"}}),
    (400, {"op": "change", "id": "MINE", "if_revision": "1", "task": {"completed": True}}),
    (400, {"op": "remove"}),
    (400, {"op": "rename", "id": "MINE"}),
    (400, {}),
    (403, {"op": "change", "id": "BOBS", "task": {"completed": True}}),
    (403, {"op": "remove", "id": "BOBS"}),
    (404, {"op": "change", "id": "NONE", "task": {"completed": True}}),
    (404, {"op": "remove", "id": "GONE"}),
    (404, {"op": "restore", "id": "MINE"}),
    (404, {"op": "restore", "id": "NONE"}),
    (409, create("other", "MINE")),
    (409, create("gone", "GONE")),
    (409, create("x", "BOBS")),
    (412, {"op": "change", "id": "MINE", "if_revision": 9, "task": {"completed": True}}),
    (412, {"op": "remove", "id": "MINE", "if_revision": 1}),
]


@pytest.mark.parametrize(("status", "operation"), REFUSED, ids=lambda value: str(value)[:60])
def test_one_refusal_refuses_an_atomic_batch_and_only_itself_otherwise(
    ann: Person, bob: Person, status: int, operation: Operation
) -> None:
    first, mine, gone = (ann.add(title) for title in ("first", "mine", "gone"))
    ann.api.delete(f"/api/tasks/{gone['id']}")
    ids = {"MINE": mine["id"], "GONE": gone["id"], "BOBS": bob.add("bobs")["id"], "NONE": str(uuid4())}
    refused = {**operation, "id": ids.get(operation["id"], operation["id"])} if "id" in operation else operation
    others = create("new"), {"op": "change", "id": first["id"], "task": {"title": "changed"}}
    before = ann.tasks()

    is_refused(send(ann, others[0], refused, others[1]), status, "/operations/1")
    assert ann.tasks() == before
    assert ann.api.get("/api/trash").json()[0]["revision"] == 4

    response = send(ann, others[0], refused, others[1], atomic=False)
    assert statuses(response) == [201, status, 200]
    assert response.json()["results"][1]["problem"]["status"] == status
    assert response.json()["revision"] == 6
    assert [task["title"] for task in ann.tasks()] == ["new", "mine", "changed"]
    assert [task["title"] for task in bob.tasks()] == ["bobs"]


def test_a_wrong_value_has_its_own_pointer_beside(ann: Person) -> None:
    errors = is_problem(send(ann, create("x"), create("x", labels=["a", " "])), 400)["errors"]
    assert [error["pointer"] for error in errors] == ["/operations/1", "/operations/1/task/labels/1"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/operations"),
        ({"operations": []}, "/operations"),
        ({"operations": {}}, "/operations"),
        ({"operations": [create("x")] * 101}, "/operations"),
        ({"operations": [create("x")], "atomic": "no"}, "/atomic"),
        (
            {"operations": [create("x", f"{n}" * 8 + "-0000-7000-8000-000000000000") for n in (1, 2, 1)]},
            "/operations/2/id",
        ),
    ],
)
def test_a_batch_that_is_none_is_refused(ann: Person, body: Any, pointer: str) -> None:
    is_refused(ann.api.post("/api/batch", json=body), 400, pointer)
    assert ann.tasks() == []


def test_a_creation_with_an_id_can_be_repeated_but_not_with_other_fields(ann: Person) -> None:
    one = create("Buy milk", str(uuid4()), labels=["shop"])
    first = send(ann, one, create("other"))
    assert statuses(first) == [201, 201]
    again = send(ann, one)
    assert statuses(again) == [200]
    assert again.json()["results"][0]["task"] == first.json()["results"][0]["task"]
    assert again.json()["revision"] == 2
    ann.api.patch(f"/api/tasks/{one['id']}", json={"completed": True})
    assert statuses(send(ann, one)) == [200]  # it was created so
    ann.api.patch(f"/api/tasks/{one['id']}", json={"labels": []})
    is_refused(send(ann, one), 409, "/operations/0")


def test_a_key_makes_a_batch_once_and_a_repeat_says_what_became_of_it(ann: Person) -> None:
    kept, lost = ann.add("kept"), ann.add("lost")
    body = {
        "operations": [
            create("new"),
            {"op": "change", "id": kept["id"], "task": {"title": "changed"}},
            {"op": "remove", "id": lost["id"]},
            {"op": "remove", "id": str(uuid4())},
            create(" "),
        ],
        "atomic": False,
    }
    key = {"Idempotency-Key": "k"}
    first = ann.api.post("/api/batch", json=body, headers=key)
    assert statuses(first) == [201, 200, 204, 404, 400]
    assert "idempotency-replayed" not in first.headers
    again = ann.api.post("/api/batch", json=body, headers=key)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    new = first.json()["results"][0]["task"]
    renamed = ann.api.patch(f"/api/tasks/{kept['id']}", json={"title": "later"}).json()
    ann.api.delete(f"/api/tasks/{new['id']}")
    third = ann.api.post("/api/batch", json=body, headers=key)
    assert statuses(third) == [404, 200, 204, 404, 400]
    assert third.json()["results"][1]["task"] == renamed
    assert [task["title"] for task in ann.tasks()] == ["later"]
    is_problem(ann.api.post("/api/batch", json={**body, "atomic": True}, headers=key), 422)
    is_problem(ann.api.post("/api/tasks", json={"title": "new"}, headers=key), 422)


def test_a_batch_may_have_a_mebibyte(ann: Person) -> None:
    big = send(ann, *(create(f"{n}", notes="n" * 8192) for n in range(100)))
    assert statuses(big) == [201] * 100
    is_problem(ann.api.post("/api/batch", content=b" " * 1024 * 1024 + b"{"), 413)
    exact = b'{"operations":[{"op":"create","task":{"title":"x"}}]' + b" " * (1024 * 1024 - 53) + b"}"
    assert statuses(ann.api.post("/api/batch", content=exact)) == [201]


def test_nobody_without_a_token_can_send_one(server: Server) -> None:
    is_problem(server.anybody.post("/api/batch", json={"operations": [create("x")]}), 401)
