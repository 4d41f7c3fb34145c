"""`todo login`, and what commands work on."""

import re
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.commands import Todo, get_error, get_id
from tests.support.serving import Server, signed


def test_a_login_is_saved_where_only_its_owner_can_read_it(todo: Todo, file_server: Server, tmp_path: Path) -> None:
    todo = partial(todo, TODO_USER="local-user")
    login = todo("login", "--server", file_server.url, stdin=f"{signed({'sub': 'ann-on-the-server'})}\n")
    assert login.stdout == f"Logged in to {file_server.url} as ann-on-the-server.\n"
    saved = tmp_path / "data" / "todo" / "login.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert todo("whoami").stdout == f"ann-on-the-server, on {file_server.url}\n"
    assert todo("whoami", "--server", f"{file_server.url}/").stdout == f"ann-on-the-server, on {file_server.url}\n"
    assert todo("add", "There", "--json").stdout.count("ann-on-the-server") == 1
    saved.chmod(0o644)
    assert "other users can read" in get_error(todo("list"), status=2)
    assert todo("logout").stdout == "Logged out.\n"
    assert todo("logout").stdout == "You were not logged in.\n"
    assert todo("whoami").stdout.startswith("local-user, on ")


def test_the_environment_takes_precedence_over_a_login(todo: Todo, file_server: Server) -> None:
    get_id(todo("login", "--server", file_server.url, stdin=signed()))
    assert todo("whoami", DATABASE_URL="sqlite:///x.db", TODO_USER="bob").stdout == "bob, on x.db\n"


def test_a_token_of_the_environment_goes_to_no_server_but_the_one_named_with_it(
    todo: Todo, file_server: Server
) -> None:
    get_id(todo("login", "--server", file_server.url, stdin=signed()))
    error = get_error(todo("whoami", TODO_TOKEN=signed({"sub": "bob-on-the-server"})), status=2)
    assert error == f"TODO_TOKEN is set, but not TODO_SERVER; you are logged in to {file_server.url}"


@pytest.mark.parametrize(
    ("token", "status", "error"),
    [
        (signed({"exp": 0}), 1, "The token has expired; get a new one."),
        ("\n", 2, "give the token on standard input"),
    ],
)
def test_a_token_that_is_rejected_is_not_saved(
    todo: Todo, file_server: Server, tmp_path: Path, token: str, status: int, error: str
) -> None:
    run = todo("login", "--server", file_server.url, stdin=token)
    assert get_error(run, status) == error
    assert not (tmp_path / "data" / "todo" / "login.json").exists()


def test_the_server_can_be_named_before_the_command_or_after_it(todo: Todo, file_server: Server) -> None:
    todo = partial(todo, TODO_TOKEN=signed({"sub": f"person-{uuid4()}"}))
    get_id(todo("--server", file_server.url, "add", "x"))
    get_id(todo("add", "x", "--server", file_server.url))
    assert todo("--server", file_server.url, "whoami").stdout.endswith(f", on {file_server.url}\n")
    assert len(todo("list", TODO_SERVER=file_server.url).stdout.splitlines()) == 2


@pytest.mark.parametrize("arguments", ["users erase ann --yes", "db upgrade", "token", "serve --port 0", "logout"])
def test_commands_for_this_machine_take_no_server(todo: Todo, tmp_path: Path, arguments: str) -> None:
    error = get_error(todo("--server", "https://todo.example.com", *arguments.split()), status=2)
    assert re.match(f"todo {arguments.split()[0]} takes no --server", error)
    assert not (tmp_path / "data").exists()
