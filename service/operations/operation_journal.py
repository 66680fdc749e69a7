"""What is written of operations, in order and off the event loop; what the disk does not take stays
in memory until it does.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from service.operations import outcome
from service.operations.context import OperationContext
from service.operations.store import OperationStore
from service.operations.unwritten import Finish, UnwrittenEnds

log = structlog.get_logger()
T = TypeVar("T")


class OperationJournal:
    """The one way to the store of operations. Everything but `save` belongs to one event loop.

    Args:
        store: where they are.
        served: seconds that servers have served, by which the age of what ended is counted.

    Attributes:
        unwritten: ends that are kept in memory until the disk takes them.
    """

    def __init__(self, store: OperationStore, served: Callable[[], float]) -> None:
        self._store, self._served = store, served
        self.unwritten = UnwrittenEnds(self._write_end)
        # One thread keeps writes in order, and off the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="operations-disk")

    async def call(self, call: Callable[..., T], *arguments: object) -> T:
        """Call a method of the store in the thread that writes.

        Args:
            call: the method, with the arguments that follow.

        Returns:
            What it returns; what it raises is raised here.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def note(self, call: Callable[[str], object], name: str) -> None:
        """Write what is only noted of an operation; a disk that does not take it is logged.

        Args:
            call: a method of the store.
            name: of the operation.
        """
        try:
            await self.call(call, name)
        except (sqlite3.Error, OSError) as error:
            log.warning("an operation's note cannot be written", operation=name, error=str(error))

    async def end(self, name: str, end: Message, context: OperationContext | None) -> None:
        """Write the end of an operation. A disk that does not take it gets it later; whoever waits
        is told at once.

        Args:
            name: of the operation.
            end: a Status is its error, any other message its response.
            context: of its runner, if it has run here.
        """
        finish = partial(outcome.finish, outcome=end, context=context)
        try:
            await self._write_end(name, finish)
        except (sqlite3.Error, OSError) as error:
            log.error("the end of an operation is kept in memory", operation=name, error=str(error))
            self.unwritten.add(name, finish)

    def save(self, name: str, metadata: Any, lasting: bool) -> "Future[None]":
        """Have an operation's metadata written. May be called from any thread.

        Args:
            name: of the operation.
            metadata: as it is now.
            lasting: whether crashes so far are forgiven.

        Returns:
            The future of its being on disk.
        """
        return self._thread.submit(
            self._store.change,
            name,
            lambda operation: operation.metadata.CopyFrom(metadata),
            lasting,
        )

    async def close(self) -> None:
        """Try once more to write what is unwritten, and close the store."""
        await self.unwritten.close()
        await self.call(self._store.close)
        self._thread.shutdown(wait=False)

    async def _write_end(self, name: str, finish: Finish) -> None:
        await self.call(self._store.change, name, finish, False, self._served())
