"""What a second worker adds, where load and database leave room for it: both cores for everybody, one task at a time
out of a SQLite file, for which a worker takes one core and needs no other process. Ends with status 1 below 1.6 times
one worker."""

import os
import resource
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.databases import migrated, sqlite_url

from benchmarks.figures import save
from benchmarks.side_by_side import EVERYBODY, Rival, fill, measured, requests_of

ROUNDS = 5
SECONDS = 4
LEAST = 1.6


def get_cpu_of_load() -> float:
    """Seconds, of all wrks that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    with TemporaryDirectory() as name:
        url = migrated(sqlite_url(Path(name) / "todo.db"))
        fill(url, EVERYBODY)
        todo: list[str | Path] = [Path(sys.executable).with_name("todo"), "serve", "--port", "PORT", "--workers"]
        cores = os.sched_getaffinity(0)
        rivals = [
            Rival(f"todo, {workers} workers", [*todo, str(workers)], url, cores, 18_110 + workers) for workers in (1, 2)
        ]
        rates: list[list[float]] = [[], []]
        cpus: list[list[tuple[float, float]]] = [[], []]
        try:
            for rival in rivals:
                rival.start()
            requests = [requests_of(rival, "get one") for rival in rivals]
            print("| round | one worker, requests/s | two | times |\n| --- | --- | --- | --- |")
            for number in range(1, ROUNDS + 1):
                for rate, cpu, rival, asked in zip(rates, cpus, rivals, requests, strict=True):
                    before = get_cpu_of_load()
                    figures = measured(rival, asked, Path(name) / "requests", 64, SECONDS)
                    rate.append(figures["rate"])
                    cpu.append((figures["cpu"], (get_cpu_of_load() - before) / figures["requests"] * 1e6))
                one, two = (rate[-1] for rate in rates)
                print(f"| {number} | {one:.0f} | {two:.0f} | {two / one:.2f} |", flush=True)
        finally:
            for rival in rivals:
                rival.stop()
    one, two = (statistics.median(rate) for rate in rates)
    times = statistics.median(of_two / of_one for of_one, of_two in zip(*rates, strict=True))
    of_server, of_load = (round(statistics.median(column), 1) for column in zip(*cpus[0], strict=True))
    save("workers", {"server_us": of_server, "load_us": of_load, "one": round(one), "two": round(two), "times": times})
    print(f"\nMedians: {one:.0f}, {two:.0f} and {times:.2f} times.")
    if times < LEAST:
        sys.exit(f"It falls short: {LEAST} times is the least.")


if __name__ == "__main__":
    main()
