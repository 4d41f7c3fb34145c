"""Thousands of event streams on one process."""

import asyncio
import multiprocessing
import socket
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
from tests.support.serving import Server, serving, signed

STREAMS, EACH = 5_000, 5
IDLE_SECONDS = 30  # two heartbeats of each stream
READ_SECONDS = 15
ROUNDS = 3


def request(path: str, user: str) -> bytes:
    token = signed({"sub": user, "exp": 2**33})
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def hold_streams(address: tuple[str, int], test: Connection) -> None:
    """Runs in a process of its own, so that what arrives there doesn't delay the reads that are measured."""

    async def run() -> None:
        streams = []
        for number in range(STREAMS):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request("/api/events", f"listener-{number // EACH}"))
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b": listening\n\n")
            streams.append((reader, writer))
        test.send("open")
        for reader, _ in streams[7 * EACH : 8 * EACH]:
            await reader.readuntil(b"event: changed")
        test.send("rung")
        for reader, writer in streams:
            await reader.read()
            writer.close()
        test.send("ended")

    asyncio.run(run())


def time_reads(server: Server, path: str) -> list[float]:
    """Milliseconds of each of many reads of one task, one after the other."""
    asked, took = request(path, "reader"), []
    with socket.create_connection(server.address) as client, client.makefile("rb") as answer:
        until = time.perf_counter() + READ_SECONDS
        while (began := time.perf_counter()) < until:
            client.sendall(asked)
            assert b" 200 " in answer.readline()
            length = 0
            while (line := answer.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answer.read(length)
            took.append((time.perf_counter() - began) * 1e3)
    return took


def expect(said: str, holder: Connection, seconds: float) -> None:
    assert holder.poll(seconds), f"the streams did not say {said!r}"
    assert holder.recv() == said


@pytest.mark.timeout(600)
def test_thousands_of_streams_cost_little_and_end_at_once(tmp_path: Path, empty_postgres: str) -> None:
    holder, end = multiprocessing.Pipe()
    with serving(tmp_path, empty_postgres) as server:
        process = psutil.Process(server.pid)
        path = f"/api/tasks/{server.person('reader').add()['id']}"
        listener = server.person("listener-7")
        listener.add()
        alone = [time_reads(server, path) for _ in range(ROUNDS)]
        memory = process.memory_info().rss
        streams = multiprocessing.get_context("spawn").Process(target=hold_streams, args=(server.address, end))
        streams.start()
        expect("open", holder, 120)
        each = (process.memory_info().rss - memory) / STREAMS / 1024
        before = process.cpu_times()
        time.sleep(IDLE_SECONDS)
        after = process.cpu_times()
        idle = (after.user + after.system - before.user - before.system) / IDLE_SECONDS
        beside = [time_reads(server, path) for _ in range(ROUNDS)]
        listener.add()
        expect("rung", holder, 5)
        print(f"\n{STREAMS} streams: {each:.1f} KiB each, {idle * 100:.1f} % of a core while nothing happens")
        for name, rounds in (("alone", alone), ("beside them", beside)):
            for percent in (50, 99):
                figures = [f"{statistics.quantiles(took, n=100)[percent - 1]:.2f}" for took in rounds]
                print(f"reads of one task, {name}: p{percent} {', '.join(figures)} ms")
        began = time.monotonic()
        server._process.terminate()
        expect("ended", holder, 10)
        ended = time.monotonic() - began
        print(f"all ended {ended:.2f} s after SIGTERM")
        assert ended < 2  # the clients of this test take their time, too
        assert each < 64
        assert server.wait() == 0
        streams.join()
