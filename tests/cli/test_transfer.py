"""`todo export` and `todo import`, on the database and on a server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Todo, get_error
from tests.support.serving import Server, signed
from todo.entrypoints.cli import transfer
from todo.formats.export import FORMS
from todo.formats.reading import READERS

TODO_TXT = "x 2026-03-01 Call Bob\n(A) Buy milk @shop due:2026-12-24\nBuy bread\n"


def titles(run: Any) -> list[str]:
    return [task["title"] for task in json.loads(run.stdout)]


def without_times(task: dict[str, Any]) -> dict[str, Any]:
    anew = {"id", "user_id", "created_at", "updated_at", "completed_at", "revision"}
    return {name: value for name, value in task.items() if name not in anew}


def test_what_was_exported_is_imported_by_another_person_with_every_field(todo: Todo, tmp_path: Path) -> None:
    todo("add", "Buy milk", "--notes", "Two", "--due", "2026-12-24", "--priority", "high", "--label", "shop")
    todo("add", "Call Bob")
    todo("done", json.loads(todo("list", "--search", "Bob", "--json").stdout)[0]["id"])
    assert todo("export", "tasks.json").stdout == ""
    assert (tmp_path / "tasks.json").stat().st_mode & 0o777 == 0o600
    own = json.loads(todo("list", "--json").stdout)
    assert json.loads((tmp_path / "tasks.json").read_text())["tasks"] == own
    assert json.loads(todo("export").stdout)["tasks"] == own

    assert todo("import", "tasks.json").stdout == "Imported 0 tasks; 2 were there already.\n"
    assert todo("import", "tasks.json", TODO_USER="bob").stdout == "Imported 2 tasks.\n"
    bobs = json.loads(todo("list", "--json", TODO_USER="bob").stdout)
    assert [without_times(task) for task in bobs] == [without_times(task) for task in own]
    assert todo("import", "tasks.json", TODO_USER="bob").stdout == "Imported 0 tasks; 2 were there already.\n"


@pytest.mark.parametrize("form", ["ics", "todotxt"])
def test_other_formats_come_back(todo: Todo, form: str) -> None:
    todo("add", "Buy milk", "--due", "2026-12-24", "--priority", "high", "--label", "shop")
    todo("export", "--format", form, "file")
    assert todo("import", "file", TODO_USER="bob").stdout == "Imported 1 task.\n"
    [own], [bobs] = (json.loads(todo("list", "--json", **who).stdout) for who in ({}, {"TODO_USER": "bob"}))
    assert without_times(bobs) == without_times(own)


def test_a_file_of_another_program_keeps_its_order_and_is_imported_once(todo: Todo, tmp_path: Path) -> None:
    (tmp_path / "todo.txt").write_text(TODO_TXT)
    dry = todo("import", "todo.txt", "--dry-run")
    assert dry.stdout == "3 tasks would be imported from todotxt.\n"
    assert todo("list", "--json").stdout == "[]\n"
    assert todo("import", "todo.txt").stdout == "Imported 3 tasks.\n"
    tasks = json.loads(todo("list", "--json").stdout)
    assert [(task["title"], task["completed"]) for task in tasks] == [
        ("Call Bob", True),
        ("Buy milk", False),
        ("Buy bread", False),
    ]
    assert (tasks[1]["priority"], tasks[1]["labels"], tasks[1]["due"]) == ("high", ["shop"], {"date": "2026-12-24"})

    todo("rename", tasks[1]["id"], "Buy oat milk")
    todo("rm", tasks[2]["id"])
    again = todo("import", "todo.txt")
    assert again.stdout == "Imported 0 tasks; 1 were there already; 2 were left alone.\n"
    assert again.stderr.count("It was imported before, and has changed or was removed since.") == 2
    assert titles(todo("list", "--json")) == ["Call Bob", "Buy oat milk"]


def test_what_can_not_be_taken_is_said_with_its_place(todo: Todo, tmp_path: Path) -> None:
    (tmp_path / "todo.txt").write_text(f"{'x' * 600}\nBuy milk @shop\n")
    run = todo("import", "todo.txt", "--from", "todotxt")
    assert run.stderr == "todo: line 1: Its title was cut to 500 characters; the whole of it is in the notes.\n"
    assert run.stdout == "Imported 2 tasks.\n"


def test_a_file_that_is_none_is_refused(todo: Todo, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\x00junk")
    assert "add --from" in get_error(todo("import", "file"), status=2)
    assert "\n" not in get_error(todo("import", "file", "--from", "google"), status=2)
    assert "nowhere" in get_error(todo("import", "nowhere"), status=2)
    assert get_error(todo("export", "no/folder/file"), status=1) == "can't read or write: No such file or directory"


def test_import_and_export_work_on_a_server(todo: Todo, tmp_path: Path, sqlite_server: Server) -> None:
    person = sqlite_server.person()
    remote = {"TODO_SERVER": sqlite_server.url, "TODO_TOKEN": signed({"sub": person.user_id})}
    lines = "".join(f"Task {n} @many\n" for n in range(250))
    (tmp_path / "todo.txt").write_text(lines + TODO_TXT)
    assert todo("import", "todo.txt", **remote).stdout == "Imported 253 tasks.\n"
    assert [task["title"] for task in person.tasks()][:2] == ["Task 0", "Task 1"]
    first, second, third = person.tasks()[:3]
    person.api.delete(f"/api/tasks/{second['id']}")
    person.api.delete("/api/trash")  # nothing but the service knows these ids now
    person.api.delete(f"/api/tasks/{first['id']}")
    person.api.patch(f"/api/tasks/{third['id']}", json={"title": "Changed"})
    again = todo("import", "todo.txt", **remote)
    assert again.stdout == "Imported 0 tasks; 250 were there already; 3 were left alone.\n"
    exported = json.loads(todo("export", **remote).stdout)
    assert exported["tasks"] == person.tasks()
    assert [task["title"] for task in exported["trash"]] == ["Task 0"]


def test_the_command_line_knows_all_formats() -> None:
    """Named a second time there, so that other commands need not load them."""
    assert (set(transfer.FORMATS), set(transfer.SOURCES)) == (set(FORMS), set(READERS))


def test_what_is_stored_of_a_person_is_exported_for_them(todo: Todo) -> None:
    todo("add", "Buy milk", TODO_USER="bob")
    exported = json.loads(todo("users", "export", "bob").stdout)
    assert [task["title"] for task in exported["tasks"]] == ["Buy milk"]
