"""`todo users` and `todo db`, and what commands say about a database that has a problem."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.cli.commands import Todo, get_error
from tests.support.databases import PostgresServer, migrated, postgres_database, sqlite_url
from tests.support.serving import TODO, environment, serving
from todo.adapters.sql.sqlite import backup
from todo.domain.refusals import OperatorNeeded, Unavailable
from todo.entrypoints.cli.program import cli, main

FILE = "todo.db"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a SQLite file with the schema."""
    return migrated(sqlite_url(tmp_path / FILE))


@pytest.fixture
def backed_up(url: str, todo: Todo) -> str:
    """The URL of a database whose one task, kept, is in copy.db, too."""
    assert todo("add", "kept", DATABASE_URL=url).returncode == 0
    assert todo("db", "backup", "copy.db", DATABASE_URL=url).returncode == 0
    return url


def damage(file: Path) -> None:
    """In the middle of its pages."""
    content = bytearray(file.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 2000] = os.urandom(2000)
    file.write_bytes(content)


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            database.execute(statement)
            database.commit()
    else:
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())


def test_what_was_removed_long_ago_is_forgotten(todo: Todo, empty_database: str) -> None:
    url = migrated(empty_database)
    task_id = todo("add", "Secret", DATABASE_URL=url).stdout.split()[0]
    todo("rm", task_id, DATABASE_URL=url)
    assert todo("db", "purge", DATABASE_URL=url).stdout == "Forgot 0 removed tasks.\n"
    assert todo("db", "purge", DATABASE_URL=url, TRASH_DAYS="0").stdout == "Forgot 1 removed task.\n"
    assert todo("trash", DATABASE_URL=url).stdout == ""


def test_forgetting_makes_no_database(todo: Todo, tmp_path: Path) -> None:
    assert "has no schema yet" in get_error(todo("db", "purge", DATABASE_URL=sqlite_url(tmp_path / "none.db")))
    assert not (tmp_path / "none.db").exists()


class TestErasingAPerson:
    def test_all_their_tasks_are_gone_while_the_server_runs(
        self, todo: Todo, tmp_path: Path, empty_database: str
    ) -> None:
        with serving(tmp_path, empty_database) as server:
            ann, bob = server.person(), server.person()
            ann.add()
            ann.add()
            bob.add()
            token = ann.api.get("/api/changes").json()["next"]
            erased = todo("users", "erase", ann.user_id, "--yes", DATABASE_URL=empty_database)
            assert (erased.returncode, erased.stdout) == (0, "Erased the person and 2 tasks.\n")
            assert ann.tasks() == []
            assert len(bob.tasks()) == 1
            assert ann.api.get(f"/api/changes?since={token}").status_code == 410
            again = todo("users", "erase", ann.user_id, "--yes", DATABASE_URL=empty_database)
            assert get_error(again) == "This person is unknown."
            ann.add()  # another epoch begins
            assert ann.api.get(f"/api/changes?since={token}").status_code == 410

    def test_it_needs_confirmation(self, todo: Todo, url: str) -> None:
        error = get_error(todo("users", "erase", "ann", DATABASE_URL=url), status=2)
        assert error == "there is no terminal to ask on; add --yes"

    def test_an_invalid_id_is_wrong_usage(self, todo: Todo, url: str) -> None:
        assert get_error(todo("users", "erase", "", DATABASE_URL=url), status=2).startswith("ID: a user id has")


class TestBackups:
    def test_a_backup_of_a_running_server_can_be_restored_into_it(self, todo: Todo, tmp_path: Path, url: str) -> None:
        with serving(tmp_path, url) as server:
            ann = server.person()
            kept = ann.add("kept")
            run = todo("db", "backup", "copy.db", DATABASE_URL=url)
            assert (run.returncode, run.stdout) == (0, "Backed up to copy.db.\n")
            ann.add("lost")
            ann.api.delete(f"/api/tasks/{kept['id']}")
            token = ann.api.get("/api/changes").json()["next"]
            run = todo("db", "restore", "copy.db", "--yes", DATABASE_URL=url)
            assert (run.returncode, run.stdout) == (0, "The tasks are those of the backup.\n")
            assert ann.tasks() == [kept]
            assert ann.api.get("/api/trash").json() == []
            assert ann.api.get(f"/api/changes?since={token}").status_code == 410
            assert ann.api.get("/api/changes").json()["changed"] == [kept]
            assert ann.add("afterwards")["revision"] > 1_000_000  # more than any that was given before
            assert [task["title"] for task in ann.tasks()] == ["afterwards", "kept"]
        assert [path.name for path in tmp_path.iterdir() if "copy" in path.name or "-" in path.name[:6]] == ["copy.db"]
        assert (tmp_path / "copy.db").stat().st_mode & 0o77 == 0

    def test_a_backup_can_be_restored_where_there_is_no_database(
        self, todo: Todo, tmp_path: Path, backed_up: str
    ) -> None:
        new = sqlite_url(tmp_path / "new.db")
        assert new != backed_up
        assert todo("db", "restore", "copy.db", "--yes", DATABASE_URL=new).returncode == 0
        assert "kept" in todo("list", DATABASE_URL=new).stdout
        with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        itself = todo("db", "restore", "new.db", "--yes", DATABASE_URL=new)
        assert get_error(itself) == "new.db is the database itself."

    def test_a_backup_replaces_a_damaged_database(self, todo: Todo, tmp_path: Path, backed_up: str) -> None:
        damage(tmp_path / FILE)
        assert todo("list", DATABASE_URL=backed_up).returncode == 1
        restored = todo("db", "restore", "copy.db", "--yes", DATABASE_URL=backed_up)
        assert (restored.returncode, restored.stderr) == (0, "")
        assert "kept" in todo("list", DATABASE_URL=backed_up).stdout

    def test_a_database_beyond_repair_has_to_be_moved_away_first(
        self, todo: Todo, tmp_path: Path, backed_up: str
    ) -> None:
        (tmp_path / FILE).write_text("this was a database" * 1000)
        refused = todo("db", "restore", "copy.db", "--yes", DATABASE_URL=backed_up)
        assert "move it and its -wal away, and restore again" in get_error(refused)
        for file in tmp_path.glob(f"{FILE}*"):
            file.rename(tmp_path / f"away-{file.name}")
        assert todo("db", "restore", "copy.db", "--yes", DATABASE_URL=backed_up).returncode == 0
        assert "kept" in todo("list", DATABASE_URL=backed_up).stdout

    def test_a_restore_gives_up_in_time(self, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert url
        backup.back_up(tmp_path / FILE, tmp_path / "copy.db")
        monkeypatch.setattr(backup, "BUSY_TIMEOUT", 0.3)
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperatorNeeded, match="as it was"):
                backup.restore(tmp_path / FILE, tmp_path / "copy.db")

    def test_a_backup_overwrites_no_file(self, todo: Todo, tmp_path: Path, url: str) -> None:
        (tmp_path / "copy.db").write_text("precious")
        run = todo("db", "backup", "copy.db", DATABASE_URL=url)
        assert get_error(run) == "copy.db exists already; name another file."
        assert (tmp_path / "copy.db").read_text() == "precious"

    @pytest.mark.parametrize("kind", ["missing", "text", "damaged", "foreign", "newer"])
    def test_only_a_sound_backup_is_restored(self, todo: Todo, tmp_path: Path, backed_up: str, kind: str) -> None:
        copy = tmp_path / "copy.db"
        if kind == "missing":
            copy.unlink()
        elif kind == "text":
            copy.write_text("these are not the tasks you are looking for" * 100)
        elif kind == "damaged":
            damage(copy)
        elif kind == "foreign":
            execute(sqlite_url(copy), "DROP TABLE schema_version")
        else:
            execute(sqlite_url(copy), "UPDATE schema_version SET version_num = '9999'")
        get_error(todo("db", "restore", "copy.db", "--yes", DATABASE_URL=backed_up))
        assert "kept" in todo("list", DATABASE_URL=backed_up).stdout

    def test_postgresql_is_left_to_its_own_programs(self, todo: Todo, empty_postgres: str) -> None:
        assert "pg_dump" in get_error(todo("db", "backup", "copy", DATABASE_URL=empty_postgres))
        assert "pg_restore" in get_error(todo("db", "restore", "copy", "--yes", DATABASE_URL=empty_postgres))

    def test_renewing_is_for_postgresql_alone(self, todo: Todo, url: str, migrated_postgres: str) -> None:
        assert "todo db restore" in get_error(todo("db", "renew", DATABASE_URL=url))
        run = todo("db", "renew", DATABASE_URL=migrated_postgres)
        assert (run.returncode, run.stdout) == (0, "Everything that clients have cached is now invalid.\n")


class TestADatabaseWithAProblem:
    """One line says which, and nothing gets worse."""

    @pytest.mark.parametrize("command", [("list",), ("add", "x"), ("db", "upgrade"), ("serve", "--port", "0")])
    def test_it_is_damaged(self, todo: Todo, tmp_path: Path, url: str, command: tuple[str, ...]) -> None:
        damage(tmp_path / FILE)
        before = (tmp_path / FILE).read_bytes()
        error = get_error(todo(*command, DATABASE_URL=url))
        assert error.startswith("The database is damaged; restore a backup of it.")
        assert (tmp_path / FILE).read_bytes() == before

    def test_it_is_not_a_database(self, todo: Todo, tmp_path: Path) -> None:
        (tmp_path / FILE).write_bytes(b"no database" * 1000)
        run = todo("serve", "--port", "0", DATABASE_URL=f"sqlite:///{FILE}")
        assert "not a SQLite database" in get_error(run)
        assert (tmp_path / FILE).read_bytes() == b"no database" * 1000

    def test_it_is_read_only(self, todo: Todo, tmp_path: Path, url: str) -> None:
        assert todo("add", "kept", DATABASE_URL=url).returncode == 0
        command = (
            f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path} && cd {tmp_path} && exec {TODO}"
        )
        if os.geteuid() != 0:  # file modes do not stop root
            command = f"chmod 500 {tmp_path} && chmod 400 {tmp_path}/* && exec {TODO}"
        run = subprocess.run(
            [*(["unshare", "--mount"] if os.geteuid() == 0 else []), "sh", "-c", f"{command} add x"],
            env=environment(DATABASE_URL=url),
            capture_output=True,
            text=True,
            check=False,
        )
        tmp_path.chmod(0o700)
        assert re.match("The database.* can't be (written|opened)", get_error(run))
        assert "kept" in todo("list", DATABASE_URL=url).stdout

    def test_another_program_is_writing_to_it(
        self, todo: Todo, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("todo.adapters.sql.sqlite.threads.connect.__defaults__", (0.3,))  # seconds
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            error = get_error(todo("add", "x", DATABASE_URL=url))
        assert error.startswith("Another program is writing to the database; try again in a moment.")

    @pytest.mark.parametrize("command", [("serve", "--port", "0"), ("db", "upgrade")])
    def test_it_can_not_be_reached(self, todo: Todo, command: tuple[str, ...]) -> None:
        error = get_error(todo(*command, DATABASE_URL="postgresql://me:hush@127.0.0.1:1/x"))
        assert error.startswith("The database can't be reached")
        assert "hush" not in error

    def test_its_encoding_is_not_utf8(self, todo: Todo, postgres: PostgresServer) -> None:
        with postgres_database(postgres, encoding="LATIN1") as url:
            assert re.search("LATIN1.*UTF8", get_error(todo("db", "upgrade", DATABASE_URL=url)))

    def test_it_has_other_tables_of_the_same_names(self, todo: Todo, empty_postgres: str) -> None:
        execute(empty_postgres, "CREATE TABLE tasks (mine text)")
        error = get_error(todo("db", "upgrade", DATABASE_URL=empty_postgres))
        assert error.startswith("The database refused the upgrade, and is as it was before")
        with psycopg.connect(empty_postgres) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == [("tasks",)]

    def test_a_schema_newer_than_the_program_is_a_warning(
        self, todo: Todo, tmp_path: Path, empty_database: str
    ) -> None:
        migrated(empty_database)
        execute(empty_database, "UPDATE schema_version SET version_num = '9999'")
        run = todo("db", "upgrade", DATABASE_URL=empty_database)
        assert (run.returncode, run.stdout) == (0, "")
        assert re.fullmatch("todo: .*newer than this program.*\n", run.stderr)
        assert todo("add", "x", DATABASE_URL=empty_database).returncode == 0
        with serving(tmp_path, empty_database) as server:
            assert server.anybody.get("/health/ready").status_code == 200


def test_a_number_of_partitions_that_comes_too_late_is_a_warning(todo: Todo, empty_postgres: str) -> None:
    migrated(empty_postgres, partitions=2)
    run = todo("db", "upgrade", DATABASE_URL=empty_postgres, DATABASE_PARTITIONS="8")
    assert (run.returncode, run.stdout) == (0, "The schema is up to date.\n")
    assert run.stderr.startswith("todo: each table has 2 partitions;")
    assert todo("db", "upgrade", DATABASE_URL=empty_postgres, DATABASE_PARTITIONS="2").stderr == ""


@pytest.mark.parametrize(("cause", "reason"), [(OSError("it said no"), " (it said no)"), (TimeoutError(), "")])
def test_an_error_is_printed_with_its_cause(
    cause: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise Unavailable("The database is away.") from cause

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == f"todo: The database is away.{reason}\n"
