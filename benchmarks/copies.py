"""One to four copies of the service behind nginx, on a PostgreSQL with two partitions.

Two cores can't show what four copies on machines of their own do. So each copy gets a small share of a core, by a
control group, and the rest is for nginx, PostgreSQL and the load: what a copy adds shows as on a machine of its own, as
long as nothing else is full. Then all four are restarted one by one under load. Wants wrk, nginx and root. Ends with
status 1 if four copies answer less than 3.2 times as many requests as one, if one of them answers over a fifth more
than another, or if a request fails.
"""

import http.client
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.databases import migrated, postgres_database, postgres_server
from tests.support.reverse_proxies import run_nginx
from tests.support.serving import TODO

from benchmarks.figures import save
from benchmarks.side_by_side import EVERYBODY, Rival, fill, measured, requests_of, run_wrk

COPIES = 4
SHARE = 0.12  # of a core, for each copy
ROUNDS = 3
SECONDS = 4
SCENARIOS = ("get one", "create")
LEAST_TIMES = 3.2
MOST_UNFAIR = 1.2
PORT, NGINX_PORT = 18_200, 18_220


class Copy(Rival):
    def start(self) -> float:
        took = super().start()
        assert self.process is not None
        limit(self.process.pid, SHARE)
        return took

    def count_requests(self) -> float:
        """That it has answered since its start."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        counts = re.findall(r'^todo_http_requests_total\{.*route="/api.* (\S+)$', text, re.MULTILINE)
        return sum(map(float, counts))


def limit(pid: int, share: float) -> None:
    """In periods of 10 ms, so that a copy that has used up its share is back soon."""
    group = Path(f"/sys/fs/cgroup/cpu/todo-{pid}")
    group.mkdir()
    (group / "cpu.cfs_period_us").write_text("10000")
    (group / "cpu.cfs_quota_us").write_text(str(int(share * 10_000)))
    (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def fronts(directory: Path, copies: Sequence[Copy]) -> Iterator[None]:
    """nginx, with a port for each number of copies; the settings are those of docs/deploy.md."""
    sites = ""
    for number in range(1, len(copies) + 1):
        servers = "".join(f"server 127.0.0.1:{copy.port} max_fails=0;" for copy in copies[:number])
        sites += (
            f"upstream todo{number} {{ {servers} keepalive 32; keepalive_timeout 60s; }}"
            f" server {{ listen 127.0.0.1:{NGINX_PORT + number}; location / {{ proxy_pass http://todo{number};"
            ' proxy_http_version 1.1; proxy_set_header Connection ""; } }'
        )
    with run_nginx(directory, NGINX_PORT + 1, f"keepalive_requests 1000000; {sites}"):
        yield


def measure_copies(fronts: Sequence[Rival], copies: Sequence[Copy], file: Path) -> Mapping[str, Sequence[float]]:
    """Of each scenario, the requests per second by the number of copies. Prints a table."""
    found = {}
    print("| | " + " | ".join(f"{n} copies" if n > 1 else "one copy" for n in range(1, COPIES + 1)) + " | times |")
    print("| --- |" + " --- |" * (COPIES + 1))
    for scenario in SCENARIOS:
        requests = requests_of(copies[0], scenario)
        rounds: list[list[float]] = [[] for _ in fronts]
        for _ in range(ROUNDS):
            for front, rates in zip(fronts, rounds, strict=True):
                rates.append(measured(front, requests, file, 64, SECONDS)["rate"])
        found[scenario] = [statistics.median(rates) for rates in rounds]
        cells = " | ".join(f"{rate:.0f}" for rate in found[scenario])
        print(f"| {scenario}, requests/s | {cells} | {found[scenario][-1] / found[scenario][0]:.2f} |", flush=True)
    return found


def measure_fairness(front: Rival, copies: Sequence[Copy], file: Path) -> float:
    """How many times as many requests the busiest copy answers as the idlest."""
    before = [copy.count_requests() for copy in copies]
    measured(front, requests_of(copies[0], "get one"), file, 64, SECONDS)
    answered = [copy.count_requests() - one for copy, one in zip(copies, before, strict=True)]
    return max(answered) / min(answered)


def restart_under_load(front: Rival, copies: Sequence[Copy], file: Path) -> tuple[int, int]:
    """The requests that were answered while each copy was restarted, and those that failed."""
    requests = requests_of(copies[0], "get one")[:500] + requests_of(copies[0], "create")
    ended = threading.Event()
    answered = failed = 0

    def send() -> None:
        nonlocal answered, failed
        while not ended.is_set():
            said = run_wrk(front.port, requests, file, 16, 2)
            answered += int(said["requests"])
            failed += int(said["failed"])

    load = threading.Thread(target=send)
    load.start()
    for copy in copies:
        time.sleep(1)
        copy.stop()
        copy.start()
    ended.set()
    load.join()
    return answered, failed


def main() -> None:
    with TemporaryDirectory() as name, postgres_server(Path(name)) as postgres, postgres_database(postgres) as url:
        fill(migrated(url, partitions=2), EVERYBODY)
        file = Path(name) / "requests"
        everywhere = os.sched_getaffinity(0)
        copies = [
            Copy(f"todo {n}", [TODO, "serve", "--port", "PORT"], url, everywhere, PORT + n, {"METRICS": "true"})
            for n in range(COPIES)
        ]
        try:
            for copy in copies:
                copy.start()
            with fronts(Path(name), copies):
                asked = [Rival("nginx", [], url, everywhere, NGINX_PORT + n) for n in range(1, COPIES + 1)]
                for front in asked:
                    front.process = copies[0].process  # whose CPU time is not of interest here
                rates = measure_copies(asked, copies, file)
                unfair = measure_fairness(asked[-1], copies, file)
                print(f"\nThe busiest of four copies answers {unfair:.2f} times as many as the idlest.")
                answered, failed = restart_under_load(asked[-1], copies, file)
                print(f"While all four were restarted one by one: {answered} answered, {failed} failed.")
        finally:
            for copy in copies:
                copy.stop()
            for group in Path("/sys/fs/cgroup/cpu").glob("todo-*"):
                with suppress(OSError):
                    group.rmdir()
    save("copies", {"share": SHARE, "requests_per_second": rates})
    times = {scenario: of_each[-1] / of_each[0] for scenario, of_each in rates.items()}
    if min(times.values()) < LEAST_TIMES or unfair > MOST_UNFAIR or failed:
        sys.exit(f"It falls short: {LEAST_TIMES} times is the least, {MOST_UNFAIR} the most unfair, and none may fail.")


if __name__ == "__main__":
    main()
