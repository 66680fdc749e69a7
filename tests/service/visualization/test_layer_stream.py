"""Pictures of one layer are made once, whoever asks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from service.visualization.cache import Picture, PictureCache, content_key
from service.visualization.layer_stream import LayerStream, UnitBlock, UnitPicture
from tests.service.rpc.toys_studio import run
from tests.service.visualization.toys_pictures import picture, same


class Renderer:
    """Makes pictures when it is let, and counts."""

    def __init__(self, let: bool = True) -> None:
        self.made: list[range] = []
        self.go, self.started, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if let:
            self.go.set()

    async def render(self, units: range) -> dict[int, Picture]:
        self.made.append(units)
        self.started.set()
        try:
            await self.go.wait()
        finally:
            self.ended.set()
        return {unit: picture(unit) for unit in units}


async def run_in_pool(call: Callable[..., Any], /, *args: Any) -> Any:
    return await asyncio.to_thread(call, *args)


def blocks(count: int, requested: range | None = None) -> list[UnitBlock]:
    """Blocks of four units."""
    parts = [range(low, low + 4) for low in range(0, 4 * count, 4)]
    return [
        UnitBlock(
            p,
            {u: content_key("unit", u) for u in p},
            [u for u in p if requested is None or u in requested],
        )
        for p in parts
    ]


async def collected(stream: LayerStream, some: list[UnitBlock], render: Any) -> list[UnitPicture]:
    return [one async for one in stream.stream(some, render)]


def together(scenario: Callable[[LayerStream], Awaitable[None]], folder: Path) -> None:
    async def start() -> None:
        await scenario(LayerStream(PictureCache(folder), run_in_pool))

    run(start)


def test_all_units_come_once_and_are_kept(tmp_path: Path) -> None:
    async def scenario(stream: LayerStream) -> None:
        renderer = Renderer()
        first = await collected(stream, blocks(3), renderer.render)
        assert sorted(one.unit for one in first) == list(range(12))
        assert all(same(one.picture, picture(one.unit)) and not one.cached for one in first)
        later = await collected(
            LayerStream(PictureCache(tmp_path), run_in_pool),
            blocks(3, range(3, 9)),
            renderer.render,
        )
        assert sorted(one.unit for one in later) == list(range(3, 9))
        assert all(same(one.picture, picture(one.unit)) and one.cached for one in later)
        assert len(renderer.made) == 3

    together(scenario, tmp_path)


def test_two_who_ask_at_once_share_the_work(tmp_path: Path) -> None:
    async def scenario(stream: LayerStream) -> None:
        renderer = Renderer(let=False)
        both = [
            asyncio.ensure_future(collected(stream, blocks(4), renderer.render)) for _ in range(2)
        ]
        await renderer.started.wait()
        renderer.go.set()
        for found in await asyncio.gather(*both):
            assert sorted(one.unit for one in found) == list(range(16))
        assert len(renderer.made) == 4

    together(scenario, tmp_path)


def test_the_last_to_leave_ends_the_work(tmp_path: Path) -> None:
    async def scenario(stream: LayerStream) -> None:
        renderer = Renderer(let=False)
        both = [
            asyncio.ensure_future(collected(stream, blocks(1), renderer.render)) for _ in range(2)
        ]
        await renderer.started.wait()
        both[0].cancel()
        await asyncio.wait([both[0]])
        assert not renderer.ended.is_set()  # the other still waits
        both[1].cancel()
        await asyncio.wait([both[1]])
        await renderer.ended.wait()
        renderer.go.set()
        assert (
            len(await collected(stream, blocks(1), renderer.render)) == 4
        )  # and who comes later is served
        assert len(renderer.made) == 2

    together(scenario, tmp_path)


def test_what_fails_fails_for_all_who_wait_and_not_for_later_ones(tmp_path: Path) -> None:
    async def scenario(stream: LayerStream) -> None:
        async def fail(units: range) -> dict[int, Picture]:
            await asyncio.sleep(0.01)
            raise ArithmeticError(f"{units.start}")

        both = await asyncio.gather(
            *(collected(stream, blocks(1), fail) for _ in range(2)), return_exceptions=True
        )
        assert [type(one) for one in both] == [ArithmeticError] * 2
        assert len(await collected(stream, blocks(1), Renderer().render)) == 4

    together(scenario, tmp_path)


def test_no_more_blocks_are_at_work_than_asked_for(tmp_path: Path) -> None:
    async def scenario(stream: LayerStream) -> None:
        at_work, most = 0, 0

        async def make(units: range) -> dict[int, Picture]:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.001)
            at_work -= 1
            return {unit: picture(unit) for unit in units}

        found = [one async for one in stream.stream(blocks(9), make, ahead=3)]
        assert len(found) == 36
        assert most == 3

    together(scenario, tmp_path)
