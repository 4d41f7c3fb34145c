"""/metrics, in the format that Prometheus reads. Loaded only where it is switched on."""

import os
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from todo.composition import Stats
from todo.entrypoints.http.middleware import Served

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several workers count together."""

# Seconds. A task takes less than a millisecond of work, and the database has a second and a half.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    MEDIA_TYPE = "text/plain; version=0.0.4"  # Litestar adds the charset

    def __init__(self, read: Callable[[], Stats]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "todo_http_requests", "Requests that were answered.", ["method", "route", "status"], registry=self._registry
        )
        self._duration = Histogram(
            "todo_http_request_duration_seconds",
            "From a request's head to the end of its response.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._stats = _StatsCollector(read)
        self._registry.register(self._stats)

    def __call__(self, served: Served) -> None:
        self._requests.labels(served.method, served.route, str(served.status)).inc()
        self._duration.labels(served.method, served.route).observe(served.seconds)

    def render(self) -> bytes:
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        # Requests are those of all workers, the other numbers this one's alone.
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call] # of prometheus_client
        shared.register(self._stats)
        return generate_latest(shared)


class _StatsCollector(Collector):
    def __init__(self, read: Callable[[], Stats]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        now = self._read()
        yield from _make_families(GaugeMetricFamily, now.gauges)
        yield from _make_families(CounterMetricFamily, now.counters)


def _make_families(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily], numbers: Mapping[str, float]
) -> Iterable[Metric]:
    for name, value in numbers.items():
        yield kind(f"todo_{name}", name.replace("_", " ").capitalize() + ".", value=value)
