"""`todo serve`: what stops its start, what it creates, and how it ends."""

import os
import re
import signal
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.problems import is_problem
from tests.cli.commands import Todo, get_error, run_todo
from tests.support.databases import sqlite_url
from tests.support.serving import SECRET, Person, client, serving


class TestWrongSettings:
    def test_one_line_names_the_setting_and_the_status_is_2(self, tmp_path: Path) -> None:
        error = get_error(run_todo(tmp_path, "serve", "--port", "0", BETTER_AUTH_SECRET="hush"), status=2)
        assert error == "BETTER_AUTH_SECRET is shorter than 32 bytes"

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:///nowhere/todo.db",
            "sqlite:////tmp",
            "postgresql://user:hush@host:port/x",
            "postgresql://user:hush@host/x?nonsense=1",
        ],
    )
    def test_a_database_url_that_can_not_be_used_is_named_but_not_shown(self, todo: Todo, url: str) -> None:
        error = get_error(todo("serve", "--port", "0", DATABASE_URL=url), status=2)
        assert error.startswith("DATABASE_URL")
        assert "hush" not in error

    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            ("postgresql://ann:hush@h/x?pgbouncer=true", "has the parameter pgbouncer, which PostgreSQL does not know"),
            ("postgresql://ann:hush@h/x?sslmode=require&schema=public", "has the parameter schema, which PostgreSQL"),
            ("postgresql://ann:hu%sh@h/x", "has a % that begins no percent-encoding; write it as %25"),
            ("postgresql://ann@h/x?hush", "can't be read as a PostgreSQL connection string"),
            ("postgresql://ann:hush@h:99999/x", "has a port that is not a number from 1 to 65535"),
        ],
    )
    def test_the_part_of_a_connection_string_that_is_wrong_is_named(self, todo: Todo, url: str, sentence: str) -> None:
        error = get_error(todo("serve", "--port", "0", DATABASE_URL=url), status=2)
        assert error.startswith(f"DATABASE_URL {sentence}")
        assert "hu" not in error

    @pytest.mark.parametrize("path", ["todo", "/", "/todo/", "/a b", "//x"])
    def test_a_wrong_root_path(self, todo: Todo, path: str) -> None:
        assert "--root-path" in get_error(todo("serve", "--root-path", path), status=2)

    def test_a_wrong_line_of_the_env_file_is_named(self, todo: Todo, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("VITE_API=x\nDATABSE_URL=x\n")
        error = get_error(todo("serve", "--port", "0"), status=2)
        assert error == ".env, line 2: unknown setting; did you mean DATABASE_URL?"

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_tracing_needs_opentelemetry(self, tmp_path: Path, workers: str) -> None:
        (tmp_path / "opentelemetry.py").write_text("raise ImportError")
        path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
        run = run_todo(tmp_path, "serve", "--port", "0", "--workers", workers, TRACING="true", PYTHONPATH=path)
        assert get_error(run, status=2) == "TRACING needs OpenTelemetry, which comes with the extra todo[otel]"

    @pytest.mark.parametrize(
        ("mode", "error"), [(0o644, "other users can read .*secret"), (0o600, "secret is damaged")]
    )
    def test_a_saved_secret_that_is_public_or_damaged_is_not_used(
        self, todo: Todo, tmp_path: Path, mode: int, error: str
    ) -> None:
        secret = tmp_path / "data" / "todo" / "secret"
        secret.parent.mkdir(parents=True)
        secret.write_text("x")
        secret.chmod(mode)
        assert re.search(error, get_error(todo("token"), status=2))

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
    def test_without_an_issuer_it_listens_on_loopback_only(self, todo: Todo, host: str) -> None:
        error = get_error(todo("serve", "--port", "0", "--host", host), status=2)
        assert re.search(f"{re.escape(host)}.*BETTER_AUTH_URL.*BETTER_AUTH_SECRET", error)

    @pytest.mark.parametrize("options", [["--port", "x"], ["--port", "65536"], ["--workers", "0"], ["--nonsense"]])
    def test_wrong_usage_is_one_line_and_status_2(self, todo: Todo, options: list[str]) -> None:
        get_error(todo("serve", *options), status=2)


def test_on_any_ipv6_address_it_is_reached_over_ipv4_too(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--host", "::") as server:
        for host in ("127.0.0.1", "[::1]"):
            with client(f"http://{host}:{server.address[1]}") as anybody:
                assert anybody.get("/health/live").status_code == 200


def test_a_port_in_use_is_one_line_and_status_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in get_error(run_todo(tmp_path, "serve", "--port", str(port)))


def test_while_the_database_is_away_it_is_live_but_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path, "postgresql://me:hush@127.0.0.1:1/x", "--no-migrate") as server:
        ann = server.person()
        assert server.anybody.get("/health/live").status_code == 200
        ready = server.anybody.get("/health/ready")
        for response in (ready, ann.api.get("/api/tasks"), ann.api.post("/api/tasks", json={"title": "x"})):
            is_problem(response, 503)
            assert int(response.headers["retry-after"]) > 0
        assert "hush" not in server.printed()


class TestTheSchema:
    def test_with_no_migrate_the_server_is_not_ready_until_an_upgrade(
        self, todo: Todo, tmp_path: Path, empty_database: str
    ) -> None:
        with serving(tmp_path, empty_database, "--no-migrate") as server:
            assert "todo db upgrade" in is_problem(server.anybody.get("/health/ready"), 503)["detail"]
            is_problem(server.person().api.get("/api/tasks"), 503)
            run = todo("db", "upgrade", DATABASE_URL=empty_database)
            assert (run.returncode, run.stdout) == (0, "The schema is up to date.\n")
            assert server.anybody.get("/health/ready").status_code == 200
            server.person().add()

    def test_a_connection_string_works_as_neon_prints_it(self, tmp_path: Path, empty_postgres: str) -> None:
        url = empty_postgres.replace("postgresql://", "postgres://")
        url += ("&" if "?" in url else "?") + "sslmode=prefer&channel_binding=prefer"
        with serving(tmp_path, url) as server:
            server.person().add()

    def test_ten_servers_can_start_at_once_on_an_empty_database(self, tmp_path: Path, empty_database: str) -> None:
        with ThreadPoolExecutor(10) as pool, ExitStack() as stack:
            starting = [pool.submit(stack.enter_context, serving(tmp_path, empty_database)) for _ in range(10)]
            people = [start.result().person("ann") for start in starting]
            for person in people:
                person.add()
            assert all(len(person.tasks()) == 10 for person in people)


class TestTheDefaults:
    def test_it_creates_what_it_needs_and_prints_a_curl_command_that_works(self, todo: Todo, tmp_path: Path) -> None:
        settings = {"BETTER_AUTH_SECRET": "", "XDG_DATA_HOME": str(tmp_path / "data")}
        with serving(tmp_path, "", **settings) as server:
            curl = re.search("curl .*", server.greeting)
            assert curl is not None
            assert f"{server.url}/docs" in server.greeting
            page = re.search(r"Web page: +(\S+)/#token=(\S+)", server.greeting)
            assert page is not None
            assert page[1] == server.url
            assert f"Bearer {page[2]}" in curl[0]
            run = subprocess.run(f"{curl[0]} -sS", shell=True, capture_output=True, text=True, check=True)
            assert run.stdout == "[]"
            token = todo("token", TODO_USER="ann").stdout.strip()
            headers = {"Authorization": f"Bearer {token}"}
            task = server.anybody.post("/api/tasks", json={"title": "x"}, headers=headers).json()
            assert task["user_id"] == "ann"
        secret = tmp_path / "data" / "todo" / "secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert (tmp_path / "data" / "todo" / "todo.db").exists()
        assert len(list(secret.parent.glob("secret*"))) == 1
        with serving(tmp_path, "", **settings) as server:
            assert server.anybody.get("/api/tasks", headers=headers).json() == [task]

    def test_with_another_secret_it_does_not_need_to_know_the_user(self, tmp_path: Path) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), TODO_USER="x" * 1000) as server:
            server.person().add()

    def test_the_environment_takes_precedence_over_the_env_file(self, todo: Todo, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\nDATABASE_URL=sqlite:///file.db\nTODO_USER=bob\n")
        with serving(tmp_path, "sqlite:///environment.db"):
            pass
        assert (tmp_path / "environment.db").exists()
        assert not (tmp_path / "file.db").exists()
        run = todo("db", "upgrade")
        assert (run.returncode, run.stderr) == (0, f"todo: settings are from {tmp_path / '.env'}\n")
        assert (tmp_path / "file.db").exists()


class TestWorkers:
    def test_two_serve_one_database(self, tmp_path: Path) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", "2") as server:
            people = [Person(server.url, "ann") for _ in range(8)]
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda person: [person.add() for _ in range(5)], people))
            assert len(people[0].tasks()) == 40
            for person in people:
                person.api.close()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_signal_ends_them_with_status_0(self, tmp_path: Path, number: signal.Signals, workers: int) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", str(workers)) as server:
            server.person().add()
            os.kill(server.pid, number)
            assert server.wait() == 0
            assert "Traceback" not in server.printed()
