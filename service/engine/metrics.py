"""What the server counts and times, for Prometheus."""

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "striate_requests_total",
            "Requests by method and status code",
            ["method", "code"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "striate_request_seconds",
            "Time to answer a request",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_wait = Histogram(
            "striate_queue_wait_seconds",
            "Time to admission",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tick_seconds = Histogram(
            "striate_tick_seconds",
            "Time of one engine pass",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tick_rows = Histogram(
            "striate_tick_rows", "Rows of one engine pass", buckets=_ROWS, registry=self.registry
        )
        self.jobs_left = Counter(
            "striate_jobs_total",
            "Jobs that left the engine, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.refused = Counter(
            "striate_refused_total",
            "Jobs refused because the queue was full",
            registry=self.registry,
        )
        self.out_of_memory = Counter(
            "striate_out_of_memory_total", "Passes that ran out of memory", registry=self.registry
        )
        self.decode_waiting = Gauge(
            "striate_decode_waiting",
            "Steps of decoding and encoding that wait for a thread",
            registry=self.registry,
        )
        self.decode_oldest_wait = Gauge(
            "striate_decode_oldest_wait_seconds",
            "Time that the oldest of these steps has been waiting",
            registry=self.registry,
        )
        self.decode_pixels = Gauge(
            "striate_decode_pixels",
            "Pixels of images that are being decoded or wait for it",
            registry=self.registry,
        )
        self.decode_refused = Gauge(
            "striate_decode_refused",
            "Requests refused since the start because so many pixels were waiting",
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "striate_loop_lag_seconds",
            "How late the event loop is, measured a hundred times a second",
            buckets=_LAGS,
            registry=self.registry,
        )
        self.loop_lag_highest = Gauge(
            "striate_loop_lag_highest_seconds",
            "The most that the event loop was late in the last 30 to 60 seconds",
            registry=self.registry,
        )
        self.device_busy = Gauge(
            "striate_device_pass_age_seconds",
            "Since when the device's pass, or call, has been under way; 0 where there is none",
            registry=self.registry,
        )
        self.ready = Gauge(
            "striate_ready",
            "1 where the server is ready, 0 where its device hangs or it drains",
            registry=self.registry,
        )
        self.damaged = Counter(
            "striate_damaged_total",
            "Damaged rows and files that were set aside, by kind",
            ["kind"],
            registry=self.registry,
        )
        self.disk_free = Gauge(
            "striate_disk_free_bytes",
            "Free space on the disk of the state folder",
            registry=self.registry,
        )
        self.models = Gauge("striate_models", "Models that serve", registry=self.registry)

        self._last_waits: deque[float] = deque(maxlen=32)

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
