"""The commands on tasks: on a file, on PostgreSQL and before a server."""

import contextlib
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import click
import pytest

from tests.support.builders import a_task, later
from tests.support.databases import insert_many, migrated, sqlite_url
from tests.support.proxy import answers, held_back, proxy, resets
from tests.support.serving import TODO, Server, environment, serving, signed
from todo.__main__ import serve
from todo.domain.task import UserId
from todo.entrypoints.cli.program import cli

ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
LINE = rf"{ID}  \[([ x])\]  \d{{4}}-\d\d-\d\d \d\d:\d\d  (.*)"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(directory: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TODO, *arguments],
        cwd=directory,
        env=environment(**{"XDG_DATA_HOME": str(directory / "data"), **settings}),
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def working_at(directory: Path, **settings: str) -> Run:
    return lambda *arguments: command(directory, *arguments, **settings)


@pytest.fixture(scope="session")
def file_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("file-server")
    with serving(directory, sqlite_url(directory / "todo.db")) as server:
        yield server


@pytest.fixture(params=["file", "postgresql", "server"])
def todo(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Works at one of the three places, as somebody whom nobody else is."""
    user = f"person-{uuid4()}"
    if request.param == "file":
        return working_at(tmp_path, TODO_USER=user)
    if request.param == "postgresql":
        return working_at(tmp_path, TODO_USER=user, DATABASE_URL=request.getfixturevalue("migrated_postgres"))
    server: Server = request.getfixturevalue("file_server")
    return working_at(tmp_path, TODO_SERVER=server.url, TODO_TOKEN=signed({"sub": user}))


def id_of(run: "subprocess.CompletedProcess[str]") -> str:
    assert run.returncode == 0, run.stderr
    return run.stdout.split()[0]


def test_a_story_is_told_the_same_at_each_place(todo: Run) -> None:
    milk, ann = id_of(todo("add", " Buy milk ")), id_of(todo("add", "Call Ann"))
    spoken = [
        ("list",),
        ("done", milk, ann),
        ("reopen", ann),
        ("rename", milk, "Buy oat milk"),
        ("list", "--open"),
        ("list", "--done", "--search", "OAT"),
        ("show", milk),
        ("add", " "),
        ("show", "01a20492-eb95-712e-8878-69b05f01324d"),
        ("done", "zz", ann),
        ("rm", milk, milk),
        ("rm", ann),
        ("list", "--json"),
    ]
    told = []
    for arguments in spoken:
        run = todo(*arguments)
        told.append((run.returncode, said(run.stdout), said(run.stderr)))
    assert told == [
        (0, ["ID [ ] TIME Call Ann", "ID [ ] TIME Buy milk"], []),
        (0, ["ID [x] TIME Buy milk", "ID [x] TIME Call Ann"], []),
        (0, ["ID [ ] TIME Call Ann"], []),
        (0, ["ID [x] TIME Buy oat milk"], []),
        (0, ["ID [ ] TIME Call Ann"], []),
        (0, ["ID [x] TIME Buy oat milk"], []),
        (0, ["id ID", "title Buy oat milk", "done yes", "created TIME", "changed TIME"], []),
        (1, [], ["todo: The title is blank; give it at least one character other than white space."]),
        (1, [], ["todo: Task not found"]),
        (1, ["ID [x] TIME Call Ann"], ["todo: zz: 'zz' is not a valid id prefix; run `todo list`."]),
        (1, ["ID removed"], ["todo: ID: Task not found"]),
        (0, ["ID removed"], []),
        (0, ["[]"], []),
    ]


def said(text: str) -> list[str]:
    """Line by line, but for ids and times."""
    text = re.sub(rf"^{ID}|^[0-9a-f][0-9a-f-]*(?=  \[)|{ID}", "ID", text, flags=re.MULTILINE)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)
    return [re.sub(" +", " ", line) for line in text.splitlines()]


def test_json_is_what_the_api_would_answer(tmp_path: Path) -> None:
    todo = working_at(tmp_path)

    def told(*arguments: str) -> object:
        run = todo(*arguments, "--json")
        assert (run.returncode, run.stderr) == (0, "")
        return json.loads(run.stdout) if run.stdout else None

    task = told("add", "Buy milk")
    assert isinstance(task, dict)
    assert set(task) == {"id", "title", "completed", "user_id", "created_at", "updated_at", "revision"}
    assert told("list") == [task]
    assert told("show", task["id"]) == task
    done = told("done", task["id"])
    assert isinstance(done, list)
    assert done == [{**task, "completed": True, "revision": 2, "updated_at": done[0]["updated_at"]}]
    assert told("list", "--done") == done
    renamed = told("rename", task["id"][:20], "Other")
    assert isinstance(renamed, dict)
    assert (renamed["title"], renamed["completed"]) == ("Other", True)
    assert told("rm", task["id"]) is None


def test_an_id_may_be_cut_short_as_far_as_the_list_shows(file_server: Server, tmp_path: Path) -> None:
    ann = file_server.person()
    todo = working_at(tmp_path, TODO_SERVER=file_server.url, TODO_TOKEN=ann.token)
    whole = [ann.add(f"Task {number}")["id"] for number in range(4)][::-1]
    shown = [line.split()[0] for line in todo("list").stdout.splitlines()]
    for task_id, short in zip(whole, shown, strict=True):
        assert [other for other in whole if other.startswith(short)] == [task_id]
        assert len([other for other in whole if other.startswith(short[:-1].rstrip("-"))]) > 1
    assert todo("show", shown[1].upper(), "--json").stdout.startswith(f'{{"id":"{whole[1]}"')
    ambiguous = todo("done", "0", shown[0])
    assert ambiguous.returncode == 1
    assert ambiguous.stderr == f"todo: 0: Several ids begin with 0: {', '.join(shown)}; type more of one.\n"
    assert ambiguous.stdout.startswith(whole[0])
    for number in range(2):
        ann.add(f"Another {number}")
    assert "and others" in todo("rm", "0").stderr


def test_other_peoples_tasks_are_theirs(file_server: Server, tmp_path: Path) -> None:
    ann, bob = (
        working_at(tmp_path, TODO_SERVER=file_server.url, TODO_TOKEN=signed({"sub": name})) for name in ("anna", "bert")
    )
    task = id_of(ann("add", "Ann's"))
    for arguments in (("show", task), ("rm", task)):
        run = bob(*arguments)
        assert run.returncode == 1
        assert "belongs to another person" in run.stderr
    assert "None of your tasks" in bob("done", task[:20]).stderr
    assert bob("list").stdout == ""


class TestLogin:
    def test_it_keeps_server_and_token_where_their_owner_alone_can_read_them(
        self, file_server: Server, tmp_path: Path
    ) -> None:
        def todo(*arguments: str, said: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [TODO, *arguments],
                cwd=tmp_path,
                env=environment(XDG_DATA_HOME=str(tmp_path), TODO_USER="local-user", **settings),
                input=said,
                capture_output=True,
                text=True,
                check=False,
            )

        token = signed({"sub": "ann-at-the-server"})
        login = todo("login", "--server", file_server.url, said=f"{token}\n")
        assert login.stdout == f"Logged in to {file_server.url} as ann-at-the-server.\n"
        kept = tmp_path / "todo" / "login.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert todo("whoami").stdout == f"ann-at-the-server, on {file_server.url}\n"
        assert todo("whoami", "--server", f"{file_server.url}/").stdout == f"ann-at-the-server, on {file_server.url}\n"
        assert todo("add", "There", "--json").stdout.count("ann-at-the-server") == 1
        assert todo("whoami", DATABASE_URL="sqlite:///x.db").stdout == "local-user, on x.db\n"
        kept.chmod(0o644)
        assert todo("list").returncode == 2
        assert todo("logout").stdout == "Logged out.\n"
        assert todo("logout").stdout == "You were not logged in.\n"
        assert todo("whoami").stdout.startswith("local-user, on ")

    def test_a_token_that_is_refused_is_not_kept(self, file_server: Server, tmp_path: Path) -> None:
        run = subprocess.run(
            [TODO, "login", "--server", file_server.url],
            cwd=tmp_path,
            env=environment(XDG_DATA_HOME=str(tmp_path)),
            input=signed({"exp": 0}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout) == (1, "")
        assert run.stderr == "todo: The token has expired; get a new one. (`todo login` saves a new token)\n"
        assert not (tmp_path / "todo" / "login.json").exists()


class TestWhatGoesWrong:
    """One line that says what to do, status 1, no stack."""

    def one_line(self, run: "subprocess.CompletedProcess[str]", says: str, status: int = 1) -> None:
        assert run.returncode == status
        assert run.stdout == ""
        assert re.fullmatch("todo: [^\n]+\n", run.stderr), run.stderr
        assert says in run.stderr

    def test_a_token_that_is_wrong_or_expired(self, file_server: Server, tmp_path: Path) -> None:
        for token, says in (
            ("x", "not a signed JWT"),
            (signed({"exp": 0}), "expired"),
            (signed(secret="x" * 32), "not"),
        ):
            run = command(tmp_path, "list", TODO_SERVER=file_server.url, TODO_TOKEN=token)
            self.one_line(run, says)
            assert "todo login" in run.stderr

    def test_a_server_that_is_away_or_none(self, file_server: Server, tmp_path: Path) -> None:
        html = answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
        token = signed()
        self.one_line(command(tmp_path, "list", TODO_SERVER="http://127.0.0.1:1", TODO_TOKEN=token), "is away")
        self.one_line(
            command(tmp_path, "list", TODO_SERVER=f"{file_server.url}/nowhere", TODO_TOKEN=token), "not a todo server"
        )
        with proxy(file_server.address, html) as way:
            self.one_line(command(tmp_path, "list", TODO_SERVER=way.url, TODO_TOKEN=token), "not a todo server")

    def test_a_server_that_dies_in_mid_command(self, file_server: Server, tmp_path: Path) -> None:
        task = id_of(command(tmp_path, "add", "x", TODO_SERVER=file_server.url, TODO_TOKEN=signed()))
        with proxy(file_server.address, resets, resets, resets, resets) as way:
            run = command(tmp_path, "done", task, TODO_SERVER=way.url, TODO_TOKEN=signed())
            self.one_line(run, "is away")

    def test_no_token_and_no_login(self, tmp_path: Path) -> None:
        self.one_line(command(tmp_path, "list", "--server", "http://127.0.0.1:1"), "todo login --server", status=2)

    def test_open_and_done_at_once(self, tmp_path: Path) -> None:
        self.one_line(command(tmp_path, "list", "--open", "--done"), "--open and --done", status=2)

    @pytest.mark.parametrize("server", ["x", "ftp://x", "http://a:b@x", "http://x/?y"])
    def test_a_server_that_is_no_address(self, tmp_path: Path, server: str) -> None:
        self.one_line(command(tmp_path, "list", "--server", server), "--server", status=2)

    def test_a_database_that_is_away(self, tmp_path: Path) -> None:
        self.one_line(command(tmp_path, "list", DATABASE_URL="postgresql://127.0.0.1:1/x"), "can't be reached")

    def test_plain_http_to_elsewhere_is_warned_of(self, tmp_path: Path) -> None:
        run = command(tmp_path, "list", TODO_SERVER="http://todo.invalid", TODO_TOKEN=signed())
        assert run.stderr.splitlines()[0] == (
            "todo: warning: plain HTTP, your token can be intercepted on the way to http://todo.invalid"
        )
        assert (run.returncode, len(run.stderr.splitlines())) == (1, 2)


def test_server_and_eight_processes_write_one_file_and_lose_nothing(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "todo.db")
    with serving(tmp_path, url) as server:
        ann = server.person("ann-who-writes")

        def write(number: int) -> list[str]:
            if number < 4:
                return [ann.add(f"Server {number}-{n}")["id"] for n in range(20)]
            runs = [
                command(tmp_path, "add", f"Process {number}-{n}", DATABASE_URL=url, TODO_USER="ann-who-writes")
                for n in range(2)
            ]
            return [id_of(run) for run in runs]

        with ThreadPoolExecutor(12) as writers:
            written = [task_id for ids in writers.map(write, range(12)) for task_id in ids]
        assert len(written) == 4 * 20 + 8 * 2
        assert sorted(task["id"] for task in ann.tasks()) == sorted(written)
        tag = ann.api.head("/api/tasks", headers={"Accept-Encoding": "identity"}).headers["etag"]
        assert tag.startswith(f'"{len(written)}.')


def on_a_terminal(said: str, directory: Path, *arguments: str, **settings: str) -> str:
    """What a person sees who types this."""
    ours, theirs = pty.openpty()
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            [TODO, *arguments],
            cwd=directory,
            env=environment(**{"XDG_DATA_HOME": str(directory / "data"), "TERM": "xterm", **settings}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as running,
    ):
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # so a terminal says that the other end was closed
            while content := terminal.read(4096):
                seen += content
                if said and b"Token:" in seen:
                    terminal.write(f"{said}\n".encode())
                    said = ""
    assert running.returncode == 0, seen
    return seen.decode()


def test_what_is_done_is_faint_on_a_terminal_that_wants_colours(tmp_path: Path) -> None:
    command(tmp_path, "done", id_of(command(tmp_path, "add", "Buy milk")))
    assert re.search(r"\x1b\[2m0 .*\[x\].*Buy milk\x1b\[0m", on_a_terminal("", tmp_path, "list"))
    assert "\x1b" not in on_a_terminal("", tmp_path, "list", NO_COLOR="1")


def test_a_token_is_asked_for_and_not_shown(file_server: Server, tmp_path: Path) -> None:
    token = signed({"sub": "ann-who-types"})
    seen = on_a_terminal(token, tmp_path, "login", "--server", file_server.url)
    assert "as ann-who-types" in seen
    assert token not in seen


def test_every_command_shows_an_example() -> None:
    def commands(group: click.Group) -> Iterator[click.Command]:
        for one in group.commands.values():
            if isinstance(one, click.Group):
                yield from commands(one)
            else:
                yield one

    assert serve in cli.commands.values()
    names = {one.name for one in commands(cli) if "Example: todo" in (one.help or "")}
    assert names == {one.name for one in commands(cli)}
    assert names >= {"add", "list", "show", "done", "reopen", "rename", "rm", "token", "serve", "check", "upgrade"}


def test_the_server_may_be_named_before_the_command_or_behind(file_server: Server, tmp_path: Path) -> None:
    token = signed({"sub": f"person-{uuid4()}"})
    for arguments in (("--server", file_server.url, "add", "x"), ("add", "x", "--server", file_server.url)):
        id_of(command(tmp_path, *arguments, TODO_TOKEN=token))
    whoami = command(tmp_path, "--server", file_server.url, "whoami", TODO_TOKEN=token).stdout
    assert whoami.endswith(f", on {file_server.url}\n")
    assert len(command(tmp_path, "list", TODO_SERVER=file_server.url, TODO_TOKEN=token).stdout.splitlines()) == 2


@pytest.mark.parametrize("arguments", ["users erase ann --yes", "db upgrade", "token", "serve --port 0", "logout"])
def test_a_server_is_not_named_to_what_works_on_this_machine(tmp_path: Path, arguments: str) -> None:
    run = command(tmp_path, "--server", "https://todo.example.com", *arguments.split())
    assert (run.returncode, run.stdout) == (2, "")
    assert re.fullmatch(f"todo: todo {arguments.split()[0]} takes no --server.*\n", run.stderr)
    assert not (tmp_path / "data").exists()


NEEDLESS = ("litestar", "uvicorn", "alembic", "advanced_alchemy", "httpx", "jwt", "cryptography", "psycopg", "pydantic")


@pytest.mark.parametrize("arguments", [["list"], ["add", "x"], ["done", "0"], ["--help"]], ids=" ".join)
def test_a_command_on_a_file_loads_nothing_that_it_does_not_need(tmp_path: Path, arguments: list[str]) -> None:
    settings = {"XDG_DATA_HOME": str(tmp_path), "TODO_USER": "ann"}
    command(tmp_path, "add", "first", **settings)
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr))\n"
        f"sys.argv = {['todo', *arguments]!r}\n"
        "from todo.__main__ import main\n"
        "main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stderr.split())
    assert "click" in loaded
    assert loaded & set(NEEDLESS) == set()


def test_a_server_is_loaded_without_what_only_migrations_need() -> None:
    program = "import sys, todo.entrypoints.http.server.run; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "litestar" in loaded
    assert loaded & {"alembic", "advanced_alchemy.service", "sqlalchemy.orm", "pydantic"} == set()


def test_a_list_shows_its_beginning_before_its_end_has_come(tmp_path: Path) -> None:
    url = migrated(sqlite_url(tmp_path / "todo.db"))
    insert_many(url, [a_task(UserId("ann"), f"Task {number}", at=later(number)) for number in range(1201)])
    released = threading.Event()
    with (
        serving(tmp_path, url) as server,
        proxy(server.address, held_back(3, released)) as way,
        subprocess.Popen(
            [TODO, "list"],
            cwd=tmp_path,
            env=environment(TODO_SERVER=way.url, TODO_TOKEN=server.person("ann").token),
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


def test_who_reads_a_list_may_leave_early(tmp_path: Path) -> None:
    url = migrated(sqlite_url(tmp_path / "todo.db"))
    insert_many(url, [a_task(UserId("ann"), "x" * 400, at=later(number)) for number in range(2000)])
    run = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" list | head -1', TODO],
        cwd=tmp_path,
        env=environment(DATABASE_URL=url, TODO_USER="ann"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr, len(run.stdout.splitlines())) == (1, "", 1)


def test_a_shell_completes_commands_and_ids(tmp_path: Path) -> None:
    settings = {"TODO_USER": "ann"}
    task = id_of(command(tmp_path, "add", "Buy milk", **settings))

    def completed(line: str) -> list[str]:
        words = len(line.split()) - (not line.endswith(" "))
        run = command(tmp_path, _TODO_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(words), **settings)
        return [answer.partition(",")[2] for answer in run.stdout.split()]

    assert completed("todo re") == ["rename", "reopen"]
    assert completed("todo done ") == [task]
    assert completed(f"todo done {task[:6]}") == [task]
    assert completed("todo done zz") == []
    assert "complete" in command(tmp_path, _TODO_COMPLETE="bash_source").stdout


TITLES = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07red\x1b[31m",
    "marks that turn the direction": "abc \u202etxt.exe\u202c \u2067x\u2069 \u200f",
    "wide characters": "買牛乳" * 40,
    "joined emoji": "👩‍👩‍👧‍👦" * 30 + "❤️🇩🇪",
    "letters with many marks": "Z̷̢͎̈a̸l̵g̶o̵" * 20,
    "line breaks": "one\ntwo\r\tthree",
    "a long one": "x" * 500,
}


@pytest.mark.skipif(shutil.which("tmux") is None and not os.environ.get("CI"), reason="no tmux on this machine")
def test_no_title_drives_or_misaligns_a_real_terminal(tmp_path: Path) -> None:
    settings = {"TODO_USER": "ann", "XDG_DATA_HOME": str(tmp_path / "data"), "TERM": "screen-256color"}
    with closing(sqlite3.connect(tmp_path / "todo.db")) as _:
        pass
    settings["DATABASE_URL"] = sqlite_url(tmp_path / "todo.db")
    command(tmp_path, "db", "upgrade", **settings)
    with serving(tmp_path, settings["DATABASE_URL"]) as server:
        ann = server.person("ann")
        refused = [ann.api.post("/api/tasks", json={"title": title}).status_code for title in TITLES.values()]
        assert refused.count(201) == len(TITLES) - 1  # control characters are not taken in the first place
    with closing(sqlite3.connect(tmp_path / "todo.db")) as database:  # but an older database may have some
        database.execute("UPDATE tasks SET title = ? WHERE title = 'one\ntwo\r\tthree'", (TITLES["escape sequences"],))
        database.commit()
    tmux = ["tmux", "-u", "-S", str(tmp_path / "tmux")]
    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "60", "-y", "20", f"{TODO} list; tmux wait-for -S shown; sleep 60"],
        env=environment(**settings),
        cwd=tmp_path,
        check=True,
    )
    try:
        subprocess.run([*tmux, "wait-for", "shown"], check=True, timeout=30)
        screen = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout
        title = subprocess.run(
            [*tmux, "display-message", "-p", "#{pane_title}"], capture_output=True, text=True, check=True
        ).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    lines = screen.rstrip("\n").splitlines()
    assert len(lines) == len(TITLES) - 1, screen
    for line in lines:
        assert re.match(r"[0-9a-f-]+ +\[ \]  \d{4}-\d\d-\d\d \d\d:\d\d  \S", line), screen
    assert len({line.index("[ ]") for line in lines}) == 1
    assert "\\x1b[2J\\x1b]0;owned" in screen
    assert "\\u202etxt.exe" in screen
    assert "owned" not in title
