"""`todo serve`: what stops it, what it makes by itself, and how it ends."""

import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from tests.api.problems import is_problem
from tests.support.databases import PostgresServer, postgres_database, sqlite_url
from tests.support.serving import SECRET, TODO, Person, environment, serving


def todo(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself."""
    return subprocess.run(
        [TODO, *arguments],
        cwd=directory,
        env=environment(XDG_DATA_HOME=str(directory / "data"), **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestWrongSettings:
    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"BETTER_AUTH_SECRET": "short"}, "BETTER_AUTH_SECRET"),
            ({"DATABASE_URL": "mysql://localhost/todo"}, "DATABASE_URL"),
            ({"DATABASE_URL": "todo.db"}, "DATABASE_URL"),
            ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL"),
            ({"DATABASE_URL": "sqlite:///:memory:"}, "DATABASE_URL"),
            ({"DATABASE_URL": "sqlite:///nowhere/todo.db"}, "DATABASE_URL"),
            ({"DATABASE_URL": "sqlite:////tmp"}, "DATABASE_URL"),
            ({"DATABASE_URL": "postgresql://user:hush@host:port/x"}, "DATABASE_URL"),
            ({"DATABASE_URL": "postgresql://user:hush@host/x?nonsense=1"}, "DATABASE_URL"),
            ({"DATABASE_URL": "postgresql://user:p@hush@host/x"}, "DATABASE_URL"),
            ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE"),
            ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE"),
            ({"DATABASE_POOL_SIZE": "1.5"}, "DATABASE_POOL_SIZE"),
            ({"BETTER_AUTH_URL": "auth.example.com"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "https://ann:hush@auth.example.com"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "https://auth.example.com/?x=hush"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "https://auth example.com"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "https://auth.example.com:99999"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "https://☃.example"}, "BETTER_AUTH_URL"),
            ({"BETTER_AUTH_URL": "http://010.0.0.1"}, "BETTER_AUTH_URL"),
            ({"JWT_AUDIENCE": ","}, "JWT_AUDIENCE"),
            ({"JWT_ISSUER": '"https://auth.example.com"'}, "JWT_ISSUER"),
            ({"JWT_JWKS_URL": "ftp://auth.example.com/jwks"}, "JWT_JWKS_URL"),
            ({"JWT_JWKS_URL": "https://ann:hush@auth.example.com/jwks"}, "JWT_JWKS_URL"),
            ({"CORS_ORIGINS": "app.example.com"}, "CORS_ORIGINS"),
            ({"CORS_ORIGINS": "https://app.example.com/"}, "CORS_ORIGINS"),
            ({"CORS_ORIGINS": "https://app.example.com,https://ann:hush@app.example.com"}, "CORS_ORIGINS: number 2"),
        ],
        ids=lambda value: "=".join(*value.items()) if isinstance(value, dict) else "",
    )
    def test_one_line_names_the_setting_and_the_status_is_2(
        self, tmp_path: Path, settings: dict[str, str], named: str
    ) -> None:
        run = todo(tmp_path, "serve", "--port", "0", **settings)
        assert (run.returncode, run.stdout) == (2, "")
        assert re.fullmatch(f"todo: {named}.*\n", run.stderr)
        assert "hush" not in run.stderr
        assert "short" not in run.stderr.replace("shorter", "")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("DATABSE_URL=x\n", ".env, line 1: unknown setting; did you mean DATABASE_URL?"),
            ("todo_user=ann\n", ".env, line 1: unknown setting; did you mean TODO_USER?"),
            ("FOO=1\n", ".env, line 1: unknown setting"),
            ("DATABASE_URL=\npostgresql://ann:hush@host/x?y=z\n", ".env, line 2: unknown setting"),
            ("# a comment\nTODO_USER=ann\nhush\n", ".env, line 3: this is not NAME=value"),
            ('TODO_USER=ann\nBETTER_AUTH_SECRET="hush\nDATABASE_URL=x\n', ".env, line 2: this is not NAME=value"),
        ],
    )
    def test_an_env_file_that_is_wrong_stops_the_start(self, tmp_path: Path, content: str, complaint: str) -> None:
        (tmp_path / ".env").write_text(content)
        run = todo(tmp_path, "serve", "--port", "0")
        assert (run.returncode, run.stderr) == (2, f"todo: {complaint}\n")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_traces_without_opentelemetry_stop_the_start(self, tmp_path: Path, workers: str) -> None:
        (tmp_path / "opentelemetry.py").write_text("raise ImportError")
        run = todo(tmp_path, "serve", "--port", "0", "--workers", workers, TRACING="true", PYTHONPATH=str(tmp_path))
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr == "todo: TRACING needs OpenTelemetry, which comes with the extra todo[otel]\n"

    def test_an_env_that_is_no_file_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / ".env").mkdir()
        run = todo(tmp_path, "token")
        assert (run.returncode, run.stderr) == (2, "todo: .env is not a file\n")

    def test_a_kept_secret_that_others_can_read_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "data" / "todo").mkdir(parents=True)
        (tmp_path / "data" / "todo" / "secret").write_text("x" * 64)
        run = todo(tmp_path, "token")
        assert run.returncode == 2
        assert re.fullmatch("todo: other users can read .*secret.*\n", run.stderr)

    def test_a_kept_secret_that_is_damaged_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "data" / "todo").mkdir(parents=True)
        secret = tmp_path / "data" / "todo" / "secret"
        secret.touch(mode=0o600)
        secret.write_text("x")
        run = todo(tmp_path, "serve", "--port", "0")
        assert run.returncode == 2
        assert re.fullmatch("todo: .*secret is damaged.*\n", run.stderr)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
    def test_without_an_issuer_it_listens_on_loopback_only(self, tmp_path: Path, host: str) -> None:
        run = todo(tmp_path, "serve", "--port", "0", "--host", host)
        assert run.returncode == 2
        assert re.fullmatch(f"todo: .*{re.escape(host)}.*BETTER_AUTH_URL.*BETTER_AUTH_SECRET.*\n", run.stderr)

    @pytest.mark.parametrize("options", [["--port", "x"], ["--port", "65536"], ["--workers", "0"], ["--nonsense"]])
    def test_wrong_usage_is_one_line_and_status_2(self, tmp_path: Path, options: list[str]) -> None:
        run = todo(tmp_path, "serve", *options)
        assert run.returncode == 2
        assert re.fullmatch("todo: .*\n", run.stderr)


class TestWhatIsAway:
    def test_a_port_in_use_is_one_line_and_status_1(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            run = todo(tmp_path, "serve", "--port", str(port))
        assert run.returncode == 1
        assert re.fullmatch(f"todo: .*port {port}.*\n", run.stderr)

    def test_a_database_that_is_away_is_one_line_and_status_1(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        for command in (["serve", "--port", "0"], ["db", "upgrade"]):
            run = todo(tmp_path, *command, DATABASE_URL=f"postgresql://me:hush@127.0.0.1:{port}/x")
            assert run.returncode == 1
            assert re.fullmatch("todo: The database can't be reached.*\n", run.stderr)
            assert "hush" not in run.stderr

    def test_a_file_that_is_no_database_is_one_line_and_left_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "todo.db"
        file.write_bytes(b"no database" * 1000)
        run = todo(tmp_path, "serve", "--port", "0", DATABASE_URL="sqlite:///todo.db")
        assert run.returncode == 1
        assert re.fullmatch("todo: .*not a SQLite database.*\n", run.stderr)
        assert file.read_bytes() == b"no database" * 1000

    def test_ready_says_503_while_the_database_is_away_and_live_200(self, tmp_path: Path) -> None:
        url = "postgresql://me:hush@127.0.0.1:1/x"
        with serving(tmp_path, url, "--no-migrate") as server:
            ready = server.anybody.get("/health/ready")
            is_problem(ready, 503)
            assert int(ready.headers["retry-after"]) > 0
            assert server.anybody.get("/health/live").status_code == 200
            ann = server.person()
            for answer in (ann.api.get("/api/tasks"), ann.api.post("/api/tasks", json={"title": "x"})):
                is_problem(answer, 503)
                assert int(answer.headers["retry-after"]) > 0
            assert "hush" not in server.printed()


class TestTheSchema:
    def test_it_is_made_at_the_start(self, tmp_path: Path, empty_database: str) -> None:
        with serving(tmp_path, empty_database) as server:
            assert server.anybody.get("/health/ready").status_code == 200
            server.person().add()

    def test_with_no_migrate_ready_says_503_and_why_until_somebody_upgrades(
        self, tmp_path: Path, empty_database: str
    ) -> None:
        with serving(tmp_path, empty_database, "--no-migrate") as server:
            assert "todo db upgrade" in is_problem(server.anybody.get("/health/ready"), 503)["detail"]
            is_problem(server.person().api.get("/api/tasks"), 503)
            run = todo(tmp_path, "db", "upgrade", DATABASE_URL=empty_database)
            assert (run.returncode, run.stdout) == (0, "The schema is up to date.\n")
            assert server.anybody.get("/health/ready").status_code == 200
            server.person().add()

    def test_a_connection_string_is_taken_as_neon_prints_it(self, tmp_path: Path, empty_postgres: str) -> None:
        url = empty_postgres.replace("postgresql://", "postgres://")
        url += ("&" if "?" in url else "?") + "sslmode=prefer&channel_binding=prefer"
        with serving(tmp_path, url) as server:
            server.person().add()

    def test_one_that_is_newer_than_the_program_is_left_as_it_is(self, tmp_path: Path, empty_database: str) -> None:
        assert todo(tmp_path, "db", "upgrade", DATABASE_URL=empty_database).returncode == 0
        if empty_database.startswith("sqlite"):
            with closing(sqlite3.connect(empty_database.removeprefix("sqlite:///"))) as connection:
                connection.execute("UPDATE schema_version SET version_num = '9999'")
                connection.commit()
        else:
            with psycopg.connect(empty_database) as server:
                server.execute("UPDATE schema_version SET version_num = '9999'")
        with serving(tmp_path, empty_database) as running:
            assert running.anybody.get("/health/ready").status_code == 200

    def test_one_in_another_encoding_is_not_made(self, tmp_path: Path, postgres: PostgresServer) -> None:
        with postgres_database(postgres, encoding="LATIN1") as url:
            run = todo(tmp_path, "db", "upgrade", DATABASE_URL=url)
            assert run.returncode == 1
            assert re.fullmatch("todo: .*LATIN1.*UTF8.*\n", run.stderr)

    def test_a_database_with_other_tables_of_these_names_is_left_as_it_is(
        self, tmp_path: Path, empty_postgres: str
    ) -> None:
        with psycopg.connect(empty_postgres) as connection:
            connection.execute("CREATE TABLE tasks (mine text)")
        run = todo(tmp_path, "db", "upgrade", DATABASE_URL=empty_postgres)
        assert run.returncode == 1
        assert re.fullmatch("todo: The database refused the upgrade, and is as it was before.*\n", run.stderr)
        with psycopg.connect(empty_postgres) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == [("tasks",)]

    def test_ten_servers_started_at_once_on_an_empty_database_all_come_up(
        self, tmp_path: Path, empty_database: str
    ) -> None:
        with ThreadPoolExecutor(10) as pool, ExitStack() as stack:
            starting = [pool.submit(stack.enter_context, serving(tmp_path, empty_database)) for _ in range(10)]
            servers = [start.result() for start in starting]
            people = [server.person("ann") for server in servers]
            for person in people:
                person.add()
            assert all(len(person.tasks()) == 10 for person in people)


class TestTheEmbeddedDefault:
    def test_it_makes_what_it_needs_and_greets_with_a_curl_that_works(self, tmp_path: Path) -> None:
        settings = {"BETTER_AUTH_SECRET": "", "XDG_DATA_HOME": str(tmp_path / "data")}
        with serving(tmp_path, "", **settings) as server:
            curl = re.search("curl .*", server.greeting)
            assert curl is not None
            assert f"{server.url}/docs" in server.greeting
            run = subprocess.run(f"{curl[0]} -sS", shell=True, capture_output=True, text=True, check=True)
            assert run.stdout == "[]"
            token = todo(tmp_path, "token", TODO_USER="ann").stdout.strip()
            headers = {"Authorization": f"Bearer {token}"}
            task = server.anybody.post("/api/tasks", json={"title": "x"}, headers=headers).json()
            assert task["user_id"] == "ann"
        secret = tmp_path / "data" / "todo" / "secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert (tmp_path / "data" / "todo" / "todo.db").exists()
        assert len(list(secret.parent.glob("secret*"))) == 1
        with serving(tmp_path, "", **settings) as server:
            assert server.anybody.get("/api/tasks", headers=headers).json() == [task]

    def test_nobody_is_asked_who_they_are_where_tokens_are_another_secrets(self, tmp_path: Path) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), TODO_USER="x" * 1000) as server:
            server.person().add()

    def test_settings_come_from_an_env_file_and_the_environment_wins(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            f"BETTER_AUTH_SECRET={SECRET}\nDATABASE_URL=sqlite:///from-file.db\nTODO_USER=bob\n"
        )
        with serving(tmp_path, "sqlite:///from-environment.db"):
            pass
        assert (tmp_path / "from-environment.db").exists()
        assert not (tmp_path / "from-file.db").exists()
        assert todo(tmp_path, "db", "upgrade").returncode == 0
        assert (tmp_path / "from-file.db").exists()


class TestTheEnd:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_it_ends_cleanly_when_told_to(self, tmp_path: Path, how: signal.Signals, workers: int) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", str(workers)) as server:
            server.person().add()
            os.kill(server.pid, how)
            assert server.wait() == 0
            assert "Traceback" not in server.printed()

    def test_two_workers_serve_one_database(self, tmp_path: Path) -> None:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--workers", "2") as server:
            people = [Person(server.url, "ann") for _ in range(8)]
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda person: [person.add() for _ in range(5)], people))
            assert len(people[0].tasks()) == 40
            for person in people:
                person.api.close()
