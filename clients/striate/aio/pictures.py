"""Pictures on their way: their previews, and those of a layer, for an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Self

from striate._rpc.batching import check_count
from striate.errors import Internal
from striate.results.layer_pictures import LayerPictures, UnitPicture
from striate.results.visualization import Progress, Visualizations

if TYPE_CHECKING:
    from types import TracebackType

    from striate.provenance import Provenance


class _Closable:
    """A call that begins with its first event and ends with the block or the coroutine."""

    _events: AsyncGenerator[Any, None]

    async def close(self) -> None:
        """Stops the work on the server; without effect on work that is done."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class PictureStream(_Closable):
    """Pictures while they are made: iterate over the Progress of their steps, then take `result`;
    or await the stream for the result alone.

    Leaving its `async with` block stops the work on the server.
    """

    def __init__(self, events: AsyncGenerator[Any, None], expected: int) -> None:
        self._events = events
        self._expected = expected
        self._result: Visualizations | None = None

    async def __aiter__(self) -> AsyncIterator[Progress]:
        async for event in self._events:
            if event.HasField("result"):
                self._result = Visualizations.read(event.result)
                check_count(len(self._result), self._expected)
            else:
                yield Progress.read(event.progress)

    def __await__(self) -> Generator[Any, None, Visualizations]:
        return self._whole().__await__()

    @property
    def result(self) -> Visualizations:
        """The pictures, one an objective and variant, once all events have come.

        Raises:
            Internal: They have not.
        """
        if self._result is None:
            raise Internal("the visualization has not ended: read its progress to the end")
        return self._result

    async def _whole(self) -> Visualizations:
        async for _ in self:
            pass
        return self.result


class AsyncLayerPictures(_Closable):
    """The pictures of a layer's units, as they finish: iterate over them.

    Leaving its `async with` block stops the work on the server, which keeps what is finished.
    """

    def __init__(self, pictures: LayerPictures, events: AsyncGenerator[Any, None]) -> None:
        self._events = events
        self._pictures = pictures

    async def __aiter__(self) -> AsyncIterator[UnitPicture]:
        async for event in self._events:
            if self._pictures.take(event):
                yield self._pictures.found[-1]
        self._pictures.check_end()

    @property
    def found(self) -> list[UnitPicture]:
        """The units so far, in the order in which they came."""
        return self._pictures.found

    @property
    def total(self) -> int:
        """Units in all, 0 before the first."""
        return self._pictures.total

    @property
    def provenance(self) -> Provenance | None:
        """Where the pictures came from, None before the first."""
        return self._pictures.provenance
