"""Runs operations: each in a thread of its own, journaled so that none is lost when the server goes
down or dies.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.code_pb2 import ABORTED, CANCELLED, INTERNAL  # type: ignore[import-untyped, unused-ignore]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped, unused-ignore]

from service.operations.errors import OperationRunning, ShuttingDown, TooManyOperations
from service.operations.store import OperationStore, Record

log = structlog.get_logger()
T = TypeVar("T")

# an operation during which the server died so often, without lasting progress in between, is not
# taken up again
MOST_CRASHES = 3


class Context:
    """What a runner is told of its operation, and tells of it. Its methods may be called from any
    thread.
    """

    def __init__(
        self,
        record: Record,
        resumed: bool,
        save: Callable[[str, Any, bool], "Future[None]"],
        interval: float,
    ) -> None:
        self.name = record.name
        self.resumed = resumed  # the operation ran before, in a server that is gone
        self.progressed = False
        self._forgiven = not resumed  # the crashes of earlier servers, of which there are none
        self.cancel_requested = False
        self.metadata = record.operation.metadata
        self._stop = threading.Event()
        self._save, self._interval, self._saved = save, interval, time.monotonic()

    def cancelled(self) -> bool:
        """Whether the runner should stop, by raising concurrent.futures.CancelledError: somebody
        cancelled, or the server goes down.
        """
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the runner to stop."""
        self._stop.set()

    def progress(self, metadata: Message, lasting: bool = False) -> None:
        """Replace the operation's metadata, at once for whoever asks, and every so often on disk.

        Args:
            lasting: some work is done that no later server will have to do again: crashes so far
                are forgiven, on disk when this returns.
        """
        packed = Any()
        packed.Pack(metadata)
        self.metadata, self.progressed = packed, True
        forgive = lasting and not self._forgiven
        if forgive or time.monotonic() - self._saved >= self._interval:
            self._saved, self._forgiven = time.monotonic(), self._forgiven or forgive
            saved = self._save(self.name, packed, forgive)
            if forgive:  # once in a server's life
                wait([saved])


Runner = Callable[[Any, Context], Message]  # (request, context) -> response; blocks
Describe = Callable[[BaseException], Status]
Forget = Callable[[str], None]  # removes what an operation of that name left behind; blocks


def internal(error: BaseException) -> Status:
    """Any error as INTERNAL, with its text."""
    return Status(code=INTERNAL, message=f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class _Job:
    """An operation in this process: `work` is its runner's thread, and `end` the task that journals
    how it ends.
    """

    context: Context
    work: "Future[Message]"
    end: asyncio.Task[None]

    def stop(self) -> None:
        self.context.stop()
        self.work.cancel()  # where it has not begun


class Operations:
    """The operations of a server. Everything but `register` and the contexts belongs to one event
    loop.
    """

    def __init__(
        self,
        store: OperationStore,
        describe: Describe = internal,
        parallel: int = 2,
        most: int = 256,
        interval: float = 0.5,
    ) -> None:
        """`parallel` operations run at a time, the others wait; past `most` unfinished ones more
        are refused.

        Args:
            describe: what a runner raises -> the operation's error.
            interval: seconds between two writes of an operation's metadata.
        """
        self._store, self._describe, self._most, self._interval = store, describe, most, interval
        self._runners: dict[str, Runner] = {}
        self._forget: dict[str, Forget] = {}
        self._live: dict[str, _Job] = {}
        self._starting = 0
        self._draining = False
        self._workers = ThreadPoolExecutor(
            parallel, thread_name_prefix="operation"
        )  # also the queue of those that wait
        self._disk = ThreadPoolExecutor(
            1, thread_name_prefix="operations-disk"
        )  # keeps writes in order, and off the loop

    def register(self, kind: str, runner: Runner, forget: Forget | None = None) -> None:
        """Name the runner of a kind of operation, and what to do before one is deleted. All are
        registered before `recover`.
        """
        self._runners[kind] = runner
        if forget is not None:
            self._forget[kind] = forget

    async def recover(self) -> int:
        """Take up what an earlier server left unfinished, and return how many operations run again.

        One that was to be cancelled ends CANCELLED; one of a kind that nobody runs, or during which
        the server has died three times since its last lasting progress, ends ABORTED.
        """
        records = await self._on_disk(self._store.unfinished)
        for record in records:
            crashes = record.crashes + (record.state == "running")
            if record.cancelling:
                await self._end(record.name, Status(code=CANCELLED, message="cancelled"))
            elif record.kind not in self._runners:
                reason = (
                    f"the server was restarted and does not run operations of kind "
                    f"{record.kind!r} any more"
                )
                await self._end(record.name, Status(code=ABORTED, message=reason))
            elif crashes >= MOST_CRASHES:
                await self._end(
                    record.name,
                    Status(
                        code=ABORTED,
                        message=f"the server died {crashes} times while the operation ran",
                    ),
                )
            else:
                await self._on_disk(self._store.take_up, record.name)
                self._launch(record, resumed=True)
        log.info("operations taken up", resumed=len(self._live), found=len(records))
        return len(self._live)

    async def start(self, kind: str, request: Message, metadata: Message) -> Operation:
        """A new operation, on disk when this returns. Raises ShuttingDown, TooManyOperations,
        KeyError for an unknown kind.
        """
        if kind not in self._runners:
            raise KeyError(f"nobody runs operations of kind {kind!r}")
        if self._draining:
            raise ShuttingDown("the server is shutting down")
        if len(self._live) + self._starting >= self._most:
            raise TooManyOperations(
                f"{self._most} operations are unfinished: wait for one to end, or cancel one"
            )
        packed_request, packed_metadata = Any(), Any()
        packed_request.Pack(request)
        packed_metadata.Pack(metadata)
        self._starting += 1
        try:
            record = await self._on_disk(self._store.insert, kind, packed_request, packed_metadata)
        finally:
            self._starting -= 1
        if self._draining:
            await self._on_disk(self._store.interrupt, record.name)  # the next server takes it up
        else:
            self._launch(record, resumed=False)
        return record.operation

    async def get(self, name: str) -> Operation:
        """The operation as it is now. Raises UnknownOperation."""
        return self._now(await self._on_disk(self._store.get, name))

    async def wait(self, name: str, seconds: float | None) -> Operation:
        """The operation when it is done, or as it is after so many seconds or when the server goes
        down.
        """
        await self._on_disk(self._store.get, name)
        if name in self._live:
            await asyncio.wait({self._live[name].end}, timeout=seconds)
        return await self.get(name)

    async def cancel(self, name: str) -> None:
        """Ask an operation to end; no effect on one that is done. Raises UnknownOperation."""
        await self._on_disk(self._store.cancel, name)
        if name in self._live:
            self._live[name].context.cancel_requested = True
            self._live[name].stop()

    async def delete(self, name: str) -> None:
        """Forget an operation that is done. Raises UnknownOperation, OperationRunning."""
        record = await self._on_disk(self._store.get, name)
        if record.state != "done":
            raise OperationRunning(f"{name!r} is running: cancel it first")
        if (
            record.kind in self._forget
        ):  # first: of an operation that is gone nobody could ask for it again
            await asyncio.get_running_loop().run_in_executor(None, self._forget[record.kind], name)
        await self._on_disk(self._store.delete, name)

    async def page(
        self, count: int, before: str | None, kind: str | None, done: bool | None
    ) -> list[Operation]:
        """Up to `count` operations, newest first; see OperationStore.page."""
        return [
            self._now(record)
            for record in await self._on_disk(self._store.page, count, before, kind, done)
        ]

    async def drain(self, grace: float) -> None:
        """Take on nothing new, and stop all that runs within `grace` seconds, to be taken up by the
        next server.
        """
        self._draining = True
        jobs = list(self._live.values())
        for job in jobs:
            job.stop()
        if jobs:
            await asyncio.wait([job.end for job in jobs], timeout=grace)
        for name in list(self._live):  # their runners have not heard yet
            await self._on_disk(self._store.interrupt, name)

    async def close(self) -> None:
        """Close the store, after `drain` and after the last call was answered. A runner that has
        not heard keeps its thread.
        """
        self._workers.shutdown(wait=False, cancel_futures=True)
        await self._on_disk(self._store.close)
        self._disk.shutdown(wait=False)

    def _launch(self, record: Record, resumed: bool) -> None:
        context = Context(record, resumed, self._save, self._interval)
        work = self._workers.submit(self._runners[record.kind], record.request, context)
        end = asyncio.get_running_loop().create_task(self._supervise(record.name, context, work))
        self._live[record.name] = _Job(context, work, end)

    async def _supervise(self, name: str, context: Context, work: "Future[Message]") -> None:
        """Wait for the runner, and journal how it ended."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def tell(_: object) -> None:
            with suppress(
                RuntimeError
            ):  # the loop is gone: the operation is journaled as interrupted
                loop.call_soon_threadsafe(ended.set)

        work.add_done_callback(tell)
        await ended.wait()
        try:
            error = CancelledError() if work.cancelled() else work.exception()
            if error is None:
                await self._end(name, work.result(), context)
            elif isinstance(error, CancelledError) and context.cancel_requested:
                await self._end(name, Status(code=CANCELLED, message="cancelled"), context)
            elif (
                self._draining
            ):  # whatever a server that shuts down makes a runner raise: the next one tries again
                await self._on_disk(self._store.interrupt, name)
            elif isinstance(error, CancelledError):
                await self._end(
                    name,
                    Status(
                        code=ABORTED,
                        message="the server stopped the work that the operation consists of",
                    ),
                    context,
                )
            else:
                await self._end(name, self._failure(name, error, context), context)
        finally:
            del self._live[name]

    def _failure(self, name: str, error: BaseException, context: Context) -> Status:
        log.error("operation failed", operation=name, exc_info=error)
        status = self._describe(error)
        if context.resumed and not context.progressed:
            message = (
                f"the operation could not be taken up after a restart of the server: "
                f"{status.message}"
            )
            return Status(code=ABORTED, message=message, details=status.details)
        return status

    async def _end(self, name: str, outcome: Message, context: Context | None = None) -> None:
        """Journal the end of an operation: a Status is its error, any other message its
        response.
        """

        def change(operation: Operation) -> None:
            operation.done = True
            if context is not None:
                operation.metadata.CopyFrom(context.metadata)
            if isinstance(outcome, Status):
                operation.error.CopyFrom(outcome)
            else:
                operation.response.Pack(outcome)

        await self._on_disk(self._store.change, name, change)

    def _now(self, record: Record) -> Operation:
        operation = record.operation
        if not operation.done and record.name in self._live:
            operation.metadata.CopyFrom(self._live[record.name].context.metadata)
        return operation

    def _save(self, name: str, metadata: Any, lasting: bool) -> "Future[None]":
        return self._disk.submit(
            self._store.change,
            name,
            lambda operation: operation.metadata.CopyFrom(metadata),
            lasting,
        )

    async def _on_disk(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)
