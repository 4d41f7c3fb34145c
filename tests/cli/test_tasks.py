"""The commands on tasks: on a SQLite file, on PostgreSQL and on a server."""

import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.cli.commands import Run, Todo, get_error, get_id, run_todo
from tests.support.builders import a_task, later
from tests.support.databases import insert_many, migrated, sqlite_url
from tests.support.proxy import answers, held_back, proxy, resets
from tests.support.serving import TODO, Server, environment, serving, signed
from todo.domain.task import UserId

ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(params=["file", "postgresql", "server"])
def todo_as_somebody(request: pytest.FixtureRequest, todo: Todo) -> Todo:
    """Runs commands on one of the three as a person whom no other test uses."""
    user = f"person-{uuid4()}"
    if request.param == "file":
        return partial(todo, TODO_USER=user)
    if request.param == "postgresql":
        return partial(todo, TODO_USER=user, DATABASE_URL=request.getfixturevalue("migrated_postgres"))
    server: Server = request.getfixturevalue("file_server")
    return partial(todo, TODO_SERVER=server.url, TODO_TOKEN=signed({"sub": user}))


def normalize(text: str) -> list[str]:
    """Line by line, with placeholders for ids."""
    text = re.sub(rf"^{ID}|^[0-9a-f][0-9a-f-]*(?= +\[)|{ID}", "ID", text, flags=re.MULTILINE)
    return [re.sub(" +", " ", line) for line in text.splitlines()]


def test_commands_print_the_same_whatever_they_work_on(todo_as_somebody: Todo) -> None:
    todo = todo_as_somebody
    milk, ann = get_id(todo("add", " Buy milk ")), get_id(todo("add", "Call Ann"))
    expected: list[tuple[tuple[str, ...], tuple[int, list[str], list[str]]]] = [
        (("list",), (0, ["ID [ ] Call Ann", "ID [ ] Buy milk"], [])),
        (("done", milk, ann), (0, ["ID [x] Buy milk", "ID [x] Call Ann"], [])),
        (("reopen", ann), (0, ["ID [ ] Call Ann"], [])),
        (("rename", milk, "Buy oat milk"), (0, ["ID [x] Buy oat milk"], [])),
        (("list", "--open"), (0, ["ID [ ] Call Ann"], [])),
        (("list", "--done", "--search", "OAT"), (0, ["ID [x] Buy oat milk"], [])),
        (
            ("add", " "),
            (1, [], ["todo: The title is blank; give it at least one character other than white space."]),
        ),
        (("show", "01a20492-eb95-712e-8878-69b05f01324d"), (1, [], ["todo: Task not found"])),
        (
            ("done", "zz", ann),
            (1, ["ID [x] Call Ann"], ["todo: 'zz' is not a valid id prefix; run `todo list`."]),
        ),
        (("rm", milk, milk), (1, ["ID removed"], ["todo: ID: Task not found"])),
        (("rm", ann), (0, ["ID removed"], [])),
        (("list", "--json"), (0, ["[]"], [])),
    ]
    for arguments, outcome in expected:
        run = todo(*arguments)
        assert (run.returncode, normalize(run.stdout), normalize(run.stderr)) == outcome, arguments


def test_fields_can_be_set_changed_cleared_and_listed(todo_as_somebody: Todo) -> None:
    todo = todo_as_somebody
    rent = get_id(
        todo(
            "add",
            "Pay rent",
            "--due",
            "2020-01-31",
            "--priority",
            "high",
            "--label",
            "home",
            "--notes",
            "-",
            stdin="a\nb\n",
        )
    )
    cake = get_id(todo("add", "Bake a cake", "--due", "today", "--label", "Home", "--label", "party"))
    plain = get_id(todo("add", "Plain"))
    rows = {rent: "! overdue Pay rent #home", cake: "today Bake a cake #Home #party", plain: "Plain"}

    def listed(*options: str) -> list[str]:
        run = todo("list", *options)
        assert run.returncode == 0, run.stderr
        titles = {" ".join(line.split()[3:]): task_id for task_id, line in ((i, f"x [ ] {rows[i]}") for i in rows)}
        return [titles[" ".join(line.split()[3:])] for line in run.stdout.splitlines()]

    assert normalize(todo("list").stdout) == [
        "ID [ ] Plain",
        "ID [ ] today Bake a cake #Home #party",
        f"ID [ ] {rows[rent]}",
    ]
    assert listed("--sort", "due") == [rent, cake, plain]
    assert listed("--due", "today") == listed("--due", "week") == [cake]
    assert listed("--due", "overdue") == listed("--priority", "high") == [rent]
    assert listed("--label", "HOME") == [cake, rent]
    assert listed("--label", "home", "--label", "party") == [cake]
    assert listed("--search", "b") == [cake, rent]
    for options in ("--due overdue", "--sort due --label home", "--priority high --due week"):
        found = json.loads(todo("list", "--json", *options.split()).stdout)
        assert [task["id"] for task in found] == listed(*options.split())
    shown = todo("show", rent).stdout
    assert re.findall("^(?:notes|due|priority|labels) +(.*)$", shown, re.MULTILINE) == [
        "a",
        "b",
        "2020-01-31, overdue",
        "high",
        "home",
    ]
    task = json.loads(todo("edit", rent, "--due", "none", "--priority", "none", "--label", "", "--json").stdout)
    assert (task["due"], task["priority"], task["labels"], task["notes"]) == (None, None, [], "a\nb")
    task = json.loads(todo("edit", rent, "--title", "Rent", "--notes", "", "--label", "x", "--json").stdout)
    assert (task["title"], task["notes"], task["labels"]) == ("Rent", None, ["x"])


def test_what_was_removed_can_be_listed_and_had_back(todo_as_somebody: Todo) -> None:
    todo = todo_as_somebody
    rent, cake, plain = [get_id(todo("add", title)) for title in ("Pay rent", "Bake a cake", "Plain")]
    assert todo("trash").stdout == ""
    assert "There is nothing in the trash." in get_error(todo("undo"))
    assert todo("rm", rent, plain, cake).returncode == 0
    titles = [
        re.fullmatch(r"[0-9a-f-]+ +removed \d{4}-\d\d-\d\d \d\d:\d\d  (.*)", line)
        for line in todo("trash").stdout.splitlines()
    ]
    assert [found and found[1] for found in titles] == ["Bake a cake", "Plain", "Pay rent"]
    removed = json.loads(todo("trash", "--json").stdout)
    assert [task["id"] for task in removed] == [cake, plain, rent]
    assert all(task["removed_at"] for task in removed)
    assert normalize(todo("undo").stdout) == ["ID [ ] Bake a cake"]
    shortest = todo("trash").stdout.splitlines()[1].split()[0]
    run = todo("restore", shortest, cake)
    assert (run.returncode, normalize(run.stdout)) == (1, ["ID [ ] Pay rent"])
    assert "None of your removed tasks has an id that begins with" in run.stderr
    assert "None of your removed tasks" in get_error(todo("restore", ""))
    [restored] = json.loads(todo("restore", plain, "--json").stdout)
    assert restored["title"] == "Plain"
    assert todo("trash").stdout == ""
    assert len(todo("list").stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["add", "x", "--due", "someday"], "--due: 'someday' is not a date; write today"),
        (["add", "x", "--priority", "urgent"], "'urgent' is not one of 'low', 'medium', 'high', 'none'."),
        (["edit", "0"], "name at least one field to change, such as --due tomorrow"),
        (["list", "--json", "--search", "a\udcffb"], "--search and --label take up to 500 characters"),
        (["list", "--search", "x" * 501], "--search and --label take up to 500 characters"),
        (["list", "--due", "overdue", "--done"], "only open tasks are overdue; leave --done out"),
    ],
)
def test_wrong_options_are_one_line_with_status_2(todo: Todo, arguments: list[str], error: str) -> None:
    assert error in get_error(todo(*arguments), 2)


def test_a_value_that_breaks_its_rule_is_refused(todo: Todo) -> None:
    assert "due.time must be a time" in get_error(todo("add", "x", "--due", "today 25:00"))
    assert "due.time_zone must be a name" in get_error(todo("add", "x", "--due", "today 9:00 Mars"))
    assert "A label is there twice" in get_error(todo("add", "x", "--label", "a", "--label", "A"))
    assert todo("list").stdout == ""


def test_json_is_what_the_api_would_answer(todo: Todo) -> None:
    def decode(*arguments: str) -> object:
        run = todo(*arguments, "--json")
        assert (run.returncode, run.stderr) == (0, "")
        return json.loads(run.stdout) if run.stdout else None

    task = decode("add", "Buy milk")
    assert isinstance(task, dict)
    assert decode("list") == [task]
    assert decode("show", task["id"]) == task
    done = decode("done", task["id"])
    assert isinstance(done, list)
    now = done[0]["updated_at"]
    assert done == [{**task, "completed": True, "completed_at": now, "revision": 2, "updated_at": now}]
    assert decode("list", "--done") == done
    renamed = decode("rename", task["id"][:20], "Other")
    assert isinstance(renamed, dict)
    assert (renamed["title"], renamed["completed"]) == ("Other", True)
    assert decode("rm", task["id"]) is None


def test_any_unique_prefix_of_an_id_works_and_the_list_shows_the_shortest(todo: Todo, file_server: Server) -> None:
    ann = file_server.person()
    todo = partial(todo, TODO_SERVER=file_server.url, TODO_TOKEN=ann.token)
    ids = [ann.add(f"Task {number}")["id"] for number in range(4)][::-1]
    prefixes = [line.split()[0] for line in todo("list").stdout.splitlines()]
    for task_id, prefix in zip(ids, prefixes, strict=True):
        assert [other for other in ids if other.startswith(prefix)] == [task_id]
        assert len([other for other in ids if other.startswith(prefix[:-1].rstrip("-"))]) > 1
    assert todo("show", prefixes[1].upper(), "--json").stdout.startswith(f'{{"id":"{ids[1]}"')
    ambiguous = todo("done", "0", prefixes[0])
    assert ambiguous.returncode == 1
    assert ambiguous.stderr == f"todo: Several ids begin with 0: {', '.join(prefixes)}; type more of one.\n"
    assert ambiguous.stdout.startswith(ids[0])
    for number in range(2):
        ann.add(f"Another {number}")
    assert "and others" in get_error(todo("rm", "0"))


def test_other_peoples_tasks_can_not_be_reached(todo: Todo, file_server: Server) -> None:
    ann, bob = (
        partial(todo, TODO_SERVER=file_server.url, TODO_TOKEN=signed({"sub": name})) for name in ("anna", "bert")
    )
    task = get_id(ann("add", "Ann's"))
    for arguments in (("show", task), ("rm", task)):
        assert "belongs to another person" in get_error(bob(*arguments))
    assert "None of your tasks" in get_error(bob("done", task[:20]))
    assert bob("list").stdout == ""


class TestErrors:
    """One line that says what to do; nothing on standard output."""

    @pytest.fixture(autouse=True)
    def no_retries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("todo.adapters.remote.server.ATTEMPTS", 1)

    @pytest.fixture
    def list_on(self, todo: Todo) -> Callable[[str], Run]:
        return lambda url: todo("list", TODO_SERVER=url, TODO_TOKEN=signed())

    @pytest.mark.parametrize(
        ("token", "error"),
        [
            ("x", "not a signed JWT"),
            (signed({"exp": 0}), "has expired"),
            (signed(secret="x" * 32), "signature is not valid"),
        ],
    )
    def test_a_token_is_rejected(self, todo: Todo, file_server: Server, token: str, error: str) -> None:
        printed = get_error(todo("list", TODO_SERVER=file_server.url, TODO_TOKEN=token))
        assert error in printed
        assert printed.endswith("(Save it with `todo login`, or in TODO_TOKEN.)")

    def test_a_server_is_away(self, list_on: Callable[[str], Run]) -> None:
        assert "is away" in get_error(list_on("http://127.0.0.1:1"))

    def test_something_else_answers(self, list_on: Callable[[str], Run], file_server: Server) -> None:
        html = answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
        assert "not a todo server" in get_error(list_on(f"{file_server.url}/nowhere"))
        with proxy(file_server.address, html) as other:
            assert "not a todo server" in get_error(list_on(other.url))

    def test_a_server_resets_the_connection(self, todo: Todo, file_server: Server) -> None:
        task = get_id(todo("add", "x", TODO_SERVER=file_server.url, TODO_TOKEN=signed()))
        with proxy(file_server.address, resets) as broken:
            run = todo("done", task, TODO_SERVER=broken.url, TODO_TOKEN=signed())
        assert "is away" in get_error(run)

    @pytest.mark.parametrize("command", [["add", "-5 degrees"], ["rename", "0", "-5"]])
    def test_a_title_that_looks_like_an_option(self, todo: Todo, command: list[str]) -> None:
        assert get_error(todo(*command), status=2).endswith("Put -- before a title that begins with a hyphen.")
        assert todo("add", "--", "-5 degrees").returncode == 0

    def test_there_is_no_token_for_a_server(self, todo: Todo) -> None:
        error = get_error(todo("list", "--server", "http://127.0.0.1:1"), status=2)
        assert error.endswith("run `todo login --server http://127.0.0.1:1`")

    def test_options_exclude_each_other(self, todo: Todo) -> None:
        assert "--open and --done" in get_error(todo("list", "--open", "--done"), status=2)

    @pytest.mark.parametrize("server", ["", "x", "ftp://x", "http://a:b@x", "http://x/?y"])
    def test_the_url_of_a_server_is_wrong(self, todo: Todo, server: str) -> None:
        assert get_error(todo("list", "--server", server), status=2).startswith("--server ")
        assert get_error(todo("--server", server, "list"), status=2).startswith("--server ")

    def test_the_database_is_away(self, todo: Todo) -> None:
        assert "can't be reached" in get_error(todo("list", DATABASE_URL="postgresql://127.0.0.1:1/x"))

    def test_plain_http_over_the_network_is_a_warning(self, list_on: Callable[[str], Run]) -> None:
        warning, error = list_on("http://todo.invalid").stderr.splitlines()
        assert warning == (
            "todo: warning: http://todo.invalid is not HTTPS, so others on the network can read your token"
        )
        assert "is away" in error


def test_a_server_and_eight_processes_can_change_one_file_at_once(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "todo.db")
    with serving(tmp_path, url) as server:
        ann = server.person("ann-who-writes")

        def write(number: int) -> list[str]:
            if number < 4:
                return [ann.add(f"Server {number}-{n}")["id"] for n in range(20)]
            settings = {"DATABASE_URL": url, "TODO_USER": "ann-who-writes"}
            return [get_id(run_todo(tmp_path, "add", f"Process {number}-{n}", **settings)) for n in range(2)]

        with ThreadPoolExecutor(12) as writers:
            written = [task_id for ids in writers.map(write, range(12)) for task_id in ids]
        assert len(written) == 4 * 20 + 8 * 2
        assert sorted(task["id"] for task in ann.tasks()) == sorted(written)
        tag = ann.api.head("/api/tasks", headers={"Accept-Encoding": "identity"}).headers["etag"]
        assert tag.startswith(f'"{len(written)}.')


def test_a_list_prints_its_first_tasks_before_it_has_the_last(tmp_path: Path) -> None:
    url = migrated(sqlite_url(tmp_path / "todo.db"))
    insert_many(url, [a_task(UserId("ann"), f"Task {number}", at=later(number)) for number in range(1201)])
    released = threading.Event()
    with (
        serving(tmp_path, url) as server,
        proxy(server.address, held_back(3, released)) as slow,
        subprocess.Popen(
            [TODO, "list"],
            cwd=tmp_path,
            env=environment(TODO_SERVER=slow.url, TODO_TOKEN=server.person("ann").token),
            stdout=subprocess.PIPE,
            text=True,
        ) as listing,
    ):
        assert listing.stdout is not None
        first = listing.stdout.readline()
        released.set()
        rest = listing.stdout.readlines()
    assert first.endswith("Task 1200\n")
    assert len(rest) == 1200
    assert listing.returncode == 0


class TestWhatIsNotOurs:
    def test_the_env_file_of_another_application_is_not_read(self, todo: Todo, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///production.db\nVITE_API=x\nnonsense\n")
        for command in (["list"], ["add", "x"], ["whoami"]):
            assert todo(*command).returncode == 0
        assert not (tmp_path / "production.db").exists()
        assert todo("list", "--server", "http://127.0.0.1:1", TODO_TOKEN=signed()).returncode == 1

    def test_a_file_is_read_where_it_is_asked_for(self, todo: Todo, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("DATABASE_URL=sqlite:///mine.db\nVITE_API=x\n")
        assert todo("--env-file", "mine", "add", "x").returncode == 0
        assert (tmp_path / "mine.db").exists()
        assert "1" not in todo("list").stdout
        assert "x" in todo("list", TODO_ENV_FILE="mine").stdout
        assert "missing" in get_error(todo("--env-file", "missing", "list"), status=2)

    @pytest.mark.parametrize(
        "command", [["list"], ["list", "--json"], ["show", "0"], ["done", "0"], ["rm", "0"], ["rename", "0", "x"]]
    )
    def test_only_an_addition_makes_a_schema(
        self, todo: Todo, tmp_path: Path, empty_database: str, command: list[str]
    ) -> None:
        run = todo(*command, DATABASE_URL=empty_database)
        assert (run.returncode, run.stdout.strip()) == (int(command[0] != "list"), "[]" if "--json" in command else "")
        assert list_tables(empty_database) == set()
        assert not (tmp_path / "todo.db").exists()
        assert todo("add", "x", DATABASE_URL=empty_database).returncode == 0
        assert "tasks" in list_tables(empty_database)


def list_tables(url: str) -> set[str]:
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        if not file.exists():
            return set()
        with closing(sqlite3.connect(file)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    with psycopg.connect(url) as connected:
        rows = connected.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {name for (name,) in rows}
