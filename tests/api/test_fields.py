"""The fields of a task, over a real socket, on SQLite and on PostgreSQL."""

import re
from itertools import combinations
from typing import Any

import httpx
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


def create(person: Person, **fields: Any) -> dict[str, Any]:
    response = person.api.post("/api/tasks", json={"title": "Pay rent", **fields})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


WHOLE: dict[str, Any] = {
    "title": "Pay rent",
    "notes": "To Bob.",
    "due": {"date": "2026-12-24", "time": "17:30", "time_zone": "Europe/Berlin"},
    "priority": "high",
    "labels": ["home", "Money"],
}
OTHER: dict[str, Any] = {
    "title": "Pay the rent",
    "notes": None,
    "due": {"date": "2027-01-01"},
    "priority": None,
    "labels": [],
    "completed": True,
}


def test_a_new_task_has_what_was_sent_and_else_nothing(ann: Person) -> None:
    assert {name: create(ann, **WHOLE)[name] for name in WHOLE} == WHOLE
    plain = create(ann)
    assert (plain["notes"], plain["due"], plain["priority"], plain["labels"]) == (None, None, None, [])
    assert (plain["completed"], plain["completed_at"]) == (False, None)
    cleared = create(ann, notes=None, due=None, priority=None, labels=None)
    assert {**cleared, "id": "", "created_at": "", "updated_at": "", "revision": 0} == {
        **plain,
        "id": "",
        "created_at": "",
        "updated_at": "",
        "revision": 0,
    }


@pytest.mark.parametrize("names", [names for n in range(1, 7) for names in combinations(OTHER, n)], ids="+".join)
def test_a_change_leaves_every_field_alone_that_it_does_not_name(ann: Person, names: tuple[str, ...]) -> None:
    before = create(ann, **WHOLE)
    path = f"/api/tasks/{before['id']}"
    after = ann.api.patch(path, json={name: OTHER[name] for name in names}).json()
    times = {
        name: after[name] for name in ("updated_at", "revision", *(["completed_at"] if "completed" in names else []))
    }
    assert after == {**before, **{name: OTHER[name] for name in names}, **times}
    assert ann.api.get(path).json() == after
    assert ann.api.get("/api/tasks?limit=1").json() == [after]


def test_a_rename_touches_nothing_else(ann: Person) -> None:
    before = create(ann, **WHOLE)
    after = ann.api.put(f"/api/tasks/{before['id']}", json={**OTHER, "title": "New"}).json()
    assert after == {**before, "title": "New", "updated_at": after["updated_at"], "revision": 2}


def test_a_client_may_echo_the_whole_task(ann: Person) -> None:
    task = create(ann, **WHOLE)
    path = f"/api/tasks/{task['id']}"
    assert ann.api.patch(path, json=task).json() == task
    assert ann.api.patch(path, json={**task, "completed_at": "2020-01-01T00:00:00Z"}).json() == task
    assert create(ann, **{**task, "completed_at": "2020-01-01T00:00:00Z"})["completed_at"] is None


def test_the_time_of_completion_is_the_services_own(ann: Person) -> None:
    task = create(ann)
    path = f"/api/tasks/{task['id']}"
    done = ann.api.patch(path, json={"completed": True}).json()
    assert done["completed_at"] == done["updated_at"] > task["created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", done["completed_at"])
    renamed = ann.api.patch(path, json={"completed": True, "title": "Other"}).json()
    assert renamed["completed_at"] == done["completed_at"]
    assert ann.api.patch(path, json={"completed": False}).json()["completed_at"] is None


def test_due_date_and_labels_are_replaced_whole(ann: Person) -> None:
    path = f"/api/tasks/{create(ann, **WHOLE)['id']}"
    assert ann.api.patch(path, json={"due": {"date": "2026-12-25"}}).json()["due"] == {"date": "2026-12-25"}
    floating = {"date": "2026-12-25", "time": "09:00"}
    assert ann.api.patch(path, json={"due": {**floating, "time_zone": None}}).json()["due"] == floating
    assert ann.api.patch(path, json={"labels": [" garden "]}).json()["labels"] == ["garden"]


CHANGES_OF_THE_CLOCK = ["2026-03-29", "2026-10-25"]  # in most of Europe
ZONES = [
    *(
        "Africa/Casablanca",
        "Africa/Nairobi",
        "America/Anchorage",
        "America/Argentina/Buenos_Aires",
        "America/Caracas",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Antarctica/Troll",
        "Asia/Kathmandu",
        "Asia/Kolkata",
        "Asia/Shanghai",
        "Asia/Tehran",
        "Asia/Tokyo",
        "Atlantic/Azores",
        "Australia/Lord_Howe",
        "Europe/Berlin",
        "Europe/Dublin",
        "Europe/London",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Pacific/Kiritimati",
        "Etc/GMT+12",
        "UTC",
    ),
]


def test_no_answer_ever_shifts_a_date(ann: Person) -> None:
    dues = [
        {"date": date, "time": time, "time_zone": zone}
        for date in CHANGES_OF_THE_CLOCK
        for time in ("00:00", "01:30", "02:30", "23:59")
        for zone in ZONES
    ]
    dues += [{"date": date} for date in ("2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31")]
    made = [create(ann, due=due) for due in dues]
    assert len(ZONES) == 24
    assert [task["due"] for task in made] == dues
    assert [task["due"] for task in ann.tasks()] == dues[::-1]
    for date in CHANGES_OF_THE_CLOCK:
        found = ann.api.get("/api/tasks", params={"due_from": date, "due_until": date}).json()
        assert len(found) == 4 * 24


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"notes": 7}, "/notes"),
    ({"notes": "x" * 8193}, "/notes"),
    ({"due": "2026-12-24"}, "/due"),
    ({"due": []}, "/due"),
    ({"due": {}}, "/due/date"),
    ({"due": {"time": "17:30"}}, "/due/date"),
    ({"due": {"date": None}}, "/due/date"),
    ({"due": {"date": "2026-02-30"}}, "/due/date"),
    ({"due": {"date": "2026-12-24T17:30:00Z"}}, "/due/date"),
    ({"due": {"date": 20261224}}, "/due/date"),
    ({"due": {"date": "2026-12-24", "time": "5:30 pm"}}, "/due/time"),
    ({"due": {"date": "2026-12-24", "time": "24:00"}}, "/due/time"),
    ({"due": {"date": "2026-12-24", "time": 17}}, "/due/time"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": "Europe/Atlantis"}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": "europe/berlin"}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": "../etc/passwd"}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": "localtime"}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": "+01:00"}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time": "17:30", "time_zone": ""}}, "/due/time_zone"),
    ({"due": {"date": "2026-12-24", "time_zone": "Europe/Berlin"}}, "/due/time_zone"),
    ({"priority": "urgent"}, "/priority"),
    ({"priority": 1}, "/priority"),
    ({"priority": "High"}, "/priority"),
    ({"labels": "home"}, "/labels"),
    ({"labels": [str(n) for n in range(21)]}, "/labels"),
    ({"labels": ["a", "b", "c", ""]}, "/labels/3"),
    ({"labels": ["a", "b", "c", 4]}, "/labels/3"),
    ({"labels": ["a", None]}, "/labels/1"),
    ({"labels": ["Home", "HOME"]}, "/labels/1"),
    ({"labels": ["x" * 61]}, "/labels/0"),
    ({"labels": ["a\nb"]}, "/labels/0"),
]


@pytest.mark.parametrize(("wrong", "pointer"), WRONG, ids=[str(wrong)[:60] for wrong, _ in WRONG])
def test_a_wrong_value_is_400_with_its_pointer_and_changes_nothing(
    ann: Person, wrong: dict[str, Any], pointer: str
) -> None:
    before = create(ann, **WHOLE)
    path = f"/api/tasks/{before['id']}"
    for response in (
        ann.api.patch(path, json={"title": "Other", "completed": True, **wrong}),
        ann.api.post("/api/tasks", json={"title": "New", **wrong}),
    ):
        problem = is_problem(response, 400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert problem["detail"] == problem["errors"][0]["detail"]
    assert ann.tasks() == [before]


def test_lists_can_be_filtered_and_sorted_by_the_fields_with_pages(ann: Person) -> None:
    dues = [{"date": "2026-02-01"}, {"date": "2026-01-31", "time": "08:00"}, {"date": "2026-01-31"}, None]
    for n in range(12):
        create(ann, title=str(n), due=dues[n % 4], priority=["low", "high", None][n % 3], labels=["A", "b"][: n % 3])

    def walk(**query: Any) -> str:
        walked: list[dict[str, Any]] = []
        where = str(httpx.URL("/api/tasks", params={**query, "limit": 2}))
        while where:
            response = ann.api.get(where)
            walked += response.json()
            where = response.links.get("next", {}).get("url", "")
        assert walked == ann.api.get("/api/tasks", params=query).json()
        return " ".join(task["title"] for task in walked)

    assert walk(priority="high") == "10 7 4 1"
    assert walk(label="a") == "11 10 8 7 5 4 2 1"
    assert walk(label=["B", " a "]) == "11 8 5 2"
    assert walk(due_from="2026-02-01") == "8 4 0"
    assert walk(due_from="2026-01-31", due_until="2026-01-31") == "10 9 6 5 2 1"
    assert walk(sort="due") == "10 6 2 9 5 1 8 4 0 11 7 3"
    assert walk(sort="due", due_until="2026-01-31", label="a", q="1") == "10 1"
    assert walk(sort="due", completed="true") == ""


def test_a_cursor_belongs_to_its_order_and_its_filter(ann: Person) -> None:
    for n in range(3):
        create(ann, title=str(n), due={"date": "2026-01-31"}, priority="low", labels=["a"])
    queries = [
        "",
        "sort=due",
        "priority=low",
        "label=a",
        "due_from=2026-01-31",
        "due_until=2026-01-31",
        "q=1",
        "completed=false",
    ]
    for query in queries:
        link = ann.api.get(f"/api/tasks?limit=1&{query}").links.get("next")
        if link is None:
            continue
        cursor = httpx.URL(link["url"]).params["cursor"]
        for other in queries:
            status = ann.api.get(f"/api/tasks?limit=1&cursor={cursor}&{other}").status_code
            assert status == (200 if other == query else 400), (query, other)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *((f"due_from={text}", "due_from") for text in ("", "today", "2026-02-30", "2026-1-1", "2026-01-01T00:00")),
        ("due_until=2026-01-01&due_until=2026-01-01", "due_until"),
        *((f"priority={text}", "priority") for text in ("", "none", "HIGH", "1", "low&priority=low")),
        *((f"label={text}", "label") for text in ("", "%20", "x" * 61, "a%00b", "a%0Ab")),
        ("&".join(f"label={n}" for n in range(21)), "label"),
        *((f"sort={text}", "sort") for text in ("", "title", "-due", "due&sort=due")),
        ("q=a%1fb", "q"),
    ],
)
def test_a_wrong_parameter_is_400_with_its_name(ann: Person, query: str, parameter: str) -> None:
    problem = is_problem(ann.api.get(f"/api/tasks?{query}"), 400)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


def test_a_repeated_creation_is_compared_with_all_its_fields(ann: Person) -> None:
    key = {"Idempotency-Key": "k"}
    task = ann.api.post("/api/tasks", json=WHOLE, headers=key).json()
    again = ann.api.post("/api/tasks", json={**WHOLE, "labels": [" home", "Money"]}, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, task, "true")
    for name in ("notes", "due", "priority", "labels"):
        assert ann.api.post("/api/tasks", json={**WHOLE, name: None}, headers=key).status_code == 422
