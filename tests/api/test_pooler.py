"""Behind PgBouncer in transaction mode, where each statement may run in another session."""

import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.api.test_events import listening
from tests.support.databases import OwnPostgres, free_port
from tests.support.serving import Person, serving

POOL = 2
CLIENTS = 200
ROUNDS = 5


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """The URL of the same database through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs pgbouncer")
    parts, port = urlsplit(url), free_port()
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)  # its user writes there
        users, settings = Path(name) / "users", Path(name) / "pgbouncer.ini"
        users.write_text('"postgres" ""\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={parts.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
            f"pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 500\n"
        )
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with subprocess.Popen([program, *user, settings], stderr=subprocess.DEVNULL) as process:
            pooled = f"postgresql://postgres:@127.0.0.1:{port}{parts.path}"
            try:
                deadline = time.monotonic() + 10
                while True:
                    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                        break
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                yield pooled
            finally:
                process.terminate()


@pytest.mark.parametrize("prepared", ["", "false"], ids=["detected", "configured"])
def test_many_clients_share_two_sessions_without_errors(tmp_path: Path, own_server: OwnPostgres, prepared: str) -> None:
    url = own_server.create("UTF8")
    with (
        pgbouncer(url) as pooled,
        serving(tmp_path, pooled, DATABASE_PREPARED_STATEMENTS=prepared) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):

        def work(person: Person) -> list[int]:
            statuses = []
            for number in range(ROUNDS):
                added = person.api.post("/api/tasks", json={"title": "x"}, headers={"Idempotency-Key": str(number)})
                one = f"/api/tasks/{added.json()['id']}"
                statuses += [
                    added.status_code,
                    person.api.patch(one, json={"completed": True}).status_code,
                    person.api.get("/api/tasks?limit=3").status_code,
                    person.api.delete(one).status_code if number % 2 else 204,
                ]
            return statuses

        people = [server.person() for _ in range(CLIENTS)]
        statuses_sent = Counter(status for statuses in pool.map(work, people) for status in statuses)
        assert statuses_sent == {201: CLIENTS * ROUNDS, 200: 2 * CLIENTS * ROUNDS, 204: CLIENTS * ROUNDS}
        with psycopg.connect(url) as direct:
            kept = direct.execute("SELECT count(*), count(DISTINCT id) FROM tasks").fetchone()
        assert kept == (CLIENTS * 3, CLIENTS * 3)


def test_events_pass_it_too(tmp_path: Path, own_server: OwnPostgres) -> None:
    with (
        pgbouncer(own_server.create("UTF8")) as pooled,
        serving(tmp_path, pooled) as one,
        serving(tmp_path, pooled) as other,
        listening(one.person("ann")) as listener,
    ):
        for _ in range(3):
            other.person("ann").add()
            assert listener.next() is not None
