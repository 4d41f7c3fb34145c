"""The service beside the plan's own stack, a fast one of Node.js, and the least that Python can do.

On one PostgreSQL, in one run. Rounds are interleaved, in turned order; figures are medians. Each server is one process
on one core; PostgreSQL and the load are on another. Wants wrk, node and two cores. Prints one table in Markdown, and
ends with status 1 if a promise of docs/performance.md does not hold.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psutil
import psycopg
from tests.support.databases import migrated, postgres_database, postgres_server, sqlite_url
from tests.support.serving import SECRET, environment, signed

from benchmarks.figures import save

HERE = Path(__file__).parent
PEOPLE, EACH, MANY = 100, 100, 10_000
SERVER_CORE, LOAD_CORE = {1}, {0}
TOKENS = {f"person-{n}": signed({"sub": f"person-{n}", "exp": 2**33}) for n in range(PEOPLE)}
BIG = "somebody with many"
EVERYBODY = [(f"person-{n}", EACH) for n in range(PEOPLE)] + [(BIG, MANY)]
TOKENS[BIG] = signed({"sub": BIG, "exp": 2**33})

COLUMNS = ("user_id", "id", "title", "search_text", "labels", "completed", "created_at", "updated_at", "revision")

Request = tuple[str, str, str, str, str]
"""Method, path, token, If-None-Match and body."""


@dataclass
class Rival:
    name: str
    command: Sequence[str | Path]
    url: str
    cores: set[int] = field(default_factory=lambda: SERVER_CORE)
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)  # beside those that all have
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("todo")

    def start(self) -> float:
        """Seconds from its start to its first 200."""
        # Nobody writes a line for each request: the others' logs are off, too.
        settings = {"DATABASE_URL": self.url, "BETTER_AUTH_SECRET": SECRET, "PORT": str(self.port)}
        settings["ACCESS_LOG"] = "false"
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [part if part != "PORT" else str(self.port) for part in self.command],
            env=environment(**settings, **self.settings),
            stdout=subprocess.DEVNULL,
            cwd=HERE.parent,
        )
        os.sched_setaffinity(self.process.pid, self.cores)
        while True:
            try:
                if self.ask("GET", "/api/tasks?limit=1", TOKENS["person-0"])[0] == 200:
                    return time.perf_counter() - began
            except OSError:
                assert self.process.poll() is None, f"{self.name} does not start"
            time.sleep(0.003)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def ask(self, method: str, path: str, token: str) -> tuple[int, bytes, Mapping[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of all its processes."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(one.user + one.system for one in times)

    def memory(self) -> float:
        """MiB."""
        return sum(process.memory_info().rss for process in self.processes()) / 2**20


def fill(url: str, people: Sequence[tuple[str, int]], *, is_ours: bool = True) -> None:
    """The tasks of people (names, and how many), past the servers."""
    began = datetime.now(UTC) - timedelta(days=30)
    rows = [
        (uuid4(), who, f"Task number {n}: write the weekly report", began + timedelta(seconds=n), n + 1)
        for who, many in people
        for n in range(many)
    ]
    if url.startswith("sqlite"):
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            file.executemany(
                "INSERT INTO users (id, epoch, revision) VALUES (?, ?, ?)",
                [(who, uuid4().hex, many) for who, many in people],
            )
            file.executemany(
                f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        who,
                        key.hex,
                        title,
                        title.casefold(),
                        "[]",
                        False,
                        *[at.replace(tzinfo=None).isoformat(" ")] * 2,
                        number,
                    )
                    for key, who, title, at, number in rows
                ],
            )
        return
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        if is_ours:
            cursor.executemany(
                "INSERT INTO users (id, epoch, revision) VALUES (%s, %s, %s)",
                [(who, uuid4(), many) for who, many in people],
            )
        else:
            cursor.execute((HERE / "peers" / "schema.sql").read_bytes())
        with cursor.copy(
            f"COPY tasks ({', '.join(COLUMNS)}) FROM STDIN" if is_ours else "COPY tasks FROM STDIN"
        ) as copy:
            for key, who, title, at, number in rows:
                if is_ours:
                    copy.write_row((who, key, title, title.casefold(), [], False, at, at, number))
                else:
                    copy.write_row((key, who, title, False, at, at, number))
        cursor.execute("VACUUM ANALYZE")


def requests_of(rival: Rival, scenario: str) -> list[Request]:
    if scenario == "create":
        body = '{"title": "Task number 7: write the weekly report"}'
        return [("POST", "/api/tasks", token, "", body) for who, token in TOKENS.items() if who != BIG]
    if scenario == "list of 10,000":
        return [("GET", "/api/tasks", TOKENS[BIG], "", "")]
    if scenario == "list of 10,000, unchanged":
        tag = rival.ask("GET", "/api/tasks", TOKENS[BIG])[2]["etag"]
        return [("GET", "/api/tasks", TOKENS[BIG], tag, "")]
    if scenario == "list of 100":
        return [("GET", "/api/tasks?limit=100", token, "", "") for who, token in TOKENS.items() if who != BIG]
    ids = [
        (token, task["id"])
        for who, token in TOKENS.items()
        if who != BIG
        for task in json.loads(rival.ask("GET", "/api/tasks?limit=100", token)[1])
    ]
    if scenario == "patch":
        few = random.Random(1).sample(ids, 1000)
        return [
            ("PATCH", f"/api/tasks/{key}", token, "", f'{{"completed": {completed}}}')
            for completed in ("true", "false")
            for token, key in few
        ]
    return [("GET", f"/api/tasks/{key}", token, "", "") for token, key in ids]


Figures = dict[str, float]


def run_wrk(port: int, requests: list[Request], file: Path, connections: int, seconds: float) -> Figures:
    """What it says at its end: see replay.lua. The file is for the requests."""
    file.write_text("".join("\t".join(request) + "\n" for request in requests))
    run = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", HERE / "replay.lua"),
            *(f"http://127.0.0.1:{port}", "--", file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(f"wrk: {run.stderr}{run.stdout}")
    said: Figures = json.loads(run.stdout.splitlines()[-1])
    return said


def measured(rival: Rival, requests: list[Request], file: Path, connections: int, seconds: float) -> Figures:
    before = rival.cpu()
    said = run_wrk(rival.port, requests, file, connections, seconds)
    while True:  # until it has worked off what the load left behind
        cpu = rival.cpu()
        time.sleep(0.2)
        if rival.cpu() - cpu < 0.01:
            break
    assert not said["failed"], f"{rival.name}: {said['failed']} bad answers"
    return {**said, "rate": said["requests"] / said["seconds"], "cpu": (cpu - before) / said["requests"] * 1e6}


SCENARIOS = {
    "get one": 64,
    "list of 100": 64,
    "create": 64,
    "patch": 64,
    "list of 10,000": 2,
    "list of 10,000, unchanged": 64,
    "get one, one connection": 1,
}
"""And over how many connections."""

PROMISES = [
    # theirs over ours, of this figure, at least
    ("plan", "get one", "cpu", 7),
    ("plan", "list of 100", "cpu", 10),
    ("plan", "create", "cpu", 9),
    ("plan", "patch", "cpu", 9),
    ("plan", "list of 10,000", "cpu", 12),
    ("plan", "get one, one connection", "p50", 4),
    ("Fastify", "get one", "cpu", 1),
    ("Fastify", "create", "cpu", 1),
    ("Fastify", "patch", "cpu", 1),
    ("floor", "get one", "cpu", 0.5),
    ("floor", "list of 100", "cpu", 0.7),
    ("floor", "create", "cpu", 0.55),
    ("floor", "patch", "cpu", 0.6),
    ("floor", "list of 10,000", "cpu", 0.7),
]


@contextmanager
def rivals(directory: Path) -> Iterator[list[Rival]]:
    python = Path(sys.executable)
    todo: list[str | Path] = [python.with_name("todo"), "serve", "--port", "PORT"]
    with postgres_server(directory) as postgres, ExitStack() as stack:
        databases = [stack.enter_context(postgres_database(postgres)) for _ in range(4)]
        file = sqlite_url(directory / "todo.db")
        for url in (databases[0], file):
            migrated(url)
            fill(url, EVERYBODY)
        for url in databases[1:]:
            fill(url, EVERYBODY, is_ours=False)
        taking_part = [
            Rival("todo", todo, databases[0]),
            Rival("floor", [python, "-m", "benchmarks.peers.floor"], databases[1]),
            Rival("plan", [HERE / ".venv/bin/python", HERE / "peers" / "plan.py"], databases[2]),
            Rival("Fastify", ["node", HERE / "peers" / "fastify.mjs"], databases[3]),
            Rival("todo on SQLite", todo, file),
        ]
        for number, rival in enumerate(taking_part):
            rival.port = 18_100 + number
        try:
            yield taking_part
        finally:
            for rival in taking_part:
                rival.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    os.sched_setaffinity(0, LOAD_CORE)
    found: dict[tuple[str, str], Figures] = {}
    with TemporaryDirectory() as name, rivals(Path(name)) as taking_part:
        print(f"{options.rounds} rounds of {options.seconds:g} s, medians. CPU is the server's, of a request.\n")
        print("| | cold start, s | idle, MiB |\n| --- | --- | --- |")
        for rival in taking_part:
            starts = []
            for _ in range(3):
                rival.stop()
                starts.append(rival.start())
            time.sleep(0.3)
            print(f"| {rival.name} | {statistics.median(starts):.2f} | {rival.memory():.0f} |", flush=True)
        print("\n| | | requests/s | CPU, µs | p50, ms | p99, ms |\n| --- | --- | --- | --- | --- | --- |")
        for scenario, connections in SCENARIOS.items():
            able = [rival for rival in taking_part if rival.is_ours or scenario != "list of 10,000, unchanged"]
            rounds: dict[str, list[Figures]] = {rival.name: [] for rival in able}
            requests = {rival.name: requests_of(rival, scenario) for rival in able}
            for number in range(options.rounds):
                for rival in able[:: -1 if number % 2 else 1]:
                    figures = measured(
                        rival, requests[rival.name], Path(name) / "requests", connections, options.seconds
                    )
                    rounds[rival.name].append(figures)
            for rival in able:
                middle = {
                    figure: statistics.median(one[figure] for one in rounds[rival.name])
                    for figure in ("rate", "cpu", "p50", "p99")
                }
                found[scenario, rival.name] = middle
                print(
                    f"| {scenario} | {rival.name} | {middle['rate']:.0f} | {middle['cpu']:.0f}"
                    f" | {middle['p50']:.2f} | {middle['p99']:.2f} |",
                    flush=True,
                )
    cpu: dict[str, dict[str, float]] = {}
    for (scenario, rival_name), figures in found.items():
        cpu.setdefault(scenario, {})[rival_name] = round(figures["cpu"], 1)
    save("side_by_side", cpu)
    sys.exit(judged(found))


def judged(found: Mapping[tuple[str, str], Figures]) -> int:
    print("\n| | against | promised | found |\n| --- | --- | --- | --- |")
    ratios = [
        (scenario, other, figure, least, found[scenario, other][figure] / found[scenario, "todo"][figure])
        for other, scenario, figure, least in PROMISES
    ]
    unchanged = found["get one", "floor"]["cpu"] / found["list of 10,000, unchanged", "todo"]["cpu"]
    ratios.append(("list of 10,000, unchanged", "the floor's get one", "cpu", 0.5, unchanged))
    for scenario, least in (("get one", 0.6), ("list of 100", 0.6), ("create", 0.4)):
        of_postgresql = found[scenario, "todo on SQLite"]["rate"] / found[scenario, "todo"]["rate"]
        ratios.append((scenario, "SQLite over PostgreSQL", "requests/s", least, of_postgresql))
    for scenario, other, figure, least, ratio in ratios:
        falls_short = "" if ratio >= least else ", falls short"
        print(f"| {scenario} ({figure}) | {other} | {least} | {ratio:.2f}{falls_short} |")
    return any(ratio < least for *_, least, ratio in ratios)


if __name__ == "__main__":
    main()
