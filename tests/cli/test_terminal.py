"""The program at a shell and a terminal: what it loads and prints, and streams that are not as usual."""

import contextlib
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from tests.cli.commands import Todo, get_id, run_todo
from tests.support.builders import a_task, later
from tests.support.databases import insert_many, migrated, sqlite_url
from tests.support.proxy import never_answers, proxy
from tests.support.serving import TODO, Server, environment, run_python, signed
from todo.__main__ import serve
from todo.domain.task import UserId
from todo.entrypoints.cli.program import cli


def run_on_terminal(directory: Path, *arguments: str, typed: str = "", **settings: str) -> str:
    """What the terminal shows. ``typed`` is typed at the prompt for a token."""
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
        shown = b""
        with contextlib.suppress(OSError):  # raised once the program has ended
            while content := terminal.read(4096):
                shown += content
                if typed and b"Token:" in shown:
                    terminal.write(f"{typed}\n".encode())
                    typed = ""
    assert running.returncode == 0, shown
    return shown.decode()


def test_completed_tasks_are_faint_unless_no_color_is_set(todo: Todo, tmp_path: Path) -> None:
    todo("done", get_id(todo("add", "Buy milk")))
    assert re.search(r"\x1b\[2m0 .*\[x\].*Buy milk\x1b\[0m", run_on_terminal(tmp_path, "list"))
    assert "\x1b" not in run_on_terminal(tmp_path, "list", NO_COLOR="1")


def test_the_token_that_is_typed_at_the_prompt_is_not_shown(file_server: Server, tmp_path: Path) -> None:
    token = signed({"sub": "ann-who-types"})
    shown = run_on_terminal(tmp_path, "login", "--server", file_server.url, typed=token)
    assert "as ann-who-types" in shown
    assert token not in shown


def test_every_command_has_an_example() -> None:
    def get_commands(group: click.Group) -> Iterator[click.Command]:
        for command in group.commands.values():
            if isinstance(command, click.Group):
                yield from get_commands(command)
            else:
                yield command

    assert serve in cli.commands.values()
    commands = list(get_commands(cli))
    assert [command.name for command in commands if "Example: todo" not in (command.help or "")] == []
    assert {"add", "list", "show", "done", "reopen", "rename", "rm", "token", "serve", "check", "upgrade"} <= {
        command.name for command in commands
    }


NEEDLESS = ("litestar", "uvicorn", "alembic", "advanced_alchemy", "httpx", "jwt", "cryptography", "psycopg", "pydantic")


@pytest.mark.parametrize("arguments", [["list"], ["add", "x"], ["done", "0"], ["--help"]], ids=" ".join)
def test_a_command_on_a_file_loads_only_what_it_needs(todo: Todo, tmp_path: Path, arguments: list[str]) -> None:
    settings = {"XDG_DATA_HOME": str(tmp_path), "TODO_USER": "ann"}
    todo("add", "first", **settings)
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr))\n"
        f"sys.argv = {['todo', *arguments]!r}\n"
        "from todo.__main__ import main\n"
        "main()\n"
    )
    run = run_python(program, tmp_path, **settings)
    loaded = set(run.stderr.split())
    assert "click" in loaded
    assert loaded & set(NEEDLESS) == set()


def test_a_server_does_not_load_what_only_migrations_need() -> None:
    program = "import sys, todo.entrypoints.http.server.run; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "litestar" in loaded
    assert loaded & {"alembic", "advanced_alchemy.service", "sqlalchemy.orm", "pydantic"} == set()


def test_the_reader_of_a_list_can_leave_early(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("arguments", "status"),
    [("add x", 0), ("list", 0), ("list --json", 0), ("add ''", 1), ("auth check -", 2), ("db restore x.db", 2)],
)
def test_streams_can_be_closed(todo: Todo, tmp_path: Path, arguments: str, status: int) -> None:
    todo("add", "first")
    run = subprocess.run(
        ["bash", "-c", f'"$0" {arguments} <&- >&-', TODO],
        cwd=tmp_path,
        env=environment(XDG_DATA_HOME=str(tmp_path / "data")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, len(run.stderr.splitlines())) == (status, int(status > 0)), run.stderr


def test_a_shell_can_complete_commands_and_ids(todo: Todo, tmp_path: Path) -> None:
    task = get_id(todo("add", "Buy milk", TODO_USER="ann"))

    def complete(line: str, user: str = "ann") -> list[str]:
        words = len(line.split()) - (not line.endswith(" "))
        settings = {"_TODO_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(words)}
        return [answer.partition(",")[2] for answer in run_todo(tmp_path, TODO_USER=user, **settings).stdout.split()]

    assert complete("todo re") == ["rename", "reopen", "restore"]
    assert complete("todo done ") == [task]
    assert complete(f"todo done {task[:6]}") == [task]
    assert complete("todo done zz") == []
    kept = tmp_path / "data" / "todo" / ".env"
    kept.write_text("TODO_USER=bob\n")  # a completion reads the file that its command would
    assert complete("todo done ", user="") == []
    assert "complete" in run_todo(tmp_path, _TODO_COMPLETE="bash_source").stdout


@pytest.mark.timeout(20)  # a call to a server gets 30 seconds otherwise
def test_completion_waits_a_second_for_a_silent_server_and_does_not_repeat(tmp_path: Path) -> None:
    with proxy(("127.0.0.1", 1), others=never_answers) as silent:
        settings = {"_TODO_COMPLETE": "bash_complete", "COMP_WORDS": "todo done ", "COMP_CWORD": "2"}
        run = run_todo(tmp_path, TODO_SERVER=silent.url, TODO_TOKEN=signed(), **settings)
        assert (run.stdout.strip(), silent.connections) == ("", 1)


@pytest.mark.parametrize("group", [[], ["db"], ["users"], ["auth"]])
def test_a_group_alone_prints_its_help(todo: Todo, group: list[str]) -> None:
    run = todo(*group)
    assert (run.returncode, run.stderr) == (2, "")
    assert run.stdout.count("Usage: ") == 1
    assert todo(*group, "--help").stdout == run.stdout


TITLES = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07red\x1b[31m",
    "marks that change the writing direction": "abc \u202etxt.exe\u202c \u2067x\u2069 \u200f",
    "wide characters": "買牛乳" * 40,
    "joined emoji": "👩‍👩‍👧‍👦" * 30 + "❤️🇩🇪",
    "letters with many marks": "Z̷̢͎̈a̸l̵g̶o̵" * 20,
    "line breaks": "one\ntwo\r\tthree",
    "a long one": "x" * 500,
}


@pytest.mark.skipif(shutil.which("tmux") is None and not os.environ.get("CI"), reason="no tmux on this machine")
def test_no_title_controls_or_misaligns_a_real_terminal(todo: Todo, tmp_path: Path) -> None:
    settings = {"TODO_USER": "ann", "DATABASE_URL": sqlite_url(tmp_path / "todo.db")}
    fields = ["--due", "2020-01-31", "--priority", "high", "--label", "\u202elabel"]
    statuses = [todo("add", title, *fields, **settings).returncode for title in TITLES.values()]
    assert statuses.count(0) == len(TITLES) - 1  # control characters are rejected
    with closing(sqlite3.connect(tmp_path / "todo.db")) as database:  # but an older database may have some
        database.execute("UPDATE tasks SET title = ? WHERE title = 'one\ntwo\r\tthree'", (TITLES["escape sequences"],))
        database.commit()
    tmux = ["tmux", "-u", "-S", str(tmp_path / "tmux")]
    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "60", "-y", "20", f"{TODO} list; tmux wait-for -S shown; sleep 60"],
        env=environment(TERM="screen-256color", **settings),
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
        assert re.match(r"[0-9a-f-]+ +\[ \]  !  overdue  \S", line), screen
    assert len({line.index("[ ]") for line in lines}) == 1
    assert "\\x1b[2J\\x1b]0;owned" in screen
    assert "\\u202etxt.exe" in screen
    assert "owned" not in title
