"""A few threads that many calls share: each call has its turn, and what is small goes first."""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar

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


@dataclass(eq=False)
class _Lane:
    """The pieces of one call in their order, and how far the call has been served."""

    served: float
    tasks: deque[_Task] = field(default_factory=deque)


class FairPool:
    """Runs pieces of work in threads. To be used from one event loop.

    Calls are served by self-clocked fair queueing (Golestani 1994): the piece is next with which
    its call would have been served least, counted in pixels. So a call of one image does not wait
    for the hundred of another, and no stream of small calls keeps a large one waiting for ever.
    Large pieces leave one thread to the small ones.

    Args:
        executor: of the threads.
        workers: threads that are used at a time, at least 2.
    """

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor, self._workers = executor, workers
        self._lanes: dict[Hashable, _Lane] = {}
        self._clock = (
            0.0  # the service, in pixels, that a call which comes now is taken to have had
        )
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
            caller: whose turn they take: pieces of equal callers go one after the other.
            pieces: in the order in which they begin.
            ahead: before what waits of the same caller, as answers go before what is still to be
                decoded.

        Returns:
            Their results, in the same order.

        Raises:
            Exception: what the first piece that failed raised.
        """
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault(caller, _Lane(self._clock))
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
            self._drop_if_empty(caller, lane)

    def _tasks(self) -> Iterator[_Task]:
        """What waits, copied first: metrics are read from another thread."""
        return chain.from_iterable(list(lane.tasks) for lane in list(self._lanes.values()))

    def _drop_if_empty(self, caller: Hashable, lane: _Lane) -> None:
        if not lane.tasks and self._lanes.get(caller) is lane:
            del self._lanes[caller]

    def _begin(self) -> None:
        """Hand pieces to the threads that are free."""
        while self._running < self._workers and (found := self._next()) is not None:
            caller, lane = found
            task = lane.tasks.popleft()
            self._clock = lane.served = lane.served + task.piece.pixels
            self._drop_if_empty(caller, lane)
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

    def _next(self) -> tuple[Hashable, _Lane] | None:
        """The call whose turn it is, if it has a piece for which there is room."""
        crowded = self._running_large >= self._workers - 1
        ready = (
            (lane.served + lane.tasks[0].piece.pixels, number, caller, lane)
            for number, (caller, lane) in enumerate(self._lanes.items())
            if not (crowded and lane.tasks[0].piece.pixels > LARGE)
        )
        best = min(ready, default=None, key=lambda each: each[:2])
        return None if best is None else best[2:]

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
