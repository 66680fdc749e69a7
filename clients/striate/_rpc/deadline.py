"""A timeout shared by the several calls that serve one request."""

from __future__ import annotations

import time


class Deadline:
    """A point in time by which something must have ended.

    Args:
        seconds: Seconds from now, None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Returns the seconds left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())
