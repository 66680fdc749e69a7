"""Memory that requests have let go of goes back to the operating system."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from service.process.memory import give_back

PERIOD = 5.0  # seconds between two looks
MUCH = 64 * 2**20  # bytes by which the process has grown since pages were last returned


def resident() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Returns freed pages whenever the process has grown by much.

    Args:
        size: bytes of the process that are in memory.
        give: returns freed pages; blocks for some milliseconds, in a thread.
    """

    def __init__(
        self, size: Callable[[], int] = resident, give: Callable[[], None] = give_back
    ) -> None:
        self._size, self._give = size, give
        self._least = size()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            await self.look()

    async def look(self) -> None:
        """Look once. What is still in use after pages were returned is the new measure."""
        size = self._size()
        if size - self._least > MUCH:
            await asyncio.to_thread(self._give)
            self._least = self._size()
        else:
            self._least = min(self._least, size)
