"""Kept pictures are whole or not there, and those of one layer are made once, whoever asks."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.visualization.cache import Picture, PictureCache, key
from service.visualization.layer_stream import Block, Gallery, Shown
from tests.service.rpc.toys_studio import run

KEY = key("a", 1)


def picture(number: int = 0) -> Picture:
    layer = np.array([0.1, np.pi, -3e-8, number], np.float32)
    return Picture(
        b"png %d" % number, 1 / 3, 0.2, -0.1, False, 2, 4, layer, (0.1, 1e-9), 3, 2**64 - 1, 0.05
    )


def same(one: Picture | None, other: Picture) -> bool:
    """Whether two pictures are equal to the last bit."""
    assert one is not None
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def test_what_is_kept_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    PictureCache(tmp_path).put(KEY, picture())
    assert same(PictureCache(tmp_path).get(KEY), picture())
    assert PictureCache(tmp_path).get(key("a", 2)) is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_keys_differ_with_every_part() -> None:
    keys = {
        key(*parts) for parts in (["a", 1], ["a", 2], ["a", 1.5], ["a"], ["a", [1]], ["a", None])
    }
    assert len(keys) == 6


@pytest.mark.parametrize("ending", ["png", "json"])
@pytest.mark.parametrize("damage", [b"", b"7", b'{"activation": 1, "sha256": ""}', None])
def test_a_damaged_picture_is_none(tmp_path: Path, ending: str, damage: bytes | None) -> None:
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    (path,) = tmp_path.rglob(f"*.{ending}")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert cache.get(KEY) is None
    cache.put(KEY, picture())
    assert same(cache.get(KEY), picture())


def test_a_changed_number_is_damage(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace('"held_out": 0.2', '"held_out": 0.9'))
    assert "0.9" in path.read_text()
    assert cache.get(KEY) is None


def age(folder: Path, name: str, seconds: int) -> None:
    """Make a kept picture's files, or another file of that name, so old."""
    then = time.time() - seconds
    for path in folder.rglob(f"{name}.*"):
        os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.*")}


def test_what_was_asked_for_longest_ago_goes_first(tmp_path: Path) -> None:
    keys = [key(number) for number in range(12)]
    PictureCache(tmp_path).put(keys[0], picture())
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.*"))
    cache = PictureCache(tmp_path, most_bytes=10 * size + size // 2)
    left = tmp_path / keys[0][:2] / "left.tmp"  # by a server that was killed
    left.write_bytes(b"x")
    age(tmp_path, "left", 9000)
    for number, name in enumerate(keys[:10]):
        cache.put(name, picture())
        age(tmp_path, name, 1000 - number)
    assert same(cache.get(keys[0]), picture())  # which makes it the youngest
    assert names(tmp_path) == {*keys[:10], "left"}
    cache.put(keys[10], picture())  # is too much: a tenth of the room is made
    assert names(tmp_path) == {keys[0], *keys[3:11]}
    assert cache.get(keys[1]) is None
    restarted = PictureCache(tmp_path, most_bytes=3 * size)  # it had more room before
    restarted.put(keys[11], picture())
    assert names(tmp_path) == {keys[0], keys[11]} or names(tmp_path) == {keys[10], keys[11]}
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= 3 * size


def test_without_room_nothing_is_kept(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, most_bytes=0)
    cache.put(KEY, picture())
    assert not names(tmp_path)
    small = PictureCache(tmp_path, most_bytes=1)
    small.put(KEY, picture())
    assert small.get(KEY) is None


def test_a_disk_that_takes_nothing_loses_no_picture(tmp_path: Path) -> None:
    (tmp_path / KEY[:2]).write_text("a file where a folder should be")
    cache = PictureCache(tmp_path)
    cache.put(KEY, picture())
    assert cache.get(KEY) is None


class Studio:
    """Makes pictures when it is let, and counts."""

    def __init__(self, let: bool = True) -> None:
        self.made: list[range] = []
        self.go, self.begun, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if let:
            self.go.set()

    async def make(self, units: range) -> dict[int, Picture]:
        self.made.append(units)
        self.begun.set()
        try:
            await self.go.wait()
        finally:
            self.ended.set()
        return {unit: picture(unit) for unit in units}


async def aside(call: Callable[..., Any], /, *args: Any) -> Any:
    return await asyncio.to_thread(call, *args)


def blocks(count: int, wanted: range | None = None) -> list[Block]:
    """Blocks of four units."""
    parts = [range(low, low + 4) for low in range(0, 4 * count, 4)]
    return [
        Block(p, {u: key("unit", u) for u in p}, [u for u in p if wanted is None or u in wanted])
        for p in parts
    ]


async def shown(gallery: Gallery, some: list[Block], make: Any) -> list[Shown]:
    return [one async for one in gallery.show(some, make)]


def together(scenario: Callable[[Gallery], Awaitable[None]], folder: Path) -> None:
    async def start() -> None:
        await scenario(Gallery(PictureCache(folder), aside))

    run(start)


def test_all_units_come_once_and_are_kept(tmp_path: Path) -> None:
    async def scenario(gallery: Gallery) -> None:
        studio = Studio()
        first = await shown(gallery, blocks(3), studio.make)
        assert sorted(one.unit for one in first) == list(range(12))
        assert all(same(one.picture, picture(one.unit)) and not one.cached for one in first)
        later = await shown(
            Gallery(PictureCache(tmp_path), aside), blocks(3, range(3, 9)), studio.make
        )
        assert sorted(one.unit for one in later) == list(range(3, 9))
        assert all(same(one.picture, picture(one.unit)) and one.cached for one in later)
        assert len(studio.made) == 3

    together(scenario, tmp_path)


def test_two_who_ask_at_once_share_the_work(tmp_path: Path) -> None:
    async def scenario(gallery: Gallery) -> None:
        studio = Studio(let=False)
        both = [asyncio.ensure_future(shown(gallery, blocks(4), studio.make)) for _ in range(2)]
        await studio.begun.wait()
        studio.go.set()
        for found in await asyncio.gather(*both):
            assert sorted(one.unit for one in found) == list(range(16))
        assert len(studio.made) == 4

    together(scenario, tmp_path)


def test_the_last_to_leave_ends_the_work(tmp_path: Path) -> None:
    async def scenario(gallery: Gallery) -> None:
        studio = Studio(let=False)
        both = [asyncio.ensure_future(shown(gallery, blocks(1), studio.make)) for _ in range(2)]
        await studio.begun.wait()
        both[0].cancel()
        await asyncio.wait([both[0]])
        assert not studio.ended.is_set()  # the other still waits
        both[1].cancel()
        await asyncio.wait([both[1]])
        await studio.ended.wait()
        studio.go.set()
        assert (
            len(await shown(gallery, blocks(1), studio.make)) == 4
        )  # and who comes later is served
        assert len(studio.made) == 2

    together(scenario, tmp_path)


def test_what_fails_fails_for_all_who_wait_and_not_for_later_ones(tmp_path: Path) -> None:
    async def scenario(gallery: Gallery) -> None:
        async def fail(units: range) -> dict[int, Picture]:
            await asyncio.sleep(0.01)
            raise ArithmeticError(f"{units.start}")

        both = await asyncio.gather(
            *(shown(gallery, blocks(1), fail) for _ in range(2)), return_exceptions=True
        )
        assert [type(one) for one in both] == [ArithmeticError] * 2
        assert len(await shown(gallery, blocks(1), Studio().make)) == 4

    together(scenario, tmp_path)


def test_no_more_blocks_are_at_work_than_asked_for(tmp_path: Path) -> None:
    async def scenario(gallery: Gallery) -> None:
        at_work, most = 0, 0

        async def make(units: range) -> dict[int, Picture]:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.001)
            at_work -= 1
            return {unit: picture(unit) for unit in units}

        found = [one async for one in gallery.show(blocks(9), make, ahead=3)]
        assert len(found) == 36
        assert most == 3

    together(scenario, tmp_path)
