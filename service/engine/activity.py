"""What the device's thread does just now, for those who watch whether it gets on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Written by one thread, read by any."""

    def __init__(self) -> None:
        # One value, for who reads it between two assignments must not count anything twice.
        self._state: tuple[tuple[str, float] | None, float] = None, 0.0

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Say what is being done, until the context ends.

        Args:
            what: in words.
        """
        started, before = time.monotonic(), self._state[1]
        self._state = (what, started), before
        try:
            yield
        finally:
            self._state = None, before + time.monotonic() - started

    def present(self) -> tuple[str, float] | None:
        """Return what is being done and for how many seconds; None while there is nothing to do."""
        present = self._state[0]
        return None if present is None else (present[0], time.monotonic() - present[1])

    def seconds(self) -> float:
        """Return for how many seconds it has been done; 0 while there is nothing to do."""
        present = self.present()
        return 0.0 if present is None else present[1]

    def busy_seconds(self) -> float:
        """Return for how many seconds anything was done so far, the present included."""
        present, before = self._state
        return before if present is None else before + time.monotonic() - present[1]
