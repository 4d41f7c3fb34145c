"""/metrics, in the form that Prometheus reads. Loaded only where it is switched on."""

import os
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from todo.composition import Readings
from todo.entrypoints.http.edge import Served

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several workers count together."""

# Seconds. A task takes less than a millisecond of work, and a second and a half is the end of the database's time.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, readings: Callable[[], Readings]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "todo_requests", "Requests that were answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "todo_request_seconds",
            "From a request's head to the end of its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._readings = _Readings(readings)
        self._registry.register(self._readings)

    def __call__(self, served: Served) -> None:
        self._requests.labels(served.method, served.route, str(served.status)).inc()
        self._seconds.labels(served.method, served.route).observe(served.seconds)

    def page(self) -> bytes:
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        # Requests are those of all workers, readings this one's alone.
        everybodys = CollectorRegistry()
        MultiProcessCollector(everybodys)  # type: ignore[no-untyped-call] # of prometheus_client
        everybodys.register(self._readings)
        return generate_latest(everybodys)


class _Readings(Collector):
    def __init__(self, readings: Callable[[], Readings]) -> None:
        self._read = readings

    def collect(self) -> Iterable[Metric]:
        now = self._read()
        yield from _families(GaugeMetricFamily, now.gauges)
        yield from _families(CounterMetricFamily, now.counters)


def _families(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily], readings: Mapping[str, float]
) -> Iterable[Metric]:
    for name, value in readings.items():
        yield kind(f"todo_{name}", name.replace("_", " ").capitalize() + ".", value=value)
