"""Progress of pictures in the making, from the engine's thread to a call's coroutine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.probe import StepProgress

MOST_UNSENT = 32  # updates kept for a slow reader; more are dropped


@dataclass(frozen=True, eq=False)
class StepUpdate:
    """One step of a climb.

    Attributes:
        step: from 1.
        scores: of each picture, under the random views of this step.
        previews: the running pictures, each (C, H, W) uint8; empty where none are due.
    """

    step: int
    scores: list[float]
    previews: list[NDArray[np.uint8]]


class ProgressQueue:
    """Carries a job's progress from the engine's thread to the event loop that it was made on; it
    rather drops updates than keeps a job waiting.

    Args:
        preview_every: previews are due every so many steps; 0 for none.
    """

    def __init__(self, preview_every: int) -> None:
        self._every = preview_every
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[StepUpdate] = asyncio.Queue(MOST_UNSENT)
        self._previews_unsent = 0
        self._last_step = 0

    def put(self, progress: StepProgress, scores: Tensor) -> None:
        """Report a step. Called by the engine; pictures are copied off the device only for previews
        that are due and can be sent.

        Only the first optimization is reported: later ones, of a few rows or of further seeds,
        begin at step 1 again.

        Args:
            progress: of the job.
            scores: (B,) of the pictures.
        """
        if progress.step <= self._last_step:
            return
        self._last_step = progress.step
        previews: list[NDArray[np.uint8]] = []
        if self._every and progress.step % self._every == 0 and not self._previews_unsent:
            previews = list((progress.preview() * 255).round().byte().cpu().numpy())
        update = StepUpdate(progress.step, scores.tolist(), previews)
        self._loop.call_soon_threadsafe(self._enqueue, update)

    def _enqueue(self, update: StepUpdate) -> None:
        """Keep an update on the event loop, if there is room."""
        if not self._queue.full():
            self._previews_unsent += bool(update.previews)
            self._queue.put_nowait(update)

    async def until(self, job: "asyncio.Future[Any]") -> AsyncIterator[StepUpdate]:
        """Yield the updates as they come, until a job is done.

        Args:
            job: the one that reports here; what it raises is raised.

        Yields:
            Updates, in order.
        """
        while not (job.done() and self._queue.empty()):
            update = asyncio.ensure_future(self._queue.get())
            either: set[asyncio.Future[Any]] = {update, job}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if update.done():
                    yield update.result()
                    self._previews_unsent -= bool(update.result().previews)
            finally:
                update.cancel()
        job.result()
