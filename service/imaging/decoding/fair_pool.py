"""A few threads that many calls share: each caller, and of each caller each call has its turn, and
what is small goes first.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from service.imaging.decoding.wanted import while_wanted

T = TypeVar("T")

LEAST = 2**14  # pixels that a piece counts as at the least: what opening a file takes
LARGE = 2**22  # pixels past which a piece may not take the last free thread


@dataclass(frozen=True)
class Piece(Generic[T]):
    """One step of a call's work, which runs to its end once it has begun.

    Attributes:
        call: what is run, without arguments.
        pixels: that it handles, at least `LEAST`: what it costs.
    """

    call: Callable[[], T]
    pixels: int = LEAST


@dataclass(eq=False)
class _Task:
    """A piece that waits or runs, and where its result goes."""

    piece: Piece[Any]
    result: "asyncio.Future[Any]"
    since: float = field(default_factory=time.monotonic)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def run(self) -> Any:
        """Run the piece in a thread, as long as somebody waits for it."""
        with while_wanted(lambda: not self.result.done()):
            return self.piece.call()


class ShareCall(NamedTuple):
    """Whose turn pieces take.

    Attributes:
        share: of the one who calls: all shares take turns.
        call: all calls of one share take turns among themselves.
    """

    share: Hashable
    call: Hashable


@dataclass(eq=False)
class _Lane:
    """The pieces of one call in their order, and how far the call has been served."""

    served: float
    tasks: deque[_Task] = field(default_factory=deque)


@dataclass(eq=False)
class _ShareLanes:
    """The lanes of one share, and how far it has been served."""

    served: float
    clock: float = 0.0  # the service that a call which comes now is taken to have had
    lanes: dict[Hashable, _Lane] = field(default_factory=dict)

    def next(self, largest: float) -> tuple[Hashable, _Lane] | None:
        """The call whose turn it is of those whose next piece has at most so many pixels."""
        ready = (
            (call, lane)
            for call, lane in self.lanes.items()
            if lane.tasks and lane.tasks[0].piece.pixels <= largest
        )
        return min(
            ready, default=None, key=lambda one: one[1].served + one[1].tasks[0].piece.pixels
        )


class FairPool:
    """Runs pieces of work in threads. To be used from one event loop.

    Shares, and the calls of each, are served by self-clocked fair queueing (Golestani 1994): the
    piece is next with which they would have been served least, counted in pixels. So a call of one
    image does not wait for the hundred of another, nor for the hundred calls of another share, and
    no stream of small calls keeps a large one waiting for ever. Large pieces leave one thread to
    the small ones.

    Args:
        executor: of the threads.
        workers: threads that are used at a time, at least 2.
    """

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor, self._workers = executor, workers
        self._groups: dict[Hashable, _ShareLanes] = {}
        # The service, in pixels, that a share which comes now is taken to have had.
        self._clock = 0.0
        self._running = self._running_large = 0
        self._handled, self._seconds = 5e7, 1.0  # pixels in seconds of a thread, from a guess on

    @property
    def waiting(self) -> int:
        """Pieces that have not begun."""
        return sum(1 for _ in self._tasks())

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest of them has been waiting; 0 where none is."""
        now = time.monotonic()
        return now - min((task.since for task in self._tasks()), default=now)

    @property
    def pixels_per_second(self) -> float:
        """What all threads together handle, as measured so far."""
        return self._workers * self._handled / self._seconds

    async def run(
        self, caller: Hashable, pieces: Sequence[Piece[T]], ahead: bool = False
    ) -> list[T]:
        """Run pieces. Those that have not begun never do once the caller is cancelled or one of
        them has failed; those that have may end early, see `service.imaging.decoding.check_wanted`.

        Args:
            caller: whose turn they take, a `ShareCall`, or anything else that is a share and a call
                in one: pieces of equal callers go one after the other.
            pieces: in the order in which they begin.
            ahead: before what waits of the same caller, as answers go before what is still to be
                decoded.

        Returns:
            Their results, in the same order.

        Raises:
            Exception: what the first piece that failed raised.
        """
        loop = asyncio.get_running_loop()
        share, call = caller if isinstance(caller, ShareCall) else (caller, None)
        group = self._groups.setdefault(share, _ShareLanes(self._clock))
        lane = group.lanes.setdefault(call, _Lane(group.clock))
        tasks = [_Task(piece, loop.create_future()) for piece in pieces]
        if ahead:
            lane.tasks.extendleft(reversed(tasks))
        else:
            lane.tasks.extend(tasks)
        self._begin()
        try:
            return list(await asyncio.gather(*(task.result for task in tasks)))
        finally:
            if not all(task.result.done() for task in tasks):
                for task in tasks:
                    task.result.cancel()
            lane.tasks = deque(task for task in lane.tasks if not task.result.done())
            self._drop_empty(share, call)

    def _tasks(self) -> Iterator[_Task]:
        """What waits, copied first: metrics are read from another thread."""
        lanes = (list(group.lanes.values()) for group in list(self._groups.values()))
        return chain.from_iterable(list(lane.tasks) for lane in chain.from_iterable(lanes))

    def _drop_empty(self, share: Hashable, call: Hashable) -> None:
        group = self._groups.get(share)
        if group is None:
            return
        lane = group.lanes.get(call)
        if lane is not None and not lane.tasks:
            del group.lanes[call]
        if not group.lanes:
            del self._groups[share]

    def _begin(self) -> None:
        """Hand pieces to the threads that are free."""
        while self._running < self._workers and (found := self._next()) is not None:
            share, group, call, lane = found
            task = lane.tasks.popleft()
            self._clock = group.served = group.served + task.piece.pixels
            group.clock = lane.served = lane.served + task.piece.pixels
            self._drop_empty(share, call)
            if task.result.done():  # its call has gone
                continue
            try:
                running = asyncio.get_running_loop().run_in_executor(
                    self._executor, partial(task.context.run, task.run)
                )
            except Exception as error:  # noqa: BLE001 - the threads have ended: raised where awaited
                task.result.set_exception(error)
                continue
            self._running += 1
            self._running_large += task.piece.pixels > LARGE
            running.add_done_callback(partial(self._ended, task, time.monotonic()))

    def _next(self) -> tuple[Hashable, _ShareLanes, Hashable, _Lane] | None:
        """The share and the call whose turn it is, if there is a piece for which there is room."""
        largest = LARGE if self._running_large >= self._workers - 1 else float("inf")
        best: tuple[float, Hashable, _ShareLanes, Hashable, _Lane] | None = None
        for share, group in self._groups.items():
            found = group.next(largest)
            if found is not None:
                call, lane = found
                after = group.served + lane.tasks[0].piece.pixels
                if best is None or after < best[0]:
                    best = after, share, group, call, lane
        return None if best is None else best[1:]

    def _ended(self, task: _Task, began: float, running: "asyncio.Future[Any]") -> None:
        self._running -= 1
        self._running_large -= task.piece.pixels > LARGE
        self._handled += task.piece.pixels
        self._seconds += time.monotonic() - began
        error = None if running.cancelled() else running.exception()
        if not task.result.done():
            if running.cancelled():
                task.result.cancel()
            elif error is not None:
                task.result.set_exception(error)
            else:
                task.result.set_result(running.result())
        self._begin()
