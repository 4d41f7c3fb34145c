"""The export, over a real socket, on SQLite and on PostgreSQL."""

import csv
import gzip
import io
import re

import pytest

from tests.api.problems import is_problem
from tests.support.serving import Person, Server


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


def fill(person: Person, number: int = 3) -> None:
    operations = [{"op": "create", "task": {"title": f"Task {n}", "labels": ["a"]}} for n in range(number)]
    for start in range(0, number, 100):
        assert person.api.post("/api/batch", json={"operations": operations[start : start + 100]}).is_success
    person.api.delete(f"/api/tasks/{person.add('=removed')['id']}")


def test_json_has_everything_and_the_trash(ann: Person) -> None:
    fill(ann)
    response = ann.api.get("/api/export")
    document = response.json()
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(r'attachment; filename="tasks-\d{4}-\d\d-\d\d.json"', response.headers["content-disposition"])
    assert list(document) == ["format", "exported_at", "tasks", "trash"]
    assert document["format"] == "todo/1"
    assert document["tasks"] == ann.tasks()
    assert document["trash"] == ann.api.get("/api/trash").json()


@pytest.mark.parametrize(
    ("form", "media_type", "suffix"),
    [("csv", "text/csv", "csv"), ("ics", "text/calendar", "ics"), ("todotxt", "text/plain", "txt")],
)
def test_other_formats_have_the_tasks(ann: Person, form: str, media_type: str, suffix: str) -> None:
    fill(ann)
    response = ann.api.get(f"/api/export?format={form}")
    assert response.headers["content-type"].startswith(f"{media_type}; charset=utf-8")
    assert response.headers["content-disposition"].endswith(f'.{suffix}"')
    assert [title for title in ("Task 0", "Task 1", "Task 2") if title in response.text] == [
        "Task 0",
        "Task 1",
        "Task 2",
    ]
    assert "removed" not in response.text


def test_a_cell_that_could_be_a_formula_is_made_harmless(ann: Person) -> None:
    for title in ("=1+1", "+1", "-1", "@x", "plain"):
        ann.add(title)
    rows = list(csv.DictReader(io.StringIO(ann.api.get("/api/export?format=csv").text)))
    assert [row["title"] for row in rows] == ["plain", "'@x", "'-1", "'+1", "'=1+1"]


@pytest.mark.parametrize("form", ["json", "csv", "ics", "todotxt"])
def test_nothing_and_much_can_be_exported(ann: Person, form: str) -> None:
    empty = ann.api.get(f"/api/export?format={form}")
    assert empty.is_success
    fill(ann, 2500)  # several pages
    text = ann.api.get(f"/api/export?format={form}", headers={"Accept-Encoding": "identity"}).text
    assert len(set(re.findall(r"Task \d+", text))) == 2500
    with ann.api.stream("GET", f"/api/export?format={form}", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["content-encoding"] == "gzip"
        compressed = b"".join(response.iter_raw())
    stamp = r'"exported_at":"[^"]*"'
    assert re.sub(stamp, "", gzip.decompress(compressed).decode()) == re.sub(stamp, "", text)


def test_head_has_no_body(ann: Person) -> None:
    response = ann.api.head("/api/export?format=csv")
    assert (response.status_code, response.content) == (200, b"")
    assert "text/csv" in response.headers["content-type"]
    assert "content-length" not in response.headers


def test_another_format_is_refused(ann: Person, server: Server) -> None:
    assert is_problem(ann.api.get("/api/export?format=xml"), 400)["errors"][0]["parameter"] == "format"
    is_problem(server.anybody.get("/api/export"), 401)
