"""What one request of each kind costs, for model.py: CPU time of the service and of PostgreSQL, time on a connection,
bytes in the tables, and what a look at the revision of one who listens costs PostgreSQL. Wants wrk and two cores."""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
from tests.support.databases import migrated, postgres_database, postgres_server
from tests.support.serving import TODO

from benchmarks.batches import read_cpu
from benchmarks.figures import save
from benchmarks.side_by_side import EACH, EVERYBODY, LOAD_CORE, Request, Rival, fill, measured, requests_of
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.task import UserId

ROUNDS = 3
SECONDS = 3
LISTENERS = 1000
KINDS = {"get": "get one", "page": "list of 100", "unchanged": "page, unchanged", "create": "create", "patch": "patch"}


def make_requests(rival: Rival, scenario: str) -> list[Request]:
    if scenario != "page, unchanged":
        return requests_of(rival, scenario)
    return [
        (method, path, token, rival.ask(method, path, token)[2]["etag"], body)
        for method, path, token, _, body in requests_of(rival, "list of 100")
    ]


def sum_cpu(processes: Sequence[psutil.Process]) -> float:
    """Microseconds."""
    return sum(read_cpu(process.pid) for process in processes) / 1e3


def find_postgres(url: str) -> list[psutil.Process]:
    with psycopg.connect(url) as connection:
        [pid] = connection.execute("SELECT pg_backend_pid()").fetchone() or ()
        postmaster = psutil.Process(pid).parent()
        assert postmaster is not None
        return [postmaster, *(process for process in postmaster.children() if process.pid != pid)]


def measure_request(rival: Rival, scenario: str, file: Path) -> dict[str, float]:
    requests = make_requests(rival, scenario)
    measured(rival, requests, file, 64, 1)  # opens the connections
    rounds = []
    for _ in range(ROUNDS):
        postgres = find_postgres(rival.url)
        before, ours = sum_cpu(postgres), sum_cpu(rival.processes())
        said = measured(rival, requests, file, 64, SECONDS)
        spent, own = sum_cpu(postgres) - before, sum_cpu(rival.processes()) - ours
        rounds.append((own / said["requests"], spent / said["requests"]))
    service, database = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {"service_us": round(service, 1), "postgres_us": round(database, 1)}


async def time_statements(url: str) -> dict[str, float]:
    """Microseconds on one connection without other load, and of a look for the revision of one listener."""
    database = PostgresqlDatabase(url, 1)
    store, owner = SqlTaskStore(database), UserId("person-0")
    listeners = [UserId(f"person-{n % EACH}") if n < EACH else UserId(f"nobody-{n}") for n in range(LISTENERS)]
    took: dict[str, list[float]] = {"read_us": [], "look_us": []}
    for _ in range(300):
        began = time.perf_counter()
        await store.version(owner)
        between = time.perf_counter()
        await store.versions(listeners)
        took["read_us"].append(between - began)
        took["look_us"].append((time.perf_counter() - between) / LISTENERS)
    await database.close()
    return {name: round(statistics.median(times) * 1e6, 2) for name, times in took.items()}


def main() -> None:
    os.sched_setaffinity(0, LOAD_CORE)
    with TemporaryDirectory() as name, postgres_server(Path(name)) as postgres, postgres_database(postgres) as url:
        fill(migrated(url), EVERYBODY)
        with psycopg.connect(url) as connection:
            [bytes_of_a_task] = (
                connection.execute("SELECT pg_total_relation_size('tasks')::float / count(*) FROM tasks").fetchone()
                or ()
            )
        rival = Rival("todo", [TODO, "serve", "--port", "PORT"], url, port=18_300)
        rival.start()
        try:
            requests = {
                kind: measure_request(rival, scenario, Path(name) / "requests") for kind, scenario in KINDS.items()
            }
        finally:
            rival.stop()
        statements = asyncio.run(time_statements(url))
    figures = {"requests": requests, "statements": statements, "task_bytes": round(bytes_of_a_task)}
    save("costs", figures)
    print("| | service, µs | PostgreSQL, µs |\n| --- | --- | --- |")
    for kind, one in requests.items():
        print(f"| {kind} | {one['service_us']:.0f} | {one['postgres_us']:.0f} |")
    print(f"\n{figures['statements']}, {bytes_of_a_task:.0f} bytes a task")


if __name__ == "__main__":
    main()
