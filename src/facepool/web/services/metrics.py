"""What is counted, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counts requests and runs of the networks; no name of a person is in it."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
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

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Ask for a number whenever the metrics are."""
        Gauge(f"facepool_{name}", what, registry=self._registry).set_function(value)

    def page(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)
