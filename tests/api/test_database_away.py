"""PostgreSQL fails in every way, under load, and comes back: nothing hangs and nothing is lost."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.database_proxy import Fault, database_proxy
from tests.support.databases import OwnPostgres, own_postgres, replicate
from tests.support.load import READ, WRITE, Load
from tests.support.serving import Server, serving

RESPONSE_TIMEOUT = 2  # seconds within which each request gets a response
RECOVERY_TIMEOUT = 5  # seconds after the database's return within which everything works


def test_reads_never_fail_while_connections_are_terminated(tmp_path: Path, empty_postgres: str) -> None:
    """All connections, again and again. Few writes are refused, and each that is acknowledged is stored once."""
    with serving(tmp_path, empty_postgres) as server, psycopg.connect(empty_postgres, autocommit=True) as own:
        with Load(server) as load:
            for _ in range(15):
                load.wait_for(100)
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            load.wait_for(100)
        load.check()
        assert load.statuses[READ, 503] == 0
        assert load.statuses[WRITE, 503] < load.statuses[WRITE, 201] / 100


def check_recovery(server: Server, load: Load, within: float = RECOVERY_TIMEOUT) -> None:
    """Everything works soon after the database's return, without a restart of the server."""
    returned = time.monotonic()
    while time.monotonic() - returned < within + 1:
        load.wait_for(10)
    assert load.last_failure - returned < within
    assert server.anybody.get("/health/ready").status_code == 200


def check_outage(server: Server, load: Load) -> None:
    load.slowest = 0
    began = time.monotonic()
    ready = server.anybody.get("/health/ready")
    while time.monotonic() - began < 3:
        assert server.anybody.get("/health/live").status_code == 200
        ready = server.anybody.get("/health/ready")
        assert ready.elapsed.total_seconds() < RESPONSE_TIMEOUT + 0.5
    assert ready.status_code == 503
    assert load.slowest < RESPONSE_TIMEOUT + 0.5  # on a busy machine


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.DELAY, Fault.RESET, Fault.CUT])
def test_the_service_recovers_from_network_faults(tmp_path: Path, own_server: OwnPostgres, fault: Fault) -> None:
    with database_proxy(own_server.create("UTF8")) as (proxy, url), serving(tmp_path, url) as server:
        with Load(server) as load:
            load.wait_for(100)
            proxy.inject(fault)
            check_outage(server, load)
            proxy.inject(Fault.NONE)
            check_recovery(server, load)
        load.check()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_service_recovers_from_a_restart_of_the_database(
    tmp_path: Path, own_server: OwnPostgres, mode: str
) -> None:
    with serving(tmp_path, own_server.create("UTF8")) as server:
        with Load(server) as load:
            load.wait_for(100)
            own_server.stop(mode)
            check_outage(server, load)
            own_server.start()
            check_recovery(server, load)
        load.check()


def test_the_service_fails_over_to_a_promoted_standby(tmp_path: Path) -> None:
    """With synchronous replication no acknowledged write is lost."""
    with own_postgres() as primary, replicate(primary) as standby:
        url = primary.create("UTF8")
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        with serving(tmp_path, f"postgresql://postgres:@{hosts}{urlsplit(url).path}") as server:
            with Load(server) as load:
                load.wait_for(200)
                primary.stop("immediate")
                time.sleep(1)  # a standby is not promoted at once
                standby.run("pg_ctl", "-D", standby.data, "promote")
                check_recovery(server, load, within=10)
            load.check()
