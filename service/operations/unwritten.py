"""Ends of operations that the disk did not take: kept in memory, and written when there is room."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

import structlog
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]

from service.operations.errors import OperationsError

log = structlog.get_logger()

Finish = Callable[[Operation], None]  # marks an operation as done, in place

SECONDS = 2.0  # between two attempts to write


class UnwrittenEnds:
    """The ends that are not on disk yet. It belongs to one event loop.

    Args:
        write: writes an end; raises sqlite3.Error or OSError where the disk does not take it.
        seconds: between two attempts.
    """

    def __init__(
        self, write: Callable[[str, Finish], Awaitable[None]], seconds: float = SECONDS
    ) -> None:
        self._write, self._seconds = write, seconds
        self._ends: dict[str, Finish] = {}
        self._writer: asyncio.Task[None] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._ends

    @property
    def names(self) -> list[str]:
        """Of the operations whose ends are not on disk."""
        return list(self._ends)

    def add(self, name: str, finish: Finish) -> None:
        """Keep an end, and write it as soon as the disk takes it.

        Args:
            name: of the operation.
            finish: marks it as done.
        """
        self._ends[name] = finish
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_later())

    def apply(self, operation: Operation) -> None:
        """Mark an operation as done, if its end is kept here.

        Args:
            operation: changed in place.
        """
        if operation.name in self._ends:
            self._ends[operation.name](operation)

    async def write(self) -> None:
        """Write all that is kept. Raises sqlite3.Error or OSError, of what stays."""
        for name, finish in list(self._ends.items()):
            with contextlib.suppress(OperationsError):  # it is gone, or was damaged
                await self._write(name, finish)
            self._ends.pop(name, None)
            log.info("the end of an operation is on disk now", operation=name)

    async def close(self) -> None:
        """Try once more, and give up what the disk does not take: the next server does that work
        again.
        """
        if self._writer is not None:
            self._writer.cancel()
        try:
            await self.write()
        except (sqlite3.Error, OSError) as error:
            log.error("ends of operations are lost", operations=self.names, error=str(error))

    async def _write_later(self) -> None:
        try:
            while self._ends:
                await asyncio.sleep(self._seconds)
                with contextlib.suppress(sqlite3.Error, OSError):
                    await self.write()
        finally:
            self._writer = None
