"""The fields of a task, over a real socket, on SQLite and on PostgreSQL."""

from typing import Any

import pytest

from tests.api.problems import is_problem
from tests.support.serving import Person, Server

FIELDS = [
    *("id", "title", "notes", "due", "priority", "labels", "completed", "completed_at"),
    *("user_id", "created_at", "updated_at", "revision"),
]


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


def test_a_task_has_all_its_fields_in_their_order(ann: Person) -> None:
    assert list(ann.add()) == FIELDS


def test_notes_can_be_set_changed_and_cleared(ann: Person) -> None:
    task = ann.api.post("/api/tasks", json={"title": "Pay rent", "notes": " To Bob.\n\tIn cash! "}).json()
    assert task["notes"] == " To Bob.\n\tIn cash! "
    path = f"/api/tasks/{task['id']}"
    assert ann.api.get(path).json() == task
    assert ann.tasks() == [task]
    assert ann.api.put(path, json={"title": "Pay the rent", "notes": "ignored"}).json()["notes"] == task["notes"]
    assert ann.api.patch(path, json={"notes": "𝔸" * 8192}).json()["notes"] == "𝔸" * 8192
    for cleared in (" \n", None):
        assert ann.api.patch(path, json={"notes": cleared}).json()["notes"] is None
        ann.api.patch(path, json={"notes": "again"})
    wrongs: list[Any] = ["x" * 8193, "a\x07b", 7, []]
    for wrong in wrongs:
        problem = is_problem(ann.api.patch(path, json={"title": "Other", "notes": wrong}), 400)
        assert [error["pointer"] for error in problem["errors"]] == ["/notes"]
    assert (ann.tasks()[0]["title"], ann.tasks()[0]["notes"]) == ("Pay the rent", "again")
