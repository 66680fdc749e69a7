"""Pages are returned when the process has grown by much, and not again until it has once more."""

import asyncio

from service.watch.memory import MUCH, MemoryWatch, resident


def test_pages_are_returned_after_every_growth() -> None:
    sizes, given = [0], list[int]()

    def give() -> None:
        given.append(sizes[0])
        sizes[0] -= MUCH // 2

    watch = MemoryWatch(lambda: sizes[0], give)

    async def grown_to(size: int) -> None:
        sizes[0] = size
        await watch.look()

    async def run() -> None:
        await grown_to(MUCH)
        assert given == []
        await grown_to(2 * MUCH)
        assert given == [2 * MUCH]
        await grown_to(2 * MUCH)  # half of MUCH more than what was left
        assert given == [2 * MUCH]
        await grown_to(MUCH // 4)
        await grown_to(MUCH + MUCH // 2)
        assert given == [2 * MUCH, MUCH + MUCH // 2]

    asyncio.run(run())


def test_the_size_of_a_process_is_told() -> None:
    assert resident() > 2**20
