"""The flow of AttackStream: how far it reads ahead, and what becomes of a job that fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from interp.probe import Procedure, solve
from service.engine.job import Draining, NotFinite, QueueFull
from service.imaging import Preprocessing
from service.rpc.compute import Compute
from service.rpc.handlers.attack_stream import AttackStreamHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attack_pb2 as pb
from striate.v1 import types_pb2
from tests.interp.toys_networks import images, tricky
from tests.service.rpc.toys_studio import CALL

NETWORK = tricky(torch.float32, 4)
X = images(40, 4, torch.float32)
TAKEN = Preprocessing(3, 4, 4, 4, "bilinear", (0.5,) * 3, (0.5,) * 3)


class FakeEngine:
    """An engine that answers at once, but for what `trouble` raises; it is the zoo too."""

    def __init__(self) -> None:
        self.limits = SimpleNamespace(tick_rows=8)
        self.rows: list[int] = []
        self.trouble: list[Exception] = []
        self.bad: set[float] = set()  # a first pixel that makes a job fail

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        yield SimpleNamespace(name=name, network=NETWORK, preprocessing=TAKEN)

    def submit(self, model: Any, procedure: Procedure[Any], **_: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if self.trouble:
            trouble = self.trouble.pop()
            if isinstance(trouble, QueueFull):
                raise trouble
            future.set_exception(trouble)
            return future
        found = solve(procedure, NETWORK)
        self.rows.append(len(found.examples.images))
        if self.bad & set(found.examples.images[:, 0, 0, 0].tolist()):
            future.set_exception(NotFinite("not a number"))
        else:
            future.set_result(found)
        return future


class InlineExecutor(Executor):
    """Runs calls where they are submitted."""

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(call(*args, **kwargs))
        return future


def settings(**more: Any) -> pb.AttackStreamRequest:
    attack = pb.AttackRequest(
        model="tricky", epsilon=0, method=pb.AttackMethod(pgd=pb.Pgd(steps=1))
    )
    return pb.AttackStreamRequest(settings=pb.AttackStreamSettings(attack=attack, **more))


def image(number: int) -> pb.AttackStreamRequest:
    batch = types_pb2.ImageBatch(tensor=wire_tensors.from_array(X[number : number + 1].numpy()))
    return pb.AttackStreamRequest(image=pb.AttackStreamImage(id=number, image=batch))


async def given(
    requests: list[pb.AttackStreamRequest], taken: list[int]
) -> AsyncIterator[pb.AttackStreamRequest]:
    for request in requests:
        taken.append(len(taken))
        yield request


def stream(
    fake: FakeEngine, requests: list[pb.AttackStreamRequest], taken: list[int]
) -> AsyncIterator[pb.AttackStreamResponse]:
    compute = Compute(cast(Any, fake), InlineExecutor())
    handler = AttackStreamHandler(cast(Any, fake), compute)
    return handler.attack_stream(given(requests, taken), CALL)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_no_more_is_read_than_there_is_room_for(most: int) -> None:
    async def run() -> None:
        fake, taken, answered = FakeEngine(), list[int](), 0
        async for _ in stream(fake, [settings(in_flight=most), *map(image, range(40))], taken):
            answered += 1
            for _ in range(50):  # all the time that the server might want
                await asyncio.sleep(0)
            unanswered = (
                len(taken) - 1 - (answered - 1)
            )  # besides the settings; this one is not written yet
            assert unanswered <= most
        assert answered == 40
        assert max(fake.rows) <= max(1, most // 2)

    asyncio.run(run())


@pytest.mark.parametrize("field", ["format", "priority"])
def test_numbers_that_no_enumeration_has_are_refused(field: str) -> None:
    async def run() -> None:
        first = settings()
        setattr(first.settings.attack, field, 9)
        with pytest.raises(InvalidField, match=f"{field}: is 9, must be one of"):
            await anext(stream(FakeEngine(), [first, image(0)], []))

    asyncio.run(run())


def test_images_that_come_fast_share_a_job() -> None:
    async def run() -> None:
        fake = FakeEngine()
        found = [
            answer.id async for answer in stream(fake, [settings(), *map(image, range(40))], [])
        ]
        assert sorted(found) == list(range(40))
        assert sum(fake.rows) == 40
        assert max(fake.rows) == 4  # half a pass

    asyncio.run(run())


def test_a_job_that_fails_takes_only_the_image_at_fault_with_it() -> None:
    async def run() -> None:
        fake = FakeEngine()
        fake.bad = {float(X[5, 0, 0, 0]), float(X[17, 0, 0, 0])}
        found = {
            answer.id: answer
            async for answer in stream(fake, [settings(), *map(image, range(20))], [])
        }
        assert sorted(found) == list(range(20))
        assert {n for n, answer in found.items() if answer.WhichOneof("outcome") == "error"} == {
            5,
            17,
        }
        assert found[5].error.message == "not a number"

    asyncio.run(run())


def test_a_full_queue_is_waited_out_and_a_closing_server_ends_the_call() -> None:
    async def run(trouble: list[Exception]) -> list[int]:
        fake = FakeEngine()
        fake.trouble = trouble
        return [answer.id async for answer in stream(fake, [settings(), image(0)], [])]

    assert asyncio.run(run([QueueFull(9, 0.01), QueueFull(9, 0.01)])) == [0]
    with pytest.raises(Draining):
        asyncio.run(run([Draining("the server is shutting down")]))


def test_what_a_caller_leaves_behind_is_cancelled() -> None:
    async def run() -> None:
        answers = stream(FakeEngine(), [settings(), *map(image, range(40))], [])
        await anext(answers)
        await answers.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1  # this one

    asyncio.run(run())
