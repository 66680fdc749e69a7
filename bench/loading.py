"""What the clients of one network feel while another network is loaded or explained."""

import threading
import time
from collections.abc import Callable

import numpy as np

import striate
from bench.figure import Figure, Figures
from bench.setting import SIZE, Setting

WATCHED = "cifar10-plain"
LOADED = ("vgg16", "resnet50", "densenet121")
ALONE_SECONDS = 4.0
STALL = 0.5  # seconds
EVERY = 0.002  # seconds


class Requests:
    """A client that classifies one image over and over, in a thread, while the context lasts.

    Attributes:
        seconds: that each request took.
    """

    def __init__(self, service: striate.Service) -> None:
        self.seconds: list[float] = []
        self._net = service.model(WATCHED)
        self._image = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def waits(self) -> list[float]:
        """Seconds that requests would have taken which came every `EVERY` seconds, however long
        those before them took: a client that waits for each answer asks least where it is slow.
        """
        return [s - late for s in self.seconds for late in np.arange(0, s, EVERY)]

    @property
    def summary(self) -> str:
        """The percentiles in words."""
        p50, p99, most = np.percentile(self.waits(), [50, 99, 100]) * 1e3
        return f"p50 {p50:.0f}, p99 {p99:.0f}, max {most:.0f} ms of {len(self.seconds)} requests"

    def _ask(self) -> None:
        while not self._ended.is_set():
            started = time.perf_counter()
            self._net.classify(self._image)
            self.seconds.append(time.perf_counter() - started)

    def __enter__(self) -> "Requests":
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last answer."""
        self._ended.set()
        self._thread.join()


def loading(place: Setting) -> Figures:
    """A client that classifies with one network all the time: how long its requests take alone, and
    while another client loads a large network with random weights.
    """
    figures: Figures = {}
    with place.connect() as service, place.connect() as other:
        service.load(WATCHED)
        for name in LOADED:
            figures |= _beside(service, f"{name} loads", lambda: other.load(name, "random"))  # noqa: B023
            other.unload(name)
    return figures


def _beside(service: striate.Service, what: str, call: Callable[[], object]) -> Figures:
    """How long requests take while a call lasts, and for a while before it."""
    with Requests(service) as alone:
        time.sleep(ALONE_SECONDS)
    with Requests(service) as meanwhile:
        started = time.perf_counter()
        call()
        taken = time.perf_counter() - started
    p99 = float(np.percentile(meanwhile.waits(), 99))
    return {
        f"another network's classify while {what}: p99 in seconds": Figure(
            p99,
            at_most=STALL,
            note=f"in {taken:.1f} s: {meanwhile.summary}; alone: {alone.summary}",
        )
    }
