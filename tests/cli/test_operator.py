"""`todo users` and `todo db`: what whoever runs the service does now and then."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_serve import todo
from tests.support.databases import migrated, sqlite_url
from tests.support.serving import TODO, environment, serving
from todo.adapters.sql.sqlite import backup
from todo.domain.refusals import OperatorNeeded, Unavailable
from todo.entrypoints.cli.program import cli, main

FILE = "todo.db"


class TestErasing:
    def test_a_person_and_all_that_is_theirs_is_gone_while_the_server_runs(
        self, tmp_path: Path, empty_database: str
    ) -> None:
        with serving(tmp_path, empty_database) as server:
            ann, bob = server.person(), server.person()
            ann.add()
            ann.add()
            bob.add()
            erased = todo(tmp_path, "users", "erase", ann.user_id, "--yes", DATABASE_URL=empty_database)
            assert (erased.returncode, erased.stdout) == (0, "Erased the person and 2 tasks.\n")
            assert ann.tasks() == []
            assert len(bob.tasks()) == 1
            again = todo(tmp_path, "users", "erase", ann.user_id, "--yes", DATABASE_URL=empty_database)
            assert (again.returncode, again.stderr) == (1, "todo: This person is unknown.\n")

    def test_nobody_is_erased_without_a_yes(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        refused = todo(tmp_path, "users", "erase", "ann", DATABASE_URL=url)
        assert (refused.returncode, refused.stderr) == (2, "todo: there is no terminal to ask on; add --yes\n")


class TestBackups:
    def test_a_backup_of_a_running_server_is_restored_into_it(self, tmp_path: Path) -> None:
        url = sqlite_url(tmp_path / FILE)
        with serving(tmp_path, url) as server:
            ann = server.person()
            kept = ann.add("kept")
            made = todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url)
            assert (made.returncode, made.stdout) == (0, "Backed up to copy.db.\n")
            ann.add("lost")
            ann.api.delete(f"/api/tasks/{kept['id']}")
            restored = todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=url)
            assert (restored.returncode, restored.stdout) == (0, "The tasks are those of the backup.\n")
            assert ann.tasks() == [kept]
            assert ann.add("afterwards")["revision"] > 1_000_000  # more than any that was given before
            assert [task["title"] for task in ann.tasks()] == ["afterwards", "kept"]
        assert [path.name for path in tmp_path.iterdir() if "copy" in path.name or "-" in path.name[:6]] == ["copy.db"]
        assert (tmp_path / "copy.db").stat().st_mode & 0o77 == 0

    def test_a_backup_is_restored_where_no_database_is_yet(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        assert todo(tmp_path, "add", "kept", DATABASE_URL=url).returncode == 0
        assert todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url).returncode == 0
        anew = sqlite_url(tmp_path / "anew.db")
        assert todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=anew).returncode == 0
        assert "kept" in todo(tmp_path, "list", DATABASE_URL=anew).stdout
        with closing(sqlite3.connect(tmp_path / "anew.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        itself = todo(tmp_path, "db", "restore", "anew.db", "--yes", DATABASE_URL=anew)
        assert (itself.returncode, itself.stderr) == (1, "todo: anew.db is the database itself.\n")

    def test_a_backup_is_restored_in_the_place_of_a_damaged_database(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        assert todo(tmp_path, "add", "kept", DATABASE_URL=url).returncode == 0
        assert todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url).returncode == 0
        damage(tmp_path / FILE)
        assert todo(tmp_path, "list", DATABASE_URL=url).returncode == 1
        restored = todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=url)
        assert (restored.returncode, restored.stderr) == (0, "")
        assert "kept" in todo(tmp_path, "list", DATABASE_URL=url).stdout

    def test_a_database_beyond_repair_has_to_be_moved_away_first(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        assert todo(tmp_path, "add", "kept", DATABASE_URL=url).returncode == 0
        assert todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url).returncode == 0
        (tmp_path / FILE).write_text("this was a database" * 1000)
        refused = todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=url)
        assert refused.returncode == 1
        assert "move it and its -wal away, and restore again" in refused.stderr
        for file in tmp_path.glob(f"{FILE}*"):
            file.rename(tmp_path / f"away-{file.name}")
        assert todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=url).returncode == 0
        assert "kept" in todo(tmp_path, "list", DATABASE_URL=url).stdout

    def test_a_restore_gives_up_in_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        migrated(sqlite_url(tmp_path / FILE))
        backup.back_up(tmp_path / FILE, tmp_path / "copy.db")
        monkeypatch.setattr(backup, "BUSY_TIMEOUT", 0.3)
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperatorNeeded, match="as it was"):
                backup.restore(tmp_path / FILE, tmp_path / "copy.db")

    def test_no_file_is_overwritten_by_a_backup(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        (tmp_path / "copy.db").write_text("precious")
        refused = todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url)
        assert (refused.returncode, refused.stderr) == (1, "todo: copy.db exists already; name another file.\n")
        assert (tmp_path / "copy.db").read_text() == "precious"

    @pytest.mark.parametrize("what", ["missing", "text", "damaged", "foreign", "newer"])
    def test_what_is_no_backup_is_not_restored(self, tmp_path: Path, what: str) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        assert todo(tmp_path, "add", "kept", DATABASE_URL=url).returncode == 0
        assert todo(tmp_path, "db", "backup", "copy.db", DATABASE_URL=url).returncode == 0
        copy = tmp_path / "copy.db"
        if what == "missing":
            copy.unlink()
        elif what == "text":
            copy.write_text("these are not the tasks you are looking for" * 100)
        elif what == "damaged":
            damage(copy)
        else:
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute(
                    "DROP TABLE schema_version"
                    if what == "foreign"
                    else "UPDATE schema_version SET version_num = '9999'"
                )
                connection.commit()
        refused = todo(tmp_path, "db", "restore", "copy.db", "--yes", DATABASE_URL=url)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "kept" in todo(tmp_path, "list", DATABASE_URL=url).stdout

    def test_postgresql_has_its_own_way(self, tmp_path: Path, empty_postgres: str) -> None:
        refused = todo(tmp_path, "db", "backup", "copy", DATABASE_URL=empty_postgres)
        assert refused.returncode == 1
        assert "pg_dump" in refused.stderr


def damage(file: Path) -> None:
    """In the middle of its pages."""
    content = bytearray(file.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 2000] = os.urandom(2000)
    file.write_bytes(content)


class TestAFileThatIsNotAsItShouldBe:
    """One clear line, and nothing is made worse."""

    def state(self, directory: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in directory.glob(f"{FILE}*") if not path.name.endswith("-shm")}

    @pytest.mark.parametrize("command", [("list",), ("add", "x"), ("db", "upgrade"), ("serve", "--port", "0")])
    def test_damaged(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        damage(tmp_path / FILE)
        before = self.state(tmp_path)
        told = todo(tmp_path, *command, DATABASE_URL=url)
        assert told.returncode == 1
        assert told.stderr.startswith("todo: The database is damaged; restore a backup of it.")
        assert told.stderr.count("\n") == 1
        assert self.state(tmp_path)[FILE] == before[FILE]

    def test_read_only(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        assert todo(tmp_path, "add", "kept", DATABASE_URL=url).returncode == 0
        command = (
            f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path} && cd {tmp_path} && exec {TODO}"
        )
        if os.geteuid() != 0:  # whom the file's own mode keeps from writing
            command = f"chmod 500 {tmp_path} && chmod 400 {tmp_path}/* && exec {TODO}"
        told = subprocess.run(
            [*(["unshare", "--mount"] if os.geteuid() == 0 else []), "sh", "-c", f"{command} add x"],
            env=environment(DATABASE_URL=url),
            capture_output=True,
            text=True,
            check=False,
        )
        tmp_path.chmod(0o700)
        assert told.returncode == 1
        assert re.match("todo: The database.* can't be (written|opened)", told.stderr)
        assert told.stderr.count("\n") == 1
        assert "kept" in todo(tmp_path, "list", DATABASE_URL=url).stdout

    def test_held_by_another_program(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            told = todo(tmp_path, "add", "x", DATABASE_URL=url)
        assert told.returncode == 1
        assert told.stderr.startswith("todo: Another program is writing to the database; try again in a moment.")

    def test_newer_than_the_program(self, tmp_path: Path) -> None:
        url = migrated(sqlite_url(tmp_path / FILE))
        with closing(sqlite3.connect(tmp_path / FILE)) as connection:
            connection.execute("UPDATE schema_version SET version_num = '9999'")
            connection.commit()
        told = todo(tmp_path, "db", "upgrade", DATABASE_URL=url)
        assert (told.returncode, told.stdout) == (0, "")
        assert told.stderr.count("\n") == 1
        assert "newer than this program" in told.stderr
        assert todo(tmp_path, "add", "x", DATABASE_URL=url).returncode == 0


@pytest.mark.parametrize(("cause", "told"), [(OSError("it said no"), " (it said no)"), (TimeoutError(), "")])
def test_an_error_is_told_with_what_its_cause_says_if_it_says_anything(
    cause: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise Unavailable("The database is away.") from cause

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == f"todo: The database is away.{told}\n"
