"""What the device's thread does just now, for those who watch whether it gets on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Written by one thread, read by any."""

    def __init__(self) -> None:
        self._present: tuple[str, float] | None = None

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Say what is being done, until the context ends.

        Args:
            what: in words.
        """
        self._present = what, time.monotonic()
        try:
            yield
        finally:
            self._present = None

    def present(self) -> tuple[str, float] | None:
        """Return what is being done and for how many seconds; None while there is nothing to do."""
        present = self._present
        return None if present is None else (present[0], time.monotonic() - present[1])

    def seconds(self) -> float:
        """Return for how many seconds it has been done; 0 while there is nothing to do."""
        present = self.present()
        return 0.0 if present is None else present[1]
