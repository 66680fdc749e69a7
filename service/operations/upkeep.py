"""What a server does with its state folder every few minutes: old things go, and time is kept."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from service.operations.runner import Operations
from service.state import ServedTime

log = structlog.get_logger("striate")

SECONDS = 300.0  # between two rounds
MOST_KEPT = 10_000  # operations that have ended
DAY = 86_400.0


@dataclass(frozen=True)
class Upkeep:
    """The upkeep of a state folder.

    Attributes:
        operations: of the server.
        served: the time by which ages are counted, which is kept.
        keep_days: of serving, that operations stay after their end, by kind; 0: for ever.
        otherwise_days: the same for other kinds.
        uploads_days: of serving, that uploads stay after their last use; 0: for ever.
        unused: the uploads that nothing has used for so many seconds.
        in_use: the data sets that operations use now.
        delete: removes an upload.
    """

    operations: Operations
    served: ServedTime
    keep_days: Mapping[str, float]
    otherwise_days: float
    uploads_days: float
    unused: Callable[[float], Sequence[str]]
    in_use: Callable[[], Collection[str]]
    delete: Callable[[str], object]

    async def run(self) -> None:
        """Do it again and again, until the task is cancelled. What fails is logged."""
        while True:
            try:
                await self.once()
            except Exception as error:
                log.error("the state folder's upkeep failed", exc_info=error)
            await asyncio.sleep(SECONDS)

    async def once(self) -> None:
        """Do it once."""
        await asyncio.to_thread(self.served.save)
        keep = {kind: days * DAY for kind, days in self.keep_days.items()}
        gone = await self.operations.expire(keep, self.otherwise_days * DAY, MOST_KEPT)
        removed = await self._remove_uploads() if self.uploads_days else []
        if gone or removed:
            log.info("old things are gone", operations=gone, uploads=removed)

    async def _remove_uploads(self) -> list[str]:
        unused = await asyncio.to_thread(self.unused, self.uploads_days * DAY)
        gone = [name for name in unused if name not in self.in_use()]
        for name in gone:
            await asyncio.to_thread(self.delete, name)
        return gone
