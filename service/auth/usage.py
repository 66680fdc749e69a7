"""What each caller uses at present, and has used: counted while it happens."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.auth.identity import Identity
from service.auth.quota import QuotaExceeded, RateExceeded

MOST_KEPT = 10_000  # callers of whom anything is known; those unseen for longest are forgotten
RETRY_SECONDS = 1.0  # after which what others' work makes room for is worth asking for again


@dataclass
class Bucket:
    """A token bucket, which may be in debt: what is left now of what may be had at once.

    Attributes:
        level: at `at`.
        at: seconds on the meter's clock; None: full.
    """

    level: float = 0.0
    at: float | None = None

    def fill(self, now: float, size: float, rate: float) -> float:
        """Let in what has come since the last look.

        Args:
            now: seconds on the meter's clock.
            size: most that it holds.
            rate: that comes a second.

        Returns:
            What it holds.
        """
        gained = math.inf if self.at is None else (now - self.at) * rate
        self.level, self.at = min(size, self.level + gained), now
        return self.level


@dataclass
class Usage:
    """What one caller uses.

    Attributes:
        requests: let in so far.
        rows: in flight.
        gradients: images times gradients, so far.
        by: who they were when they last made a request.
        second, minute: what is left of requests, and of gradients.
    """

    requests: int = 0
    rows: int = 0
    gradients: int = 0
    by: Identity | None = None
    second: Bucket = field(default_factory=Bucket)
    minute: Bucket = field(default_factory=Bucket)

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.rows


class Meter:
    """Counts what callers use, by name, and refuses what is more than they may have. Any thread may
    call it.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._by_name = OrderedDict[str, Usage]()
        self._loaded_by: dict[str, str] = {}  # by the model's name

    def usage(self, name: str) -> Usage:
        """Return what a caller uses.

        Args:
            name: theirs; "" for all of whom nobody is told apart.
        """
        with self._lock:
            return self._of(name)

    def _of(self, name: str) -> Usage:
        found = self._by_name.setdefault(name, Usage())
        self._by_name.move_to_end(name)
        if len(self._by_name) > MOST_KEPT:
            oldest = next((key for key, one in self._by_name.items() if one.idle), None)
            if oldest is not None:
                del self._by_name[oldest]
        return found

    def request(self, by: Identity) -> None:
        """Count a request in.

        Args:
            by: who makes it.

        Raises:
            RateExceeded: they have made as many of late as they may.
        """
        rate = by.quota.requests_per_second
        with self._lock:
            usage = self._of(by.name)
            usage.by = by
            if rate is not None:
                size = max(1.0, rate)
                left = usage.second.fill(self._clock(), size, rate)
                if left < 1:
                    wait = (1 - left) / rate
                    used = size - left
                    raise RateExceeded(by.name, "requests_per_second", rate, used, wait)
                usage.second.level -= 1
            usage.requests += 1

    @contextmanager
    def rows(self, by: Identity, count: int) -> Iterator[None]:
        """Count the rows of a request while it is being answered.

        Args:
            by: who makes it.
            count: of its images or pictures.

        Raises:
            QuotaExceeded: they would have more in flight than they may.
        """
        with self._lock:
            usage, most = self._of(by.name), by.quota.rows_in_flight
            if most is not None and count and usage.rows + count > most:
                raise QuotaExceeded(
                    by.name, "rows_in_flight", most, usage.rows, RETRY_SECONDS, count
                )
            usage.rows += count
        try:
            yield
        finally:
            with self._lock:
                usage.rows -= count

    def spend(self, name: str, gradients: int) -> None:
        """Note the gradients that a caller has had.

        Args:
            name: theirs.
            gradients: one for each image.
        """
        with self._lock:
            usage = self._of(name)
            usage.gradients += gradients
            usage.minute.level -= gradients

    def require_gradients(self, by: Identity) -> None:
        """Refuse work of one who has had as many gradients of late as they may.

        Args:
            by: who asks for it.

        Raises:
            QuotaExceeded: until the average is met again.
        """
        most = by.quota.image_gradients_per_minute
        if most is None:
            return
        with self._lock:
            left = self._of(by.name).minute.fill(self._clock(), most, most / 60)
        if left <= 0:
            wait = (1 - left) / (most / 60)
            raise QuotaExceeded(by.name, "image_gradients_per_minute", most, most - left, wait)

    def used_of_gradients(self, by: Identity) -> float:
        """Return how many gradients one has had of those of a minute; 0 where none are counted."""
        most = by.quota.image_gradients_per_minute
        if most is None:
            return 0.0
        with self._lock:
            return most - self._of(by.name).minute.fill(self._clock(), most, most / 60)

    def used_of_requests(self, by: Identity) -> float:
        """Return how many requests one has made of those of a second; 0 where none are counted."""
        rate = by.quota.requests_per_second
        if rate is None:
            return 0.0
        size = max(1.0, rate)
        with self._lock:
            return size - self._of(by.name).second.fill(self._clock(), size, rate)

    def loaded(self, model: str, name: str) -> None:
        """Note who had a model loaded.

        Args:
            model: its name.
            name: theirs.
        """
        self._loaded_by[model] = name

    def loaded_by(self, name: str, models: Iterable[str]) -> int:
        """Count the models that one had loaded.

        Args:
            name: theirs.
            models: names of those that serve.
        """
        return sum(self._loaded_by.get(model) == name for model in models)


def require(
    by: Identity,
    cap: str,
    used: float,
    wanted: float = 1,
    retry_after: float = RETRY_SECONDS,
) -> None:
    """Refuse what is more than a caller may have at a time.

    Args:
        by: the caller.
        cap: a field of `Quota`.
        used: what they have.
        wanted: what they ask for beside it.
        retry_after: seconds after which there may be room.

    Raises:
        QuotaExceeded: that is too much.
    """
    most = getattr(by.quota, cap)
    if most is not None and used + wanted > most:
        raise QuotaExceeded(by.name, cap, most, used, retry_after, wanted)
