"""Servers that read from a standby: people who follow their ETags see all that they have done."""

import asyncio
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.databases import migrated, own_postgres, replicate
from tests.support.histories import run_histories
from tests.support.serving import Server, serving


def run_through_a_promotion(directory: Path, *, people: int, steps: int, lag: str) -> str:
    """Half of the way, the primary goes and the standby takes its place. Returns what happened."""
    with own_postgres() as primary:
        url = migrated(primary.create("UTF8"))
        with replicate(primary, delay=lag) as standby:
            hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
            both = f"postgresql://postgres:@{hosts}{urlsplit(url).path}"
            read_url = standby.url_of(urlsplit(url).path[1:])
            with serving(directory, both, DATABASE_READ_URL=read_url, METRICS="true", ACCESS_LOG="false") as server:
                first = asyncio.run(run_histories(server, people // 2, steps, seed=1))
                reads, misses = count_reads(server)
                assert reads > 0
                assert misses > 0

                def promote() -> None:
                    primary.stop("fast")
                    standby.run("pg_ctl", "-D", standby.data, "-w", "promote")

                promotion = threading.Timer(1, promote)
                promotion.start()
                second = asyncio.run(run_histories(server, people // 2, steps, seed=2))
                promotion.join()
                assert set(first) <= {200, 201, 204, 304}
                assert set(second) <= {200, 201, 204, 304, 404, 503}
    return f"{people} histories: {dict(first + second)}; at half-time {reads} reads by the standby, {misses} not"


def count_reads(server: Server) -> tuple[int, int]:
    """By the standby; and those that it could not answer."""
    metrics = server.anybody.get("/metrics").text
    reads, misses = (
        re.search(rf"^todo_db_standby_{name}_total (\d+)", metrics, re.MULTILINE) for name in ("reads", "misses")
    )
    assert reads is not None
    assert misses is not None
    return int(reads[1]), int(misses[1])


def test_nobody_reads_less_than_they_wrote_on_a_lagging_standby_nor_while_it_is_promoted(tmp_path: Path) -> None:
    run_through_a_promotion(tmp_path, people=100, steps=8, lag="1s")
