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

Pictures = Mapping[int, Picture]  # by unit
Make = Callable[[range], Awaitable[Pictures]]


class Aside(Protocol):
    """Runs a call in a thread of a pool."""

    def __call__(self, call: Callable[..., Any], /, *args: Any) -> Awaitable[Any]: ...


@dataclass(frozen=True, eq=False)
class Block:
    """Units that are made together, the key of each in the cache, and which of them are
    asked for.
    """

    units: range
    keys: Mapping[int, str]
    wanted: Sequence[int]

    @property
    def key(self) -> str:
        """Names the whole block."""
        return self.keys[self.units.start]


@dataclass(frozen=True, eq=False)
class Shown:
    """One unit's picture, and whether it was kept from earlier."""

    unit: int
    picture: Picture
    cached: bool


@dataclass(frozen=True, eq=False)
class _Made:
    pictures: Pictures
    cached: bool


@dataclass(eq=False)
class _Work:
    """A block that is being read or made for so many callers; the last to leave cancels it."""

    task: "asyncio.Task[_Made]"
    users: int = 0


class Gallery:
    """Hands out pictures. To be used from one event loop.

    Args:
        aside: where files are read and written.
    """

    def __init__(self, cache: PictureCache, aside: Aside) -> None:
        self._cache, self._aside = cache, aside
        self._works: dict[str, _Work] = {}

    async def show(
        self, blocks: Sequence[Block], make: Make, ahead: int = AHEAD
    ) -> AsyncGenerator[Shown, None]:
        """Each wanted unit of the blocks once, as it is had; the caller closes this when it leaves
        (`contextlib.aclosing`).

        Args:
            make: gives the pictures of a block's units. What it raises is raised here, and for
                every other caller who waits for the same block.
            ahead: most blocks that are at work at once for this caller.
        """
        waiting, mine = deque(blocks), dict[_Work, Block]()
        try:
            while waiting or mine:
                while waiting and len(mine) < ahead:
                    block = waiting.popleft()
                    mine[self._join(block, make)] = block
                await asyncio.wait(
                    [work.task for work in mine], return_when=asyncio.FIRST_COMPLETED
                )
                for work in [work for work in mine if work.task.done()]:
                    block = mine.pop(work)
                    made = work.task.result()
                    for unit in block.wanted:
                        yield Shown(unit, made.pictures[unit], made.cached)
        finally:
            for work in mine:
                work.users -= 1
                if not work.users:
                    work.task.cancel()

    def _join(self, block: Block, make: Make) -> _Work:
        """The work on a block, begun if nobody is at it."""
        work = self._works.get(block.key)
        if work is None or work.task.cancelling():
            work = self._works[block.key] = _Work(
                asyncio.ensure_future(self._read_or_make(block, make))
            )
            work.task.add_done_callback(lambda _, work=work: self._finished(block.key, work))  # type: ignore[misc]
        work.users += 1
        return work

    def _finished(self, key: str, work: _Work) -> None:
        if self._works.get(key) is work:
            del self._works[key]
        if not work.task.cancelled():
            work.task.exception()  # it is told to whoever waits; nobody may be left

    async def _read_or_make(self, block: Block, make: Make) -> _Made:
        kept: Pictures | None = await self._aside(self._kept, block)
        if kept is not None:
            return _Made(kept, cached=True)
        pictures = await make(block.units)
        await self._aside(self._keep, block, pictures)
        return _Made(pictures, cached=False)

    def _kept(self, block: Block) -> Pictures | None:
        """The whole block from disk, or None."""
        found = dict[int, Picture]()
        for unit in block.units:
            picture = self._cache.get(block.keys[unit])
            if picture is None:
                return None
            found[unit] = picture
        return found

    def _keep(self, block: Block, pictures: Pictures) -> None:
        for unit in block.units:
            self._cache.put(block.keys[unit], pictures[unit])
