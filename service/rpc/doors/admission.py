"""How many calls are in flight: each holds its request until it is answered.

gRPC's own `maximum_concurrent_rpcs` refuses a call without details, and a probe of the server's
health with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

RETRY_SECONDS = 1.0


class TooManyCalls(RuntimeError):
    """No more calls are taken on until some have been answered; `retry_after` is in seconds."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} calls are in flight already; try again in about {RETRY_SECONDS:g} s"
        )
        self.retry_after = RETRY_SECONDS


class Admission:
    """Counts the calls in flight.

    Args:
        most: how many there may be.
        exempt: beginnings of the names of methods that are always let in, and not counted.
    """

    def __init__(self, most: int, exempt: tuple[str, ...] = ()) -> None:
        self._most, self._exempt, self._inside = most, exempt, 0

    @property
    def inside(self) -> int:
        """Calls that are in flight."""
        return self._inside

    @contextmanager
    def enter(self, method: str) -> Iterator[None]:
        """Let a call in, until the context ends.

        Args:
            method: its full name.

        Raises:
            TooManyCalls: as many as there may be are in flight.
        """
        if method.startswith(self._exempt):
            yield
            return
        if self._inside >= self._most:
            raise TooManyCalls(self._most)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
