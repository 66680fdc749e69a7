"""Calls that share threads: in turn, the small first, and no longer than somebody waits."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from service.imaging.decoding import (
    LARGE,
    LEAST,
    Abandoned,
    FairPool,
    Piece,
    ShareCall,
    check_wanted,
)

WAIT = 20.0


class Gate:
    """A piece of work that holds its thread until the gate opens."""

    def __init__(self) -> None:
        self.began, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.began.set()
        assert self.open.wait(WAIT)


@contextlib.contextmanager
def pools(workers: int = 2) -> Iterator[FairPool]:
    with ThreadPoolExecutor(workers) as executor:
        yield FairPool(executor, workers)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - what threads do sets no event of the loop
            await asyncio.sleep(0.001)


def in_order(
    *calls: tuple[Any, list[int]],
) -> list[Any]:
    """In what order the pieces of calls run that all wait for one thread; a letter a call."""
    order: list[Any] = []

    async def scenario(pool: FairPool) -> None:
        gates = Gate(), Gate()
        held = [asyncio.create_task(pool.run(gate, [Piece(gate)])) for gate in gates]
        await until(lambda: all(gate.began.is_set() for gate in gates))
        waiting = [
            asyncio.create_task(
                pool.run(name, [Piece(partial(order.append, name), pixels) for pixels in costs])
            )
            for name, costs in calls
        ]
        await until(lambda: pool.waiting == sum(len(costs) for _, costs in calls))
        assert pool.oldest_wait > 0
        gates[0].open.set()  # one thread alone, so that the order is one
        await asyncio.gather(*waiting)
        gates[1].open.set()
        await asyncio.gather(*held)
        assert (pool.waiting, pool.oldest_wait) == (0, 0)

    with pools() as pool:
        asyncio.run(scenario(pool))
    return order


def test_a_call_of_one_image_does_not_wait_for_the_hundred_of_another() -> None:
    assert in_order(("a", [LEAST] * 100), ("b", [LEAST])).index("b") <= 1


def test_a_call_does_not_wait_for_the_hundred_calls_of_another_share() -> None:
    order = in_order(
        *((ShareCall("a", n), [LEAST] * 2) for n in range(100)), (ShareCall("b", 0), [LEAST])
    )
    assert order.index(ShareCall("b", 0)) <= 1
    of_the_other = [turn.call for turn in order if turn.share == "a"]
    assert of_the_other == [*range(100), *range(100)]  # and these take turns too


def test_calls_of_many_images_take_turns() -> None:
    order = in_order(("a", [LEAST] * 20), ("b", [LEAST] * 20), ("c", [LEAST] * 20))
    for third in range(3, 61, 3):
        assert {order[:third].count(name) for name in "abc"} == {third // 3}


def test_the_small_go_first_and_the_large_in_the_end() -> None:
    assert in_order(("large", [100 * LEAST]), ("small", [LEAST] * 5)) == ["small"] * 5 + ["large"]


def test_a_stream_of_small_calls_does_not_keep_a_large_one_waiting() -> None:
    order: list[str] = []

    async def scenario(pool: FairPool) -> None:
        gates = Gate(), Gate()
        held = [asyncio.create_task(pool.run(gate, [Piece(gate)])) for gate in gates]
        await until(lambda: all(gate.began.is_set() for gate in gates))
        large = asyncio.create_task(
            pool.run("large", [Piece(partial(order.append, "large"), 50 * LEAST)])
        )

        async def follow(number: int) -> None:  # each call of one image is followed by another one
            if not large.done() and number < 500:
                await pool.run(object(), [Piece(partial(order.append, "small"))])
                await follow(number + 1)

        small = [asyncio.create_task(follow(0)) for _ in range(3)]
        await until(lambda: pool.waiting == 4)
        gates[0].open.set()
        await asyncio.gather(large, *small)
        gates[1].open.set()
        await asyncio.gather(*held)

    with pools() as pool:
        asyncio.run(scenario(pool))
    assert order.index("large") <= 3 * 50 + 3  # each of the three has had as much as the large one


def test_large_pieces_leave_a_thread_to_small_ones() -> None:
    async def scenario(pool: FairPool) -> None:
        gates = Gate(), Gate()
        large = [asyncio.create_task(pool.run(g, [Piece(g, LARGE + 1)])) for g in gates]
        await until(gates[0].began.is_set)
        assert await asyncio.wait_for(pool.run("b", [Piece(lambda: 7)]), WAIT) == [7]
        assert not gates[1].began.is_set()
        for gate in gates:
            gate.open.set()
        await asyncio.gather(*large)

    with pools() as pool:
        asyncio.run(scenario(pool))


async def cancelled(pool: FairPool, began: list[int], pieces: list[Piece[None]]) -> None:
    """Run pieces, and cancel the call as soon as one has begun."""
    call = asyncio.create_task(pool.run("a", pieces))
    await until(lambda: began)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.waiting == 0


def test_what_has_not_begun_never_does_once_its_call_is_cancelled() -> None:
    began: list[int] = []
    gate = Gate()

    def piece() -> None:
        began.append(1)
        gate()

    async def scenario(pool: FairPool) -> None:
        await cancelled(pool, began, [Piece(piece)] * 50)
        gate.open.set()
        await pool.run("b", [Piece(lambda: None)] * 5)

    with pools() as pool:
        asyncio.run(scenario(pool))
    assert 1 <= len(began) <= 2


def test_what_has_begun_ends_at_its_next_step() -> None:
    began: list[int] = []
    ended: list[BaseException] = []

    def piece() -> None:
        began.append(1)
        try:
            while True:
                threading.Event().wait(0.001)
                check_wanted()
        except Abandoned as error:
            ended.append(error)
            raise

    with pools() as pool:
        asyncio.run(cancelled(pool, began, [Piece(piece)]))
    assert len(ended) == 1


def test_work_that_belongs_to_no_call_is_always_wanted() -> None:
    check_wanted()


def test_an_error_is_raised_where_it_is_awaited_and_ends_the_rest() -> None:
    begun: list[int] = []

    def fail() -> None:
        begun.append(1)
        raise KeyError("bad")

    async def scenario(pool: FairPool) -> None:
        with pytest.raises(KeyError, match="bad"):
            await pool.run("a", [Piece(fail)] * 100)
        assert await pool.run("a", [Piece(lambda: 1)]) == [1]

    with pools() as pool:
        asyncio.run(scenario(pool))
    assert len(begun) < 100


def test_threads_that_have_ended_are_an_error_of_the_call() -> None:
    with pools() as pool:
        pass
    run: Callable[[], Awaitable[list[int]]] = partial(pool.run, "a", [Piece(lambda: 1)])

    async def scenario() -> None:
        with pytest.raises(RuntimeError, match="shutdown"):
            await run()

    asyncio.run(scenario())


def test_an_answer_goes_before_what_its_call_has_still_to_decode() -> None:
    order: list[str] = []

    async def scenario(pool: FairPool) -> None:
        gates = Gate(), Gate()
        held = [asyncio.create_task(pool.run(gate, [Piece(gate)])) for gate in gates]
        await until(lambda: all(gate.began.is_set() for gate in gates))
        decoded = [Piece(partial(order.append, "decoded"))] * 9
        decoding = asyncio.create_task(pool.run("a", decoded))
        await until(lambda: pool.waiting == 9)
        answers = [Piece(partial(order.append, name)) for name in ("first", "second")]
        answering = asyncio.create_task(pool.run("a", answers, ahead=True))
        await until(lambda: pool.waiting == 11)
        gates[0].open.set()
        await asyncio.gather(decoding, answering)
        gates[1].open.set()
        await asyncio.gather(*held)

    with pools() as pool:
        asyncio.run(scenario(pool))
    assert order == ["first", "second", *["decoded"] * 9]


def test_results_are_in_the_order_of_the_pieces() -> None:
    with pools() as pool:
        pieces = [Piece(partial(int, str(n)), LEAST * (1 + n % 3)) for n in range(200)]
        assert asyncio.run(pool.run("a", pieces)) == list(range(200))
