"""Pixels in flight: counted, refused with a time to come back, or waited for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.imaging.decoding import LEAST, DecodeLimits, FairPool, PixelBudget, PoolBusy, ShareCall

LIMITS = DecodeLimits(image=4 * LEAST, request=8 * LEAST, server=12 * LEAST)


def budget() -> PixelBudget:
    return PixelBudget(LIMITS, FairPool(ThreadPoolExecutor(2), 2))


def test_what_does_not_fit_is_refused_with_the_time_to_come_back() -> None:
    async def scenario(kept: PixelBudget) -> None:
        with kept.hold("a") as first, kept.hold("b") as second:
            await first.set(8 * LEAST)
            with pytest.raises(PoolBusy, match=f"{5 * LEAST} pixels, and {8 * LEAST} of") as found:
                await second.set(5 * LEAST)
            assert found.value.retry_after >= 0.1
            assert (kept.pixels, second.pixels, kept.refused) == (8 * LEAST, 0, 1)
            await second.set(4 * LEAST)
            assert kept.pixels == 12 * LEAST
        assert (kept.pixels, kept.held("a"), kept.held("b")) == (0, 0, 0)

    asyncio.run(scenario(budget()))


def test_a_share_that_fills_the_budget_leaves_some_to_each_of_the_others() -> None:
    limits = DecodeLimits(image=8 * LEAST, request=16 * LEAST, server=16 * LEAST)

    async def scenario(kept: PixelBudget) -> None:
        with (
            kept.hold(ShareCall("a", 1)) as first,
            kept.hold(ShareCall("a", 2)) as second,
            kept.hold(ShareCall("b", 3)) as other,
        ):
            await first.set(8 * LEAST)
            await second.set(8 * LEAST)
            with pytest.raises(PoolBusy):
                await second.set(9 * LEAST)
            with pytest.raises(PoolBusy):
                await other.set(3 * LEAST)
            await other.set(2 * LEAST)
            with kept.hold(ShareCall("c", 4)) as third, pytest.raises(PoolBusy):
                await third.set(LEAST)

    asyncio.run(scenario(PixelBudget(limits, FairPool(ThreadPoolExecutor(2), 2))))


def test_a_hold_is_changed_not_added_to() -> None:
    async def scenario(kept: PixelBudget) -> None:
        with kept.hold("a") as hold:
            await hold.set(8 * LEAST)
            await hold.set(12 * LEAST)
            assert kept.pixels == 12 * LEAST
            hold.give_back(5 * LEAST)
            hold.give_back(99 * LEAST)
            assert kept.pixels == 0

    asyncio.run(scenario(budget()))


def test_a_stream_waits_for_its_own_images_and_for_those_of_others() -> None:
    async def scenario(kept: PixelBudget) -> None:
        first, second, third = (kept.hold(name) for name in ("a", "a", "b"))
        await first.set(6 * LEAST, patient=True)
        own = asyncio.create_task(second.set(4 * LEAST, patient=True))
        others = asyncio.create_task(third.set(8 * LEAST, patient=True))
        await asyncio.sleep(0.01)
        assert not own.done()
        assert not others.done()
        first.give_back(6 * LEAST)
        await asyncio.wait_for(asyncio.gather(own, others), 5)
        assert kept.pixels == 12 * LEAST

    asyncio.run(scenario(budget()))


def test_whoever_gives_up_waiting_holds_nothing() -> None:
    async def scenario(kept: PixelBudget) -> None:
        with kept.hold("a") as first:
            await first.set(12 * LEAST)
            with kept.hold("b") as second, pytest.raises(TimeoutError):
                await asyncio.wait_for(second.set(4 * LEAST, patient=True), 0.01)
        assert kept.pixels == 0
        with kept.hold("c") as third:  # and is not let in later
            await third.set(12 * LEAST)
            assert kept.pixels == 12 * LEAST

    asyncio.run(scenario(budget()))
