"""A layer's pictures as they finish: from disk, from the work of somebody who asked for the same,
or made now.

Units are made in blocks of fixed composition, so that a picture does not depend on which others are
asked for: how a library adds up may depend on the shape of a pass and on a row's place in it
(`interp.rows.Chunks`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.visualization.cache import Picture, PictureCache

AHEAD = 2  # blocks at work for one caller: the device has one while another is encoded or read

PicturesByUnit = Mapping[int, Picture]
Render = Callable[[range], Awaitable[PicturesByUnit]]


class RunInPool(Protocol):
    """Runs a blocking call in a thread of a pool."""

    def __call__(self, call: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """Return what the call returns, once it has."""


@dataclass(frozen=True, eq=False)
class UnitBlock:
    """Units that are made together.

    Attributes:
        units: all of them.
        keys: the key of each unit's picture in the cache.
        requested: which of them are asked for.
    """

    units: range
    keys: Mapping[int, str]
    requested: Sequence[int]

    @property
    def key(self) -> str:
        """Names the whole block."""
        return self.keys[self.units.start]


@dataclass(frozen=True, eq=False)
class UnitPicture:
    """One unit's picture, and whether it was kept from earlier."""

    unit: int
    picture: Picture
    cached: bool


@dataclass(frozen=True, eq=False)
class _BlockPictures:
    """A finished block, and whether it was kept from earlier."""

    pictures: PicturesByUnit
    cached: bool


@dataclass(eq=False)
class _BlockTask:
    """A block that is being read or made for so many callers; the last to leave cancels it."""

    task: "asyncio.Task[_BlockPictures]"
    users: int = 0


class LayerStream:
    """Streams the pictures of layers. To be used from one event loop.

    Args:
        cache: where pictures are kept.
        run_in_pool: where files are read and written.
    """

    def __init__(self, cache: PictureCache, run_in_pool: RunInPool) -> None:
        self._cache, self._run_in_pool = cache, run_in_pool
        self._tasks: dict[str, _BlockTask] = {}

    async def stream(
        self, blocks: Sequence[UnitBlock], render: Render, ahead: int = AHEAD
    ) -> AsyncGenerator[UnitPicture, None]:
        """Stream each requested unit of the blocks once, as it is finished; the caller closes this
        when it leaves (`contextlib.aclosing`).

        Args:
            blocks: without a unit twice.
            render: makes the pictures of a block's units. What it raises is raised here, and for
                every other caller who waits for the same block.
            ahead: most blocks that are at work at once for this caller, at least 1.

        Yields:
            The requested units, block by block.
        """
        waiting, running = deque(blocks), dict[_BlockTask, UnitBlock]()
        try:
            while waiting or running:
                while waiting and len(running) < ahead:
                    block = waiting.popleft()
                    running[self._join(block, render)] = block
                await asyncio.wait(
                    [shared.task for shared in running], return_when=asyncio.FIRST_COMPLETED
                )
                for shared in [shared for shared in running if shared.task.done()]:
                    block = running.pop(shared)
                    finished = shared.task.result()
                    for unit in block.requested:
                        yield UnitPicture(unit, finished.pictures[unit], finished.cached)
        finally:
            for shared in running:
                shared.users -= 1
                if not shared.users:
                    shared.task.cancel()

    def _join(self, block: UnitBlock, render: Render) -> _BlockTask:
        """The task of a block, started if nobody has."""
        shared = self._tasks.get(block.key)
        if shared is None or shared.task.cancelling():
            task = asyncio.ensure_future(self._read_or_render(block, render))
            shared = self._tasks[block.key] = _BlockTask(task)
            task.add_done_callback(lambda _, shared=shared: self._finished(block.key, shared))  # type: ignore[misc]
        shared.users += 1
        return shared

    def _finished(self, key: str, shared: _BlockTask) -> None:
        """Forget a task that has ended."""
        if self._tasks.get(key) is shared:
            del self._tasks[key]
        if not shared.task.cancelled():
            shared.task.exception()  # it is raised for whoever waits; nobody may be left

    async def _read_or_render(self, block: UnitBlock, render: Render) -> _BlockPictures:
        """The pictures of a block, from disk if all are there."""
        kept: PicturesByUnit | None = await self._run_in_pool(self._read, block)
        if kept is not None:
            return _BlockPictures(kept, cached=True)
        pictures = await render(block.units)
        await self._run_in_pool(self._write, block, pictures)
        return _BlockPictures(pictures, cached=False)

    def _read(self, block: UnitBlock) -> PicturesByUnit | None:
        """The whole block from disk, or None."""
        found = dict[int, Picture]()
        for unit in block.units:
            picture = self._cache.get(block.keys[unit])
            if picture is None:
                return None
            found[unit] = picture
        return found

    def _write(self, block: UnitBlock, pictures: PicturesByUnit) -> None:
        """Keep the whole block on disk."""
        for unit in block.units:
            self._cache.put(block.keys[unit], pictures[unit])
