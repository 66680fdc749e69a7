"""Runs operations: each in a thread of its own, journaled so that none is lost when the server goes
down or dies.
"""

import asyncio
import contextvars
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import structlog
from google.longrunning.operations_pb2 import Operation  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import code_pb2  # type: ignore[import-untyped, unused-ignore]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped, unused-ignore]

from service.auth.errors import PermissionDenied
from service.auth.identity import acting_as, current
from service.auth.usage import require
from service.operations import outcome
from service.operations.context import OperationContext
from service.operations.errors import (
    OperationRunning,
    OperationsError,
    ShuttingDown,
    TooManyOperations,
)
from service.operations.operation_journal import OperationJournal
from service.operations.rows import Record
from service.operations.store import OperationStore
from service.process.tracing import untraced

log = structlog.get_logger()

# an operation during which the server died so often, without lasting progress in between, is not
# taken up again
MOST_CRASHES = 3
_RETRY_SECONDS = 10.0  # after which one of a caller's operations may have ended
_EXPIRED_AT_ONCE = 1000  # operations that are deleted in one go, at most


Runner = Callable[[Any, OperationContext], Message]  # (request, context) -> response; blocks
Describe = Callable[[BaseException], Status]
Forget = Callable[[str], None]  # removes what an operation of that name left behind; blocks


def _room_enough() -> None:
    """Refuses nothing."""


def _require_own(record: Record) -> None:
    """Refuse to end what is only shared with the present caller. Raises PermissionDenied."""
    if not record.ownership.may_change(current.get()):
        raise PermissionDenied(
            current.get(),
            f"{record.name!r} belongs to {record.identity.name!r}, who shares it: it can be read, "
            f"and is cancelled and deleted by them or an admin",
        )


@dataclass(frozen=True)
class _Job:
    """An operation in this process: `work` is its runner's thread, and `end` the task that journals
    how it ends.
    """

    owner: str  # the name of whoever started it, as far as this server knows
    kind: str
    request: Any
    context: OperationContext
    work: "Future[Message]"
    end: asyncio.Task[None]

    def stop(self) -> None:
        self.context.stop()
        self.work.cancel()  # where it has not begun


class Operations:
    """The operations of a server. Everything but `register`, `census` and the contexts belongs to
    one event loop.

    Attributes:
        ended: how many have ended here, by `outcome.KINDS`.
    """

    def __init__(
        self,
        store: OperationStore,
        describe: Describe = outcome.internal_error,
        parallel: int = 2,
        most: int = 256,
        interval: float = 0.5,
        require_room: Callable[[], None] = _room_enough,
        served: Callable[[], float] = time.monotonic,
        traced: Callable[[str, str], AbstractContextManager[None]] = untraced,
    ) -> None:
        """Open for operations; `register` their runners, then `recover`.

        Args:
            store: where they are journaled.
            describe: what a runner raises -> the operation's error.
            parallel: how many run at a time; the others wait.
            most: how many may be unfinished; more are refused.
            interval: seconds between two writes of an operation's metadata.
            require_room: refuses new operations where the disk is too full, by raising.
            served: seconds that servers have served, by which the age of what ended is counted.
            traced: given an operation's kind and name, a context in which its runner is traced.
        """
        self._store, self._describe, self._most, self._interval = store, describe, most, interval
        self._require_room, self._served, self._traced = require_room, served, traced
        self._journal = OperationJournal(store, served)
        self._runners: dict[str, Runner] = {}
        self._forget: dict[str, Forget] = {}
        self._live: dict[str, _Job] = {}
        self.ended: Counter[str] = Counter(dict.fromkeys(outcome.KINDS, 0))
        self._starting = Counter[str]()  # by owner
        self._draining = False
        # The pool is also the queue of those that wait.
        self._workers = ThreadPoolExecutor(parallel, thread_name_prefix="operation")

    def register(self, kind: str, runner: Runner, forget: Forget | None = None) -> None:
        """Name the runner of a kind of operation, before `recover`.

        Args:
            kind: what `start` and the filter of a listing call it.
            runner: does the work, in a thread of its own.
            forget: what to do before an operation of that kind is deleted.
        """
        self._runners[kind] = runner
        if forget is not None:
            self._forget[kind] = forget

    async def recover(self) -> int:
        """Take up what an earlier server left unfinished.

        One that was to be cancelled ends CANCELLED; one of a kind that nobody runs, or during which
        the server has died MOST_CRASHES times since its last lasting progress, ends ABORTED.

        Returns:
            How many operations run again.
        """
        records = await self._journal.call(self._store.unfinished)
        for record in records:
            crashes = record.crashes + (record.state == "running")
            if record.cancelling:
                await self._end(record.name, outcome.cancelled())
            elif record.kind not in self._runners:
                reason = (
                    f"the server was restarted and does not run operations of kind "
                    f"{record.kind!r} any more"
                )
                await self._end(record.name, outcome.aborted(reason))
            elif crashes >= MOST_CRASHES:
                reason = f"the server died {crashes} times while the operation ran"
                await self._end(record.name, outcome.aborted(reason))
            else:
                await self._journal.note(self._store.resume, record.name)
                self._launch(record, resumed=True)
        log.info("operations taken up", resumed=len(self._live), found=len(records))
        return len(self._live)

    async def start(
        self, kind: str, request: Message, metadata: Message, shared: Sequence[str] = ()
    ) -> Operation:
        """Start an operation, which is on disk when this returns, and belongs to the present
        caller: it runs as theirs, also after a restart.

        Args:
            kind: one that is registered.
            request: what its runner is given.
            metadata: what it reports until its runner does.
            shared: names and roles who may see it, too.

        Returns:
            The operation.

        Raises:
            ShuttingDown: the server takes on nothing new.
            TooManyOperations: too many are unfinished.
            QuotaExceeded: too many of the caller's are.
            StorageFull: the disk is too full.
            KeyError: nobody runs that kind.
        """
        if kind not in self._runners:
            raise KeyError(f"nobody runs operations of kind {kind!r}")
        if self._draining:
            raise ShuttingDown("the server is shutting down")
        if len(self._live) + self._starting.total() >= self._most:
            raise TooManyOperations(
                f"{self._most} operations are unfinished: wait for one to end, or cancel one"
            )
        owner = current.get().name
        require(current.get(), "operations", self.unfinished(owner), retry_after=_RETRY_SECONDS)
        self._require_room()
        packed_request, packed_metadata = Any(), Any()
        packed_request.Pack(request)
        packed_metadata.Pack(metadata)
        self._starting[owner] += 1
        try:
            record = await self._journal.call(
                self._store.insert,
                kind,
                packed_request,
                packed_metadata,
                current.get(),
                shared,
            )
        finally:
            self._starting[owner] -= 1
        if self._draining:
            # The next server takes it up.
            await self._journal.note(self._store.interrupt, record.name)
        else:
            self._launch(record, resumed=False)
        return record.operation

    async def get(self, name: str) -> Operation:
        """Return an operation as it is now.

        Args:
            name: of the operation.

        Returns:
            The operation's message.

        Raises:
            UnknownOperation: there is none of that name, for the present caller.
        """
        return self._now(await self._record(name))

    async def wait(self, name: str, seconds: float | None) -> Operation:
        """Wait for an operation.

        Args:
            name: of the operation.
            seconds: to wait at most; None: without limit.

        Returns:
            The operation when it is done, or as it is when the time is up or the server goes down.

        Raises:
            UnknownOperation: there is none of that name, for the present caller.
        """
        await self._record(name)
        if name in self._live:
            await asyncio.wait({self._live[name].end}, timeout=seconds)
        return await self.get(name)

    async def cancel(self, name: str) -> None:
        """Ask an operation to end; no effect on one that is done.

        Args:
            name: of the operation.

        Raises:
            UnknownOperation: there is none of that name, for the present caller.
            PermissionDenied: it is another's, who shares it.
        """
        _require_own(await self._record(name))
        # Where the disk does not take it, the end that follows is kept in memory all the same.
        await self._journal.note(self._store.cancel, name)
        if name in self._live:
            self._live[name].context.cancel_requested = True
            self._live[name].stop()

    async def delete(self, name: str) -> None:
        """Forget an operation that is done.

        Args:
            name: of the operation.

        Raises:
            UnknownOperation: there is none of that name, for the present caller.
            PermissionDenied: it is another's, who shares it.
            OperationRunning: it is not done.
            sqlite3.Error: the disk does not take it.
        """
        _require_own(await self._record(name))
        if name in self._journal.unwritten:
            await self._journal.unwritten.write()
        record = await self._record(name)
        if record.state != "done":
            raise OperationRunning(f"{name!r} is running: cancel it first")
        if record.kind in self._forget:
            # First: of an operation that is gone nobody could ask for it again.
            await asyncio.get_running_loop().run_in_executor(None, self._forget[record.kind], name)
        await self._journal.call(self._store.delete, name)

    async def page(
        self, count: int, before: str | None, kind: str | None, done: bool | None
    ) -> list[Operation]:
        """List the operations that the present caller may see, newest first; arguments as of
        `OperationStore.page`.
        """
        ended, caller = self._journal.unwritten.names, current.get()
        records = await self._journal.call(
            self._store.page, count, before, kind, done, ended, caller
        )
        return [self._now(record) for record in records]

    async def expire(self, keep_seconds: Mapping[str, float], otherwise: float, most: int) -> int:
        """Delete operations that ended long ago, and with them what they left behind.

        Args:
            keep_seconds: by kind, of serving, that an operation stays after its end; 0: for ever.
            otherwise: the same for other kinds.
            most: operations that stay in all, the newest.

        Returns:
            How many are gone.
        """
        names = await self._journal.call(self._store.surplus, most, _EXPIRED_AT_ONCE)
        for kind in await self._journal.call(self._store.kinds):
            if seconds := keep_seconds.get(kind, otherwise):
                before = self._served() - seconds
                names += await self._journal.call(
                    self._store.expired, before, kind, _EXPIRED_AT_ONCE
                )
        gone = 0
        for name in dict.fromkeys(names):
            try:
                await self.delete(name)
                gone += 1
            except (OperationsError, OSError, sqlite3.Error) as error:
                log.warning("an old operation cannot be deleted", operation=name, error=str(error))
        return gone

    def unfinished(self, owner: str) -> int:
        """Count the operations of one who started them that wait or run.

        Args:
            owner: their name.
        """
        return self._starting[owner] + sum(job.owner == owner for job in self._live.values())

    @property
    def live(self) -> list[tuple[str, Any]]:
        """The kinds and requests of the operations that wait or run."""
        return [(job.kind, job.request) for job in self._live.values()]

    def census(self) -> dict[str, float]:
        """Count the operations that are not done. May be called from any thread.

        Returns:
            How many there are by state: "running", or "waiting" for one of the threads.
        """
        jobs = list(self._live.values())
        running = sum(job.work.running() for job in jobs)
        return {"running": running, "waiting": len(jobs) - running}

    async def drain(self, grace: float) -> None:
        """Take on nothing new, and stop all that runs, to be taken up by the next server.

        Args:
            grace: seconds that the runners have to stop.
        """
        self._draining = True
        jobs = list(self._live.values())
        for job in jobs:
            job.stop()
        if jobs:
            await asyncio.wait([job.end for job in jobs], timeout=grace)
        for name in list(self._live):  # their runners have not stopped yet
            await self._journal.note(self._store.interrupt, name)

    async def close(self) -> None:
        """Close the store, after `drain` and after the last call was answered. A runner that has
        not stopped keeps its thread.
        """
        self._workers.shutdown(wait=False, cancel_futures=True)
        await self._journal.close()

    async def _record(self, name: str) -> Record:
        """An operation that the present caller may see. Raises UnknownOperation."""
        return await self._journal.call(self._store.get, name, current.get())

    def _launch(self, record: Record, resumed: bool) -> None:
        context = OperationContext(record, resumed, self._journal.save, self._interval)
        # Of whoever started it, also in an earlier server.
        with acting_as(record.identity if resumed else current.get()):
            around = contextvars.copy_context()
        work = self._workers.submit(around.run, self._run, record, context)
        end = asyncio.get_running_loop().create_task(self._supervise(record.name, context, work))
        self._live[record.name] = _Job(
            record.identity.name, record.kind, record.request, context, work, end
        )

    def _run(self, record: Record, context: OperationContext) -> Message:
        """Run an operation, in its thread."""
        with self._traced(record.kind, record.name):
            return self._runners[record.kind](record.request, context)

    async def _supervise(
        self, name: str, context: OperationContext, work: "Future[Message]"
    ) -> None:
        """Wait for the runner, and journal how it ended."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake(_: object) -> None:
            # Where the loop is gone, the operation is journaled as interrupted.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(ended.set)

        work.add_done_callback(wake)
        await ended.wait()
        try:
            error = CancelledError() if work.cancelled() else work.exception()
            if error is None:
                await self._end(name, work.result(), context)
            elif isinstance(error, CancelledError) and context.cancel_requested:
                await self._end(name, outcome.cancelled(), context)
            elif self._draining:
                # Whatever a server that shuts down makes a runner raise: the next one tries again.
                await self._journal.note(self._store.interrupt, name)
            elif isinstance(error, CancelledError):
                reason = "the server stopped the work that the operation consists of"
                await self._end(name, outcome.aborted(reason), context)
            else:
                await self._end(name, self._failure(name, error, context), context)
        finally:
            del self._live[name]

    def _failure(self, name: str, error: BaseException, context: OperationContext) -> Status:
        status = self._describe(error)
        if status.code == code_pb2.INTERNAL:
            log.error("operation failed", operation=name, exc_info=error)
        else:  # a caller's doing, e.g. a model that was unloaded meanwhile
            log.info("operation failed", operation=name, error=status.message)
        fresh = context.resumed and not context.progressed
        return outcome.not_resumed(status) if fresh else status

    async def _end(self, name: str, end: Message, context: OperationContext | None = None) -> None:
        """Journal the end of an operation: a Status is its error, any other message its
        response.
        """
        self.ended[outcome.kind(end)] += 1
        await self._journal.end(name, end, context)

    def _now(self, record: Record) -> Operation:
        operation = record.operation
        if not operation.done:
            self._journal.unwritten.apply(operation)
        if not operation.done and record.name in self._live:
            operation.metadata.CopyFrom(self._live[record.name].context.metadata)
        return operation
