"""What the state folder takes, looked at from time to time: to walk over all files takes long."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from service.state.survey import bytes_by_kind

log = structlog.get_logger("striate")

PERIOD = 60.0  # seconds between two looks at the least
SHARE = 0.01  # of the time that looking may take


class StateSizes:
    """Looks at how much there is of each kind, in a thread.

    Args:
        folder: the state folder.
        measure: gives the bytes in a folder by kind; blocks.
    """

    def __init__(
        self, folder: Path, measure: Callable[[Path], Mapping[str, int]] = bytes_by_kind
    ) -> None:
        self._folder, self._measure = folder, measure
        self._found: Mapping[str, int] = {}

    def found(self) -> Mapping[str, int]:
        """Return the bytes by kind when it was last looked; empty before that. From any thread."""
        return self._found

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            seconds = await self.look()
            await asyncio.sleep(max(PERIOD, seconds / SHARE))

    async def look(self) -> float:
        """Look once.

        Returns:
            The seconds that it took.
        """
        started = time.monotonic()
        try:
            self._found = await asyncio.to_thread(self._measure, self._folder)
        except OSError as error:  # what was found before stays
            log.warning("the state folder cannot be measured", error=str(error))
        return time.monotonic() - started
