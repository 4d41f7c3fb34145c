"""What ten million people need, calculated from what requests were measured to cost (docs/figures).

It simulates queues: for cores, for workers, for connections to the database. To say how far to believe it, it first
predicts how much faster two workers are than one, beside what was measured. Prints Markdown.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from math import ceil

from benchmarks.figures import load, save

PEOPLE = 10_000_000
ACTIVE = 0.2  # of all people on a day
REQUESTS = {"unchanged": 60, "page": 15, "get": 5, "create": 5, "patch": 10}  # of an active person on a day
PEAK = 3  # times as many requests in the busiest hour as on average
LISTENING = 0.25  # of the day's active people in the busiest hour, with one stream each
TASKS = 200  # of each person, removed ones included
OF_INDEXES_AND_GAPS = 1.3  # PostgreSQL's tables and indexes grow by that once rows have been updated many times
UTILISATION = 0.6  # of each core in the busiest hour
PARTITION = 10_000_000  # rows of a partition: what was measured to cost no more than few
STREAM_BYTES, STREAM_CPU_US = 19 * 1024, 11  # of memory; and of a second: soak/test_streams.py


class Resource:
    """So many can hold it at once; others queue, first come, first served."""

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self.queue: deque[Callable[[], None]] = deque()


Step = tuple[Sequence[Resource], float]
"""What has to be held, taken in this order, and for how many seconds."""


class Simulation:
    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, time: float, act: Callable[[], None]) -> None:
        heappush(self._events, (time, next(self._numbers), act))

    def run(self, steps: Iterator[Step], done: Callable[[], None]) -> None:
        """One step after the other, each once it holds all that it needs."""
        step = next(steps, None)
        if step is None:
            done()
            return
        resources, seconds = step

        def take(place: int) -> None:
            if place == len(resources):
                self.at(self.now + seconds, release)
            elif resources[place].free:
                resources[place].free -= 1
                take(place + 1)
            else:
                resources[place].queue.append(lambda: take(place + 1))

        def release() -> None:
            for resource in resources:
                if resource.queue:
                    self.at(self.now, resource.queue.popleft())
                else:
                    resource.free += 1
            self.run(steps, done)

        take(0)

    def advance(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heappop(self._events)
            act()


def predict_rate(workers: int, server_us: float, load_us: float, *, cores: int = 2, connections: int = 64) -> float:
    """Requests per second of a load that sends the next request of a connection when it has the answer to the last."""
    simulation, dice, answered = Simulation(), random.Random(1), 0
    core, load_thread, threads = Resource(cores), Resource(1), [Resource(1) for _ in range(workers)]

    def start(thread: Resource) -> None:
        def repeat() -> None:
            nonlocal answered
            answered += 1
            start(thread)

        work = dice.gammavariate(4, server_us / 4e6)  # some take half or twice as long
        simulation.run(iter([([load_thread, core], load_us / 1e6), ([thread, core], work)]), repeat)

    for number in range(connections):
        start(threads[number % workers])
    simulation.advance(2)
    return answered / 2


def simulate_worker(rate: float, service_us: float, database_us: float, pool: int) -> tuple[float, float]:
    """The 99th percentiles of a request, and of its wait for a connection, in milliseconds. Requests come at random."""
    simulation, dice = Simulation(), random.Random(1)
    thread, connections = Resource(1), Resource(pool)
    took: list[float] = []
    waits: list[float] = []

    def come() -> None:
        began = simulation.now

        def steps() -> Iterator[Step]:
            work = dice.gammavariate(4, service_us / 4e6)
            yield [thread], work / 2
            asked = simulation.now
            statement = dice.gammavariate(2, database_us / 2e6)
            yield [connections], statement
            waits.append(max(simulation.now - asked - statement, 0))
            yield [thread], work / 2

        simulation.run(steps(), lambda: took.append(simulation.now - began))
        simulation.at(simulation.now + dice.expovariate(rate), come)

    simulation.at(0, come)
    simulation.advance(30)
    took.sort()
    waits.sort()
    return took[len(took) * 99 // 100] * 1e3, waits[len(waits) * 99 // 100] * 1e3


def find_pool(rate: float, service_us: float, database_us: float) -> int:
    """The fewest connections for which one request in a hundred waits for one for over a millisecond."""
    return next(pool for pool in count(1) if simulate_worker(rate, service_us, database_us, pool)[1] <= 1)


def main() -> None:
    costs, workers = load("costs"), load("workers")
    one, two = (predict_rate(n, workers["server_us"], workers["load_us"]) for n in (1, 2))
    print("| | one worker, requests/s | two | times |\n| --- | --- | --- | --- |")
    print(f"| predicted | {one:.0f} | {two:.0f} | {two / one:.2f} |")
    print(f"| measured | {workers['one']} | {workers['two']} | {workers['times']:.2f} |\n")

    rates = {kind: PEOPLE * ACTIVE * number / 86_400 * PEAK for kind, number in REQUESTS.items()}
    rate = sum(rates.values())
    service = sum(rates[kind] * costs["requests"][kind]["service_us"] for kind in rates) / 1e6
    database = sum(rates[kind] * costs["requests"][kind]["postgres_us"] for kind in rates) / 1e6
    streams = PEOPLE * ACTIVE * LISTENING
    listening, looking = streams * STREAM_CPU_US / 1e6, streams * costs["statements"]["look_us"] / 1e6
    copies = ceil((service + listening) / UTILISATION)
    of_each, mean_us = rate / copies, service / rate * 1e6
    statement_us = costs["statements"]["read_us"] + database / rate * 1e6 / (1 - UTILISATION)
    pool = find_pool(of_each, mean_us, statement_us)
    slowest, _ = simulate_worker(of_each, mean_us, statement_us, pool)
    rows = PEOPLE * TASKS
    needs = {
        "requests per second in the busiest hour": f"{rate:,.0f}",
        "cores of the service": f"{copies:,}, each with one worker ({service:.0f} busy with requests, "
        f"{listening:.0f} with streams)",
        "99th percentile of a request in a worker": f"{slowest:.1f} ms",
        "cores of PostgreSQL": f"{ceil((database + looking) / UTILISATION):,} ({database:.0f} busy with requests, "
        f"{looking:.0f} with streams)",
        "connections": f"{copies * pool:,}, {pool} of each worker",
        "tasks": f"{rows:,}",
        "partitions": f"{ceil(rows / PARTITION):,}",
        "storage": f"{rows * costs['task_bytes'] * OF_INDEXES_AND_GAPS / 2**40:.1f} TiB",
        "streams in the busiest hour": f"{streams:,.0f}",
        "memory of streams": f"{streams * STREAM_BYTES / 2**30:.0f} GiB",
        "an idle stream": f"{STREAM_BYTES // 1024} KiB, {STREAM_CPU_US} µs of the service and "
        f"{costs['statements']['look_us']:.1f} µs of PostgreSQL each second",
    }
    print(f"| {PEOPLE:,} people need | |\n| --- | --- |")
    for name, need in needs.items():
        print(f"| {name} | {need} |")
    save("model", {"predicted_times": round(two / one, 2), "measured_times": round(workers["times"], 2), **needs})


if __name__ == "__main__":
    main()
