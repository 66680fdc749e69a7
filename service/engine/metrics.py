"""What the server counts and times, for Prometheus. What is only read, when somebody asks, is in
`service.watch.readings`.
"""

from collections import deque
from collections.abc import Callable, Container

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
_MOST_MODELS = 200  # that have a label of their own, for as long as the server runs
OTHER = "other"  # the label of all whose names are not known, or are too many


class Metrics:
    """The metrics of one server, in a registry of their own.

    Attributes:
        registry: of the metrics.
        identities: gives the names of callers that have a label of their own: those of the auth
            file; all others share one.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.identities: Callable[[], Container[str]] = frozenset
        ProcessCollector(registry=self.registry)
        self._count_calls()
        self._count_jobs()
        self.loop_lag = self._histogram(
            "striate_loop_lag_seconds",
            "How late the event loop is, measured a hundred times a second",
            _LAGS,
        )
        self.ready = Gauge(
            "striate_ready",
            "1 where the server is ready, 0 where its device hangs or it drains",
            registry=self.registry,
        )
        self.damaged = self._counter(
            "striate_damaged_total", "Damaged rows and files that were set aside, by kind", "kind"
        )
        self._models: set[str] = set()
        self._last_waits: deque[float] = deque(maxlen=32)

    def _count_calls(self) -> None:
        self.requests = self._counter(
            "striate_requests_total", "Requests by method and status code", "method", "code"
        )
        self.requests_by_identity = self._counter(
            "striate_requests_by_identity_total",
            "Requests by caller and status code: the names of the auth file, other for all other "
            "callers, and the empty name for whoever has shown no key",
            "identity",
            "code",
        )
        self.request_seconds = self._histogram(
            "striate_request_seconds", "Time to answer a request", _SECONDS, "method"
        )
        self.refusals = self._counter(
            "striate_refusals_total",
            "Requests refused for want of room, of a quota, of keys or of a role, by the reason "
            "that the caller is told",
            "reason",
        )
        self.auth_failures = self._counter(
            "striate_auth_failures_total",
            "Calls whose keys were not accepted, by what was wrong",
            "reason",
        )
        self.access_log_lost = self._counter(
            "striate_access_log_lost_total",
            "Lines of the access log that could not be written",
        )

    def _count_jobs(self) -> None:
        self.queue_wait = self._histogram(
            "striate_queue_wait_seconds", "Time to admission", _SECONDS
        )
        self.tick_seconds = self._histogram(
            "striate_tick_seconds", "Time of one engine pass", _SECONDS
        )
        self.tick_rows = self._histogram("striate_tick_rows", "Rows of one engine pass", _ROWS)
        self.jobs_left = self._counter(
            "striate_jobs_total", "Jobs that left the engine, by reason", "reason"
        )
        self.refused = self._counter(
            "striate_refused_total", "Jobs refused because the queue was full"
        )
        self.out_of_memory = self._counter(
            "striate_out_of_memory_total", "Passes that ran out of memory"
        )
        self._image_gradients = self._counter(
            "striate_image_gradients_total",
            "Gradients with respect to an image that were computed, by model",
            "model",
        )

    def identity(self, name: str) -> str:
        """Choose the label of a caller.

        Args:
            name: of their identity; "" where the server asks for none.

        Returns:
            The name itself, or one for all that are not known: labels are kept for ever.
        """
        return name if not name or name in self.identities() else OTHER

    def gradients(self, model: str, count: int) -> None:
        """Count image gradients.

        Args:
            model: whose.
            count: how many.
        """
        if len(self._models) < _MOST_MODELS:
            self._models.add(model)
        self._image_gradients.labels(model if model in self._models else OTHER).inc(count)

    def waited(self, seconds: float) -> None:
        """Count one job's time in the queue.

        Args:
            seconds: from its submission until it ran.
        """
        self.queue_wait.observe(seconds)
        self._last_waits.append(seconds)

    def recent_wait(self) -> float:
        """Mean of the last queue waits in seconds, at least 0.1: when it is worth trying again."""
        waits = list(self._last_waits)
        return max(0.1, sum(waits) / len(waits)) if waits else 0.1

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
