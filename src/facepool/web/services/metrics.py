"""What is counted, for Prometheus."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from facepool.gallery.collections import DEFAULT

_LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class _Watched:
    """What a number is, and how it is asked for, by collection."""

    what: str
    values: dict[str, Callable[[], float]] = field(default_factory=dict)


class Metrics(Collector):
    """Counts requests and runs of the networks; no name of a person is in it."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._watching = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "facepool_requests", "Requests", ("route", "method", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "facepool_request_seconds", "Time to answer", ("route",), buckets=_LATENCIES_S, registry=self._registry
        )
        self._runs = Histogram(
            "facepool_network_seconds",
            "Time of a network's run",
            ("network",),
            buckets=_LATENCIES_S,
            registry=self._registry,
        )
        self._batches = Histogram(
            "facepool_network_batch",
            "Pictures or faces' pictures of a run",
            ("network",),
            buckets=_BATCHES,
            registry=self._registry,
        )

    def request(self, route: str, method: str, status: int, took_s: float) -> None:
        """A request was answered."""
        self._requests.labels(route, method, str(status)).inc()
        self._latency.labels(route).observe(took_s)

    def run(self, network: str, count: int, took_s: float) -> None:
        """A network has run."""
        self._runs.labels(network).observe(took_s)
        self._batches.labels(network).observe(count)

    def watch(self, collection: str, name: str, what: str, value: Callable[[], float]) -> None:
        """Ask for a number whenever the metrics are; those of other collections than the default one are labelled."""
        with self._watching:
            of_all = self._watched.setdefault(name, _Watched(what))
            of_all.values[collection] = value

    def forget(self, collection: str) -> None:
        """Ask for the numbers of a collection no more."""
        with self._watching:
            for one in self._watched.values():
                one.values.pop(collection, None)

    def collect(self) -> Iterator[Metric]:
        """The numbers that are watched, as Prometheus' client asks for them."""
        with self._watching:
            watched = [(name, one.what, dict(one.values)) for name, one in self._watched.items()]
        for name, what, values in watched:
            family = GaugeMetricFamily(f"facepool_{name}", what, labels=["collection"])
            for collection, value in values.items():
                family.add_metric([] if collection == DEFAULT else [collection], value())
            yield family

    def page(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)
