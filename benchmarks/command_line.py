"""How soon `todo list` answers: with ten thousand tasks, on a file and before a server; and its start, by itself."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.builders import a_task, later
from tests.support.databases import insert_many, migrated, sqlite_url
from tests.support.serving import TODO, environment, serving, signed

from todo.domain.task import UserId

TASKS = 10_000
ROUNDS = 7

# Prints to standard error the seconds from the last import to the first line, and the most memory in MiB.
LISTING = """
import resource, sys, time
import todo.adapters.remote.store, todo.adapters.sql.store, todo.composition
from todo.entrypoints.cli import program, tasks

began, print_line, first = time.perf_counter(), tasks.print_line, []

def timed(text, **options):
    print_line(text, **options)
    if not first:
        sys.stdout.flush()
        first.append(time.perf_counter() - began)

tasks.print_line = timed
sys.argv = ["todo", "list"]
try:
    program.main()
finally:
    print(first[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
"""


def took(*command: str | Path, **settings: str) -> float:
    """Milliseconds, the median of some runs."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, env=environment(**settings), stdout=subprocess.DEVNULL, check=True)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def listed(**settings: str) -> tuple[float, float]:
    """Milliseconds to the first line, and MiB; medians."""
    runs = []
    for _ in range(ROUNDS):
        run = subprocess.run(
            [sys.executable, "-c", LISTING],
            env=environment(**settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
        runs.append([float(figure) for figure in run.stderr.split()])
    first, memory = (statistics.median(figures) for figures in zip(*runs, strict=True))
    return 1000 * first, memory


def main() -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        url = migrated(sqlite_url(directory / "todo.db"))
        insert_many(url, [a_task(UserId("ann"), f"Task {n}", at=later(n)) for n in range(TASKS)])
        empty = migrated(sqlite_url(directory / "empty.db"))
        local = {"DATABASE_URL": url, "TODO_USER": "ann"}
        print(f"`todo list` of {TASKS} tasks\n")
        print("| on | first line after the last import, ms | memory, MiB |\n| --- | --- | --- |")
        with serving(directory, url) as server:
            remote = {"TODO_SERVER": server.url, "TODO_TOKEN": signed({"sub": "ann"})}
            figures = {"a file": listed(**local), "a server": listed(**remote)}
        for place, (first, memory) in figures.items():
            print(f"| {place} | {first:.0f} | {memory:.0f} |")
        print("\n| start | ms |\n| --- | --- |")
        print(f"| `python -c pass` | {took(sys.executable, '-c', 'pass'):.0f} |")
        print(f"| `python -c 'import sqlalchemy'` | {took(sys.executable, '-c', 'import sqlalchemy'):.0f} |")
        print(f"| `todo --help` | {took(TODO, '--help'):.0f} |")
        print(f"| `todo list` on a file | {took(TODO, 'list', DATABASE_URL=empty, TODO_USER='ann'):.0f} |")
        if any(first > 500 or memory > 150 for first, memory in figures.values()):
            sys.exit("It falls short: half a second and 150 MiB are the most.")


if __name__ == "__main__":
    main()
