"""`kill -9`, again and again, in the middle of writes: what was acknowledged is there once, and nothing twice."""

import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.support.serving import serving, signed

KILLS = int(os.environ.get("SOAK_KILLS", "100"))
WRITERS = 16
BATCH = 10  # operations in each request of every other writer


@pytest.mark.timeout(1800)
def test_no_acknowledged_write_is_lost_or_doubled(tmp_path: Path, empty_database: str) -> None:
    acknowledged: list[str] = []
    tokens = [signed({"sub": f"writer-{number}", "exp": 2**33}) for number in range(WRITERS)]

    def write(address: tuple[str, int], number: int, life: int, is_going: threading.Event) -> None:
        """Until the server is gone."""
        headers = {"Authorization": f"Bearer {tokens[number]}"}
        connection = http.client.HTTPConnection(*address, timeout=20)
        count = 0
        try:
            while True:
                title = f"{life}-{number}-{count}"
                if number % 2:
                    titles, path, status = [title], "/api/tasks", 201
                    body: object = {"title": title}
                else:
                    titles, path, status = [f"{title}.{n}" for n in range(BATCH)], "/api/batch", 200
                    body = {"operations": [{"op": "create", "task": {"title": one}} for one in titles]}
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == status
                acknowledged.extend(titles)
                is_going.set()
                count += 1
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    for life in range(KILLS):
        with serving(tmp_path, empty_database) as server, ThreadPoolExecutor(WRITERS) as pool:
            is_going = threading.Event()
            written = [pool.submit(write, server.address, number, life, is_going) for number in range(WRITERS)]
            assert is_going.wait(timeout=20)
            time.sleep(random.uniform(0, 0.3))
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            for done in written:
                done.result()
    if empty_database.startswith("sqlite"):
        with closing(sqlite3.connect(empty_database.removeprefix("sqlite:///"))) as file:
            kept = Counter(title for (title,) in file.execute("SELECT title FROM tasks"))
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert file.execute("PRAGMA foreign_key_check").fetchall() == []
            revisions = dict(file.execute("SELECT id, revision FROM users"))
            newest = dict(file.execute("SELECT user_id, count(*) FROM tasks GROUP BY user_id"))
    else:
        with psycopg.connect(empty_database) as connection:
            kept = Counter(title for (title,) in connection.execute("SELECT title FROM tasks"))
            revisions = dict(connection.execute("SELECT id, revision FROM users").fetchall())
            newest = dict(connection.execute("SELECT user_id, count(*) FROM tasks GROUP BY user_id").fetchall())
    assert max(kept.values()) == 1
    batches = Counter(title.partition(".")[0] for title in kept if "." in title)
    assert set(batches.values()) == {BATCH}  # each is whole, or not there
    assert set(acknowledged) <= set(kept)
    assert revisions == newest
    print(f"\n{KILLS} kills: {len(acknowledged)} acknowledged, {len(kept)} kept, none lost, none twice")
