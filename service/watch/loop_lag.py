"""How late the event loop is: what holds it up holds up every caller."""

import asyncio
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger("striate")

PERIOD = 0.01  # seconds between two looks; a hold is seen as up to that much shorter
WINDOW = 30.0  # seconds: the maximum is that of the last one or two windows
TOLD = 0.5  # seconds from which on a hold is logged


class LoopLag:
    """Measures how much later than asked for the event loop comes back to a task that sleeps.

    Args:
        observe: told of every measurement, in seconds.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._due = float("inf")
        self._highest = (0.0, 0.0)  # of the window before, and of this one

    def highest(self) -> float:
        """Return the highest of the last 30 to 60 seconds, in seconds; also while the loop is held.
        May be called from any thread.
        """
        return max(*self._highest, time.monotonic() - self._due)

    def turn_window(self) -> None:
        """Begin another window, and forget the one before the last."""
        self._highest = self._highest[1], 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        turn = time.monotonic()
        while True:
            self._due = time.monotonic() + PERIOD
            await asyncio.sleep(PERIOD)
            now = time.monotonic()
            lag = max(0.0, now - self._due)
            self._observe(lag)
            if now - turn >= WINDOW:
                turn = now
                self.turn_window()
            before, here = self._highest
            self._highest = before, max(here, lag)
            if lag >= TOLD:
                log.warning("the event loop was held up", seconds=round(lag, 3))
