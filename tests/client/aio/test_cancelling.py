"""The awaited twin against the fake server: what it sends is what the handles send, a coroutine
that is cancelled cancels its call, and a token goes with the calls of its service alone.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest

import striate
from striate import aio
from tests.client.fakes.fakes_server import LONG, Fake, block_until_cancelled, failure

PIXELS = np.zeros((2, 3, 4, 5), np.float32)


async def _consumed(events: Any) -> None:
    async for _ in events:
        pass


CALLS: list[Callable[[aio.AsyncModel], Awaitable[object]]] = [
    lambda net: net.classify(PIXELS),
    lambda net: net.exemplars("stem:1", dataset="digits"),
    lambda net: net.facets("stem:1", dataset="digits"),
    lambda net: net.dossier("stem:1", dataset="digits"),
    lambda net: net.attack(PIXELS, None, striate.FGSM()),
    lambda net: _consumed(net.visualize("stem:1")),
    lambda net: _consumed(net.visualize_layer("stem")),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_cancelled_coroutine_cancels_on_the_server(
    fake: Fake, call: Callable[[aio.AsyncModel], Awaitable[object]]
) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def scene() -> None:
        async with aio.connect(fake.target) as service:
            net = await service.model("tiny")
            fake.on_call = lambda method, context: block_until_cancelled(
                context, started.set, cancelled
            )
            task = asyncio.ensure_future(call(net))
            assert await asyncio.to_thread(started.wait, LONG)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(cancelled.wait, LONG)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("asynchronous", "blocking"),
    [
        (
            lambda net: net.attack(PIXELS, [0, 1], striate.PGD(epsilon=0.1), seed=3),
            lambda net: net.attack(PIXELS, [0, 1], striate.PGD(epsilon=0.1), seed=3),
        ),
        (
            lambda net: net.visualize(["stem:1", "stem:2"], steps=3, seed=7),
            lambda net: net.visualize(["stem:1", "stem:2"], steps=3, seed=7),
        ),
        (
            lambda net: _consumed(net.visualize_layer("stem", units=range(1, 3), sheet=True)),
            lambda net: net.visualize_layer("stem", units=range(1, 3)).all(),
        ),
    ],
)
def test_the_same_request_is_sent(
    fake: Fake, net: striate.Model, asynchronous: Any, blocking: Any
) -> None:
    blocking(net)

    async def scene() -> None:
        async with aio.connect(fake.target) as service:
            await asynchronous(await service.model("tiny"))

    asyncio.run(scene())
    *_, first, _, second = fake.calls
    assert first.method == second.method
    assert first.request == second.request


def test_previews_are_the_bytes_that_came(fake: Fake) -> None:
    async def scene() -> list[tuple[bytes, ...]]:
        async with aio.connect(fake.target) as service:
            net = await service.model("tiny")
            async with net.visualize("stem:1", steps=4, preview_every=2) as stream:
                found = [progress.pngs async for progress in stream]
            assert stream.result[0].objective == "stem:1"
            return found

    found = asyncio.run(scene())
    assert [len(pngs) for pngs in found] == [0, 1, 0, 1]
    assert found[1][0].startswith(b"\x89PNG")


def test_tokens_share_a_channel_and_nothing_else(fake: Fake) -> None:
    async def scene() -> None:
        async with aio.connect(fake.target, token="mine") as service:
            await service.with_metadata(token="hers").models()
            await service.with_metadata(token="").models()
            await service.with_metadata([("x-note", "seen")]).models()
            await service.models()

    asyncio.run(scene())
    said = [
        (seen.metadata.get("authorization"), seen.metadata.get("x-note")) for seen in fake.calls
    ]
    assert said == [
        ("Bearer hers", None),
        (None, None),
        ("Bearer mine", "seen"),
        ("Bearer mine", None),
    ]


def test_tokens_of_the_blocking_service(fake: Fake, service: striate.Service) -> None:
    service.with_metadata(token="hers").models()
    service.models()
    assert [seen.metadata.get("authorization") for seen in fake.calls] == ["Bearer hers", None]


def test_errors_are_typed(fake: Fake) -> None:
    fake.failures.append(failure(grpc.StatusCode.NOT_FOUND, "no such network"))

    async def scene() -> None:
        async with aio.connect(fake.target) as service:
            with pytest.raises(striate.NotFound, match="no such network"):
                await service.models()

    asyncio.run(scene())


def test_what_would_block_the_loop_is_refused(fake: Fake) -> None:
    async def scene() -> None:
        async with aio.connect(fake.target) as service:
            with pytest.raises(striate.FailedPrecondition, match=r"await service\.run"):
                service._handle.models()
            assert await service.run(service._handle.models)

    asyncio.run(scene())


def test_a_token_does_not_travel_in_the_clear() -> None:
    async def scene() -> None:
        async with aio.connect("far.example:50051") as service:
            with pytest.raises(striate.InvalidArgument, match="in the clear"):
                service.with_metadata(token="mine")

    asyncio.run(scene())
