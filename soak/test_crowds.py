"""Clients that leave in the middle, and more of them than are served."""

import asyncio
import random
import socket
import struct
import time
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.api.test_observability import metrics
from tests.support.serving import Server, serving, signed

LEAVERS = 10_000
CALLERS = 1_000
AT_ONCE = 100
SECONDS = 15


def memory(server: Server) -> float:
    """MB."""
    return psutil.Process(server.pid).memory_info().rss / 1e6


@pytest.mark.timeout(600)
def test_those_who_leave_in_mid_request_leave_nothing_behind(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres, METRICS="true") as server:
        token = signed({"sub": "who-leaves", "exp": 2**33})
        head = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
        whole = [
            f"GET /api/tasks?limit=5 HTTP/1.1\r\n{head}\r\n",
            f'POST /api/tasks HTTP/1.1\r\n{head}Content-Length: 14\r\n\r\n{{"title": "x"}}',
        ]
        dice = random.Random(1)

        def leave() -> None:
            asked = dice.choice(whole).encode()
            with socket.create_connection(server.address) as client:
                client.sendall(asked[: dice.choice([len(asked), dice.randrange(1, len(asked))])])
                if dice.random() < 0.5:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset

        for _ in range(LEAVERS // 5):
            leave()
        after_some = memory(server)
        for _ in range(LEAVERS - LEAVERS // 5):
            leave()
        time.sleep(3)
        found = metrics(server)
        assert found["todo_db_pool_queue"] == 0
        assert found["todo_db_pool_connections"] == found["todo_db_pool_idle"]
        with psycopg.connect(empty_postgres) as own:
            waiting = own.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND (state <> 'idle' OR wait_event_type = 'Lock')"
            ).fetchone()
        assert waiting == (0,)
        assert memory(server) - after_some < 10
        ann = server.person("who-leaves")
        many = len(ann.tasks())
        ann.add()
        assert len(ann.tasks()) == many + 1
        print(f"\n{LEAVERS} left: {after_some:.0f} MB after a fifth of them, {memory(server):.0f} MB after all")


@pytest.mark.timeout(600)
def test_many_more_than_are_served_are_refused_at_once(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres, MAX_CONCURRENT_REQUESTS=str(AT_ONCE)) as server:
        ann = server.person("ann")
        for _ in range(100):
            ann.add()
        request = f"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode()
        took: dict[bytes, list[float]] = {b"200": [], b"503": []}
        most = 0.0

        async def call(until: float) -> None:
            reader, writer = await asyncio.open_connection(*server.address)
            while time.monotonic() < until:
                began = time.monotonic()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                took[head[9:12]].append(time.monotonic() - began)
                if head[9:12] == b"503":
                    await asyncio.sleep(1)  # as Retry-After asks
            writer.close()

        async def crowd() -> None:
            nonlocal most
            until = time.monotonic() + SECONDS
            calls = asyncio.gather(*(call(until) for _ in range(CALLERS)))
            while not calls.done():
                most = max(most, memory(server))
                await asyncio.sleep(0.2)
            await calls

        asyncio.run(crowd())
        accepted, refused = sorted(took[b"200"]), sorted(took[b"503"])
        slowest = accepted[int(len(accepted) * 0.99)]
        print(
            f"\n{CALLERS} connections, {AT_ONCE} at once: {len(accepted)} accepted, 99th percentile {slowest:.2f} s;"
            f" {len(refused)} refused, the slowest in {refused[-1]:.2f} s; {most:.0f} MB at the most"
        )
        assert slowest < 2
        assert refused[-1] < 1
        assert most < 250
        began = time.monotonic()
        assert len(ann.tasks()) == 100
        assert time.monotonic() - began < 1
