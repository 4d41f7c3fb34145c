"""Thousands of event streams on one process."""

import asyncio
import statistics
import time
from pathlib import Path

import psutil
import pytest
from tests.support.serving import Server, serving, signed

STREAMS, EACH = 5_000, 5
IDLE_SECONDS = 10
READS = 3_000


def request(path: str, user: str, connection: str = "keep-alive") -> bytes:
    token = signed({"sub": user, "exp": 2**33})
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()


async def open_streams(server: Server) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    streams = []
    for number in range(STREAMS):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(request("/api/events", f"listener-{number // EACH}"))
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b": listening\n\n")
        streams.append((reader, writer))
    return streams


async def read_one(server: Server, path: str) -> list[float]:
    """Seconds of each of many reads of one task, one after the other."""
    reader, writer = await asyncio.open_connection(*server.address)
    asked, took = request(path, "reader"), []
    for _ in range(READS):
        began = time.perf_counter()
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(length.split(b":")[1]))
        took.append(time.perf_counter() - began)
    writer.close()
    return took


def percentile(took: list[float], percent: int) -> float:
    return statistics.quantiles(took, n=100)[percent - 1]


@pytest.mark.timeout(600)
def test_thousands_of_streams_cost_little_and_end_at_once(tmp_path: Path, empty_postgres: str) -> None:
    with serving(tmp_path, empty_postgres) as server:
        process = psutil.Process(server.pid)
        reader = server.person("reader")
        path = f"/api/tasks/{reader.add()['id']}"
        listener = server.person("listener-7")
        listener.add()

        async def run() -> None:
            alone = await read_one(server, path)
            memory = process.memory_info().rss
            streams = await open_streams(server)
            each = (process.memory_info().rss - memory) / STREAMS / 1024
            before = process.cpu_times()
            await asyncio.sleep(IDLE_SECONDS)
            after = process.cpu_times()
            idle = (after.user + after.system - before.user - before.system) / IDLE_SECONDS
            beside = await read_one(server, path)
            await asyncio.to_thread(listener.add)
            for number in range(7 * EACH, 8 * EACH):
                await asyncio.wait_for(streams[number][0].readuntil(b"event: changed"), 5)
            p50 = [f"{statistics.median(took) * 1e3:.2f}" for took in (alone, beside)]
            p99 = [f"{percentile(took, 99) * 1e3:.2f}" for took in (alone, beside)]
            print(f"\n{STREAMS} streams: {each:.1f} KiB each, {idle * 100:.1f} % of a core while nothing happens")
            print(f"reads of one task, ms, alone and beside them: p50 {' and '.join(p50)}, p99 {' and '.join(p99)}")
            began = time.monotonic()
            server._process.terminate()
            for reader_, writer in streams:
                await asyncio.wait_for(reader_.read(), 10)
                writer.close()
            ended = time.monotonic() - began
            print(f"all ended {ended:.2f} s after SIGTERM")
            assert ended < 2  # the clients of this test take their time, too
            assert each < 64

        asyncio.run(run())
        assert server.wait() == 0
