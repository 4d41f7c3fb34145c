"""PostgreSQL goes away in every way it can, under load, and comes back: nothing hangs and nothing is lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.databases import OwnPostgres, own_postgres
from tests.support.load import READ, WRITE, Load
from tests.support.serving import Server, serving
from tests.support.wire import Weather, wire

IN_TIME = 2
"""Seconds until a request hears what became of it."""
BACK = 5
"""Seconds after the database's return until all is well."""


def test_reads_never_fail_while_connections_are_ended(tmp_path: Path, empty_postgres: str) -> None:
    """All of them, again and again; and of writes what is refused is 503, and what is acknowledged there once."""
    with serving(tmp_path, empty_postgres) as server, psycopg.connect(empty_postgres, autocommit=True) as own:
        with Load(server) as load:
            for _ in range(15):
                load.until(100)
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            load.until(100)
        load.judge()
        assert load.statuses[READ, 503] == 0
        assert load.statuses[WRITE, 503] < load.statuses[WRITE, 201] / 100


def is_well(server: Server, load: Load, within: float = BACK) -> None:
    """Soon, and without a restart."""
    returned = time.monotonic()
    while time.monotonic() - returned < within + 1:
        load.until(10)
    assert load.well_since - returned < within
    assert server.anybody.get("/health/ready").status_code == 200


def is_away(server: Server, load: Load) -> None:
    load.slowest = 0
    began = time.monotonic()
    ready = server.anybody.get("/health/ready")
    while time.monotonic() - began < 3:
        assert server.anybody.get("/health/live").status_code == 200
        ready = server.anybody.get("/health/ready")
        assert ready.elapsed.total_seconds() < IN_TIME + 0.5
    assert ready.status_code == 503
    assert load.slowest < IN_TIME + 0.5  # on a busy machine


@pytest.mark.parametrize("weather", [Weather.SWALLOWED, Weather.SLOW, Weather.RESET, Weather.CUT])
def test_the_way_to_it_is_disturbed(tmp_path: Path, own_server: OwnPostgres, weather: Weather) -> None:
    with wire(own_server.create("UTF8")) as (way, url), serving(tmp_path, url) as server:
        with Load(server) as load:
            load.until(100)
            way.change(weather)
            is_away(server, load)
            way.change(Weather.FAIR)
            is_well(server, load)
        load.judge()


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_it_is_stopped_and_started(tmp_path: Path, own_server: OwnPostgres, how: str) -> None:
    with serving(tmp_path, own_server.create("UTF8")) as server:
        with Load(server) as load:
            load.until(100)
            own_server.stop(how)
            is_away(server, load)
            own_server.start()
            is_well(server, load)
        load.judge()


def test_its_primary_dies_and_a_standby_takes_over(tmp_path: Path) -> None:
    """With synchronous replication nothing that was acknowledged is lost."""
    with own_postgres() as primary, followed(primary) as standby:
        url = primary.create("UTF8")
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        with serving(tmp_path, f"postgresql://postgres:@{hosts}{urlsplit(url).path}") as server:
            with Load(server) as load:
                load.until(200)
                primary.stop("immediate")
                time.sleep(1)  # nobody promotes a standby at once
                standby.run("pg_ctl", "-D", standby.data, "promote")
                is_well(server, load, within=10)
            load.judge()
        primary.start()  # for its end


@contextmanager
def followed(primary: OwnPostgres) -> Iterator[OwnPostgres]:
    """A standby that has every change before the primary acknowledges it."""
    with TemporaryDirectory() as name:
        standby = OwnPostgres(primary.programs, Path(name))
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        standby.run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast", "-D", standby.data)
        standby.start()
        try:
            with psycopg.connect(primary.url_of("postgres"), autocommit=True) as own:
                own.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                own.execute("SELECT pg_reload_conf()")
                while own.execute("SELECT sync_state FROM pg_stat_replication").fetchone() != ("sync",):
                    time.sleep(0.01)
            yield standby
        finally:
            standby.stop("immediate")
