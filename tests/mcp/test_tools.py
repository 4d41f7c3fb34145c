"""The tools, on a SQLite file and on a server."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.mcp.assistant import assisting
from tests.support.databases import sqlite_url
from tests.support.serving import Server, signed

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture(params=["file", "server"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """Of a person whom no other test uses."""
    if request.param == "file":
        return {}
    server: Server = request.getfixturevalue("sqlite_server")
    return {"TODO_SERVER": server.url, "TODO_TOKEN": signed({"sub": f"person-{uuid4()}"})}


async def test_a_walk_through_all_tools(tmp_path: Path, settings: dict[str, str]) -> None:
    async with assisting(tmp_path, **settings) as assistant:
        due = {"date": "2026-12-24", "time": "17:30", "time_zone": "Europe/Berlin"}
        fields = {"title": "Call Ann", "notes": "n" * 8192, "due": due, "priority": "high", "labels": ["Phone"]}
        added = (await assistant.use("add_tasks", tasks=[{"title": " Buy milk "}, fields]))["results"]
        milk, ann = (task["id"] for task in added)
        assert added == [
            {"id": milk, "title": "Buy milk", "revision": 1},
            {"id": ann, **fields, "revision": 2},
        ]
        assert await assistant.use("list_tasks") == {"tasks": added[::-1]}

        change = {"id": ann, "notes": None, "due": {"date": "2026-12-25"}, "labels": None, "if_revision": 2}
        changed = (await assistant.use("change_tasks", tasks=[change]))["results"]
        assert changed == [
            {"id": ann, "title": "Call Ann", "due": {"date": "2026-12-25"}, "priority": "high", "revision": 3}
        ]
        assert (await assistant.use("change_tasks", tasks=[change]))["results"] == [
            {"id": ann, "refused": "The task has changed since you read it; read it again and repeat."}
        ]

        [done] = (await assistant.use("complete_tasks", ids=[milk]))["results"]
        assert (done["completed"], done["revision"]) == (True, 4)
        assert (await assistant.use("complete_tasks", ids=[milk]))["results"] == [done]
        assert (await assistant.use("list_tasks", completed=True))["tasks"] == [done]
        [reopened] = (await assistant.use("complete_tasks", ids=[milk], completed=False))["results"]
        assert reopened == {"id": milk, "title": "Buy milk", "revision": 5}

        assert (await assistant.use("remove_tasks", ids=[milk, UNKNOWN]))["results"] == [
            {"id": milk, "removed": True},
            {"id": UNKNOWN, "refused": "Task not found"},
        ]
        assert (await assistant.use("list_tasks"))["tasks"] == changed
        [restored, refused] = (await assistant.use("restore_tasks", ids=[milk, ann]))["results"]
        assert restored == {"id": milk, "title": "Buy milk", "revision": 7}
        assert refused == {"id": ann, "refused": "Task not found"}


async def test_what_is_wrong_with_one_task_keeps_no_other_from_being_added(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async with assisting(tmp_path, **settings) as assistant:
        wrong = [
            {"title": " "},
            {"title": "x", "priority": "urgent"},
            {"title": "x", "due": {"date": "2026-02-30"}},
            {"title": "x", "due": {"date": "2026-02-03", "time": "9:00"}},
            {"title": "x", "due": {"date": "2026-02-03", "time": "09:00", "time_zone": "Mars"}},
        ]
        [good, *refused] = (await assistant.use("add_tasks", tasks=[{"title": "Buy milk"}, *wrong]))["results"]
        assert [list(one) for one in refused] == [["refused"]] * 5
        assert [one["refused"].split(";")[0] for one in refused] == [
            "The title is blank",
            "priority must be low, medium or high.",
            "due.date must be a date such as 2026-12-24.",
            "due.time must be a time of day such as 17:30.",
            "due.time_zone must be a name in the IANA tz database, such as Europe/Berlin.",
        ]
        assert (await assistant.use("list_tasks"))["tasks"] == [good]


async def test_a_hundred_tasks_at_once(tmp_path: Path, settings: dict[str, str]) -> None:
    async with assisting(tmp_path, **settings) as assistant:
        ids = await assistant.add(*(f"Task {number}" for number in range(100)))
        assert len(set(ids)) == 100
        done = (await assistant.use("complete_tasks", ids=ids))["results"]
        assert [(one["id"], one["completed"]) for one in done] == [(task_id, True) for task_id in ids]


async def test_lists_can_be_filtered_and_ordered(tmp_path: Path, settings: dict[str, str]) -> None:
    async with assisting(tmp_path, **settings) as assistant:
        tasks = [
            {"title": "Later", "due": {"date": "2026-03-01"}, "labels": ["Home"]},
            {"title": "Sooner", "due": {"date": "2026-02-01"}, "priority": "low"},
            {"title": "Never", "labels": ["home", "x"], "notes": "soon"},
        ]
        await assistant.use("add_tasks", tasks=tasks)
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "Never Sooner Later"),
            ({"sort": "due"}, "Sooner Later Never"),
            ({"text": "SOON"}, "Never Sooner"),
            ({"labels": ["home"]}, "Never Later"),
            ({"labels": ["home", "X"]}, "Never"),
            ({"priority": "low"}, "Sooner"),
            ({"due_from": "2026-02-02"}, "Later"),
            ({"due_until": "2026-02-01", "completed": None}, "Sooner"),
        ]
        for arguments, titles in cases:
            found = await assistant.use("list_tasks", **arguments)
            assert [task["title"] for task in found["tasks"]] == titles.split(), arguments


@pytest.mark.parametrize("sort", [{}, {"sort": "due"}])
async def test_a_list_goes_on_where_it_ended(tmp_path: Path, settings: dict[str, str], sort: dict[str, str]) -> None:
    async with assisting(tmp_path, **settings) as assistant:
        ids = await assistant.add("One", "Two", "Three")
        page = await assistant.use("list_tasks", limit=2, **sort)
        rest = await assistant.use("list_tasks", limit=2, cursor=page["next_cursor"], **sort)
        assert [task["id"] for task in page["tasks"] + rest["tasks"]] == ids[::-1]
        assert "next_cursor" not in rest
        refusal = await assistant.get_refusal("list_tasks", cursor=page["next_cursor"], completed=True, **sort)
        assert refusal.startswith("The cursor is not one of a list with these filters")


async def test_wrong_arguments_are_refused_in_one_sentence_and_nothing_is_done(tmp_path: Path) -> None:
    async with assisting(tmp_path) as assistant:
        [task_id] = await assistant.add("Buy milk")
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("add_tasks", {}, "The arguments: Object missing required field tasks."),
            ("add_tasks", {"tasks": []}, "tasks: Expected array of length >= 1."),
            ("add_tasks", {"tasks": [{"title": "x"}] * 101}, "tasks: Expected array of length <= 100."),
            (
                "add_tasks",
                {"tasks": [{"title": "x"}, {"titel": "x"}]},
                "tasks[1]: Object contains unknown field titel.",
            ),
            (
                "add_tasks",
                {"tasks": [{"title": "x", "due": {"date": "2026-01-01", "timezone": "Europe/Berlin"}}]},
                "tasks[0].due: Object contains unknown field timezone.",
            ),
            ("change_tasks", {"tasks": [{"id": task_id, "title": None}]}, "tasks[0].title: Expected str, got null."),
            ("change_tasks", {"tasks": [{"id": task_id}] * 2}, "Each operation must be of another task."),
            ("complete_tasks", {"ids": [task_id], "complete": False}, "The arguments: Object contains unknown field"),
            ("remove_tasks", {"ids": [task_id, task_id[:8]]}, "ids[1]: Invalid UUID."),
            ("restore_tasks", {"ids": task_id}, "ids: Expected array, got str."),
            ("list_tasks", {"limit": 201}, "limit: Expected int <= 200."),
            ("list_tasks", {"due_from": "tomorrow"}, "due_from: Invalid"),
            ("list_tasks", {"priority": "urgent"}, "priority must be low, medium or high."),
            ("list_tasks", {"text": "a\0"}, "The text has a control character in it"),
            ("list_tasks", {"text": "a" * 501}, "The text has 501 characters; 500 is the most."),
            ("list_task", {}, "There is no tool list_task; these are: list_tasks, add_tasks,"),
        ]
        for tool, arguments, sentence in cases:
            refusal = await assistant.get_refusal(tool, **arguments)
            assert refusal.startswith(sentence), refusal
        assert await assistant.use("list_tasks") == {"tasks": [{"id": task_id, "title": "Buy milk", "revision": 1}]}


async def test_other_peoples_tasks_can_not_be_reached(tmp_path: Path) -> None:
    async with assisting(tmp_path, TODO_USER="ann") as ann, assisting(tmp_path, TODO_USER="bob") as bob:
        [task_id] = await ann.add("Ann's")
        refused = [{"id": task_id, "refused": "This task belongs to another person; ask for one of your own."}]
        assert (await bob.use("change_tasks", tasks=[{"id": task_id, "title": "Bob's"}]))["results"] == refused
        for tool in ("complete_tasks", "remove_tasks", "restore_tasks"):
            assert (await bob.use(tool, ids=[task_id]))["results"] == refused
        assert await bob.use("list_tasks") == {"tasks": []}


async def test_only_an_addition_makes_a_schema(tmp_path: Path) -> None:
    file = tmp_path / "todo.db"
    async with assisting(tmp_path, DATABASE_URL=sqlite_url(file)) as assistant:
        assert await assistant.use("list_tasks") == {"tasks": []}
        assert (await assistant.use("remove_tasks", ids=[UNKNOWN]))["results"][0]["refused"] == "Task not found"
        assert not file.exists()
        await assistant.add("Buy milk")
        assert file.exists()
