"""What a thousand tokens with made-up keys cost: the issuer in fetches, and people with good tokens in time.

Rounds of ten seconds with and without them alternate on one server. A good token asks a hundred times a second.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.databases import sqlite_url
from tests.support.issuer import Issuer, breakable_issuer
from tests.support.serving import serving

ROUNDS = 5
SECONDS = 10
MADE_UP = 1000

Address = tuple[str, int]


class Caller:
    """One connection, kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, token: str) -> int:
        """The status of the answer."""
        self._writer.write(
            f"GET /api/tasks?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        return int(head.split()[1])


async def flood(address: Address, tokens: Sequence[str]) -> None:
    """Evenly over the time, whatever becomes of them."""

    async def ask(number: int, token: str) -> int:
        await asyncio.sleep(number * SECONDS / len(tokens))
        reader, writer = await asyncio.open_connection(*address)
        try:
            return await Caller(reader, writer).ask(token)
        finally:
            writer.close()

    statuses = await asyncio.gather(*(ask(number, token) for number, token in enumerate(tokens)))
    assert set(statuses) <= {401}


def flood_from_a_process_of_its_own(address: Address, tokens: Sequence[str]) -> None:
    asyncio.run(flood(address, tokens))


async def measured(address: Address, tokens: Sequence[str]) -> list[float]:
    """Seconds that each answer to a good token took; the tokens take turns."""
    reader, writer = await asyncio.open_connection(*address)
    caller = Caller(reader, writer)
    took = []
    began = time.perf_counter()
    for number in range(SECONDS * 100):
        await asyncio.sleep(max(0, began + number / 100 - time.perf_counter()))
        asked = time.perf_counter()
        status = await caller.ask(tokens[number % len(tokens)])
        assert status == 200, status
        took.append(time.perf_counter() - asked)
    writer.close()
    return took


def compare(issuer: Issuer, address: Address, floods: Pool) -> None:
    good = [issuer.token(sub=f"person-{number}") for number in range(20)]
    floods.apply(flood_from_a_process_of_its_own, (address, []))
    asyncio.run(measured(address, good))  # both to warm up
    quiet, flooded, fetches = [], [], []
    print("99th percentile of a good token's answer, ms\n")
    print("| round | quiet | flooded | fetches |\n| --- | --- | --- | --- |")
    for number in range(1, ROUNDS + 1):
        quiet.append(percentile(asyncio.run(measured(address, good))))
        tokens = [made_up(issuer, f"{number}-{kid}") for kid in range(MADE_UP)]
        before = len(issuer.requests)
        flooding = floods.apply_async(flood_from_a_process_of_its_own, (address, tokens))
        flooded.append(percentile(asyncio.run(measured(address, good))))
        fetches.append(len(issuer.requests) - before)
        flooding.get(60)
        print(f"| {number} | {quiet[-1]:.2f} | {flooded[-1]:.2f} | {fetches[-1]} |", flush=True)
    ratio = statistics.median(flooded) / statistics.median(quiet)
    print(f"\nMedians: {statistics.median(quiet):.2f} and {statistics.median(flooded):.2f}, {ratio:.2f} times.")
    if ratio > 2 or max(fetches) > 3:
        sys.exit("It falls short: twice, and 3 fetches, are the most.")


def made_up(issuer: Issuer, kid: str) -> str:
    """A good token, but for the name of its key."""
    return issuer.keys[0].sign(issuer.claims(), kid=kid)


def percentile(took: Sequence[float]) -> float:
    """The 99th, in milliseconds."""
    return 1000 * statistics.quantiles(took, n=100)[98]


def main() -> None:
    with TemporaryDirectory() as name, breakable_issuer() as issuer:
        directory = Path(name)
        url = sqlite_url(directory / "todo.db")
        with (
            serving(directory, url, BETTER_AUTH_URL=issuer.url) as server,
            multiprocessing.get_context("spawn").Pool(1) as floods,
        ):
            compare(issuer, server.address, floods)


if __name__ == "__main__":
    main()
