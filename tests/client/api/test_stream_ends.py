"""Every way in which a stream of images ends."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any

import grpc
import pytest

import striate
from striate._api.stream import ReadAheadWindow
from striate.v1 import attack_pb2 as pb
from tests.client.fakes.fakes_robustness import answer
from tests.client.fakes.fakes_server import LONG, Fake, adversarial, failure, reason
from tests.client.fakes.fakes_stream import (
    IMAGES,
    Requests,
    backwards,
    counted,
    ids,
    in_groups,
    until_it_fails,
)

Code = grpc.StatusCode


def test_what_the_iterable_raises_comes_behind_its_images(fake: Fake, net: striate.Model) -> None:
    fake.converse = in_groups(4, backwards)
    problem = RuntimeError("the disk is full")

    def source() -> Iterator[Any]:
        yield from IMAGES[:6]
        raise problem

    found, error = until_it_fails(net.attack_stream(source()))
    assert error is problem
    assert found == list(range(6))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_is_no_exception_ends_a_stream_too(
    fake: Fake, net: striate.Model, kind: type[BaseException]
) -> None:
    fake.converse = in_groups(1, backwards)
    problem = kind()

    def source() -> Iterator[Any]:
        yield IMAGES[0]
        raise problem

    stream = net.attack_stream(source(), timeout=LONG / 3)
    assert next(stream).id == 0
    with pytest.raises(kind) as caught:
        next(stream)
    assert caught.value is problem


@pytest.mark.parametrize("close", ["close", "with", "forget"])
def test_leaving_early_cancels_the_call(fake: Fake, net: striate.Model, close: str) -> None:
    ended = threading.Event()

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        context.add_callback(ended.set)
        attack = next(requests).settings.attack
        yield from (answer(attack, request.image) for request in requests)

    fake.converse = converse
    read: list[int] = []
    stream = net.attack_stream(counted(read), in_flight=3)
    with closing(stream) if close == "with" else nullcontext():
        assert next(stream).id == 0
        assert not ended.is_set()
    if close == "close":
        stream.close()
    del stream
    assert ended.wait(LONG)
    time.sleep(0.1)  # enough to read on, were it allowed
    assert len(read) <= 1 + 3


def test_a_stream_that_is_never_begun_never_calls(fake: Fake, net: striate.Model) -> None:
    net.attack_stream(IMAGES).close()
    assert not fake.requests("AttackStream")


@pytest.mark.parametrize(
    ("word", "code", "kind"),
    [
        ("MODEL_NOT_FOUND", Code.NOT_FOUND, striate.ModelNotFound),
        ("INVALID_FIELD", Code.INVALID_ARGUMENT, striate.InvalidArgument),
    ],
)
def test_a_call_that_fails_raises_its_error(
    fake: Fake, net: striate.Model, word: str, code: Code, kind: type[Exception]
) -> None:
    fake.failures.append(failure(code, "it did not work", reason(word)))
    with pytest.raises(kind, match="did not work") as caught:
        next(net.attack_stream(IMAGES))
    assert isinstance(caught.value, striate.StriateError)
    assert caught.value.request_id == fake.calls[-1].metadata["x-request-id"]


def test_a_call_that_fails_in_its_midst_gives_what_came_before(
    fake: Fake, net: striate.Model
) -> None:
    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack = next(requests).settings.attack
        for request in requests:
            if request.image.id == 3:
                failure(Code.RESOURCE_EXHAUSTED, "no memory", reason("OUT_OF_MEMORY"))(context)
            yield answer(attack, request.image)

    fake.converse = converse
    found, error = until_it_fails(net.attack_stream(IMAGES))
    assert (found, type(error), str(error)) == ([0, 1, 2], striate.OutOfMemory, "no memory")


@pytest.mark.parametrize(
    ("responses", "words"),
    [
        ([], "2 images unanswered"),
        ([0], "1 images unanswered"),
        ([0, 0], "image 0, which is not under way"),
        ([0, 1, 7], "image 7, which is not under way"),
        ([None], "image 0 without an outcome"),
    ],
)
def test_a_server_that_does_not_keep_count_is_noticed(
    fake: Fake, net: striate.Model, responses: list[int | None], words: str
) -> None:
    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        attack = next(requests).settings.attack
        images = [request.image for request in requests]
        for identity in responses:
            response = (
                pb.AttackStreamResponse(id=0) if identity is None else answer(attack, images[0])
            )
            response.id = identity or 0
            yield response

    fake.converse = converse
    with pytest.raises(striate.Internal, match=words):
        list(net.attack_stream(IMAGES[:2]))


def test_a_server_that_ends_a_stream_that_goes_on_is_noticed(
    fake: Fake, net: striate.Model
) -> None:
    fake.converse = lambda requests, context: iter(())
    with pytest.raises(striate.Internal, match="ended the stream"):
        list(net.attack_stream(IMAGES[0] for _ in iter(int, 1)))


def test_a_stream_is_not_repeated(fake: Fake, net: striate.Model) -> None:
    fake.failures.append(failure(Code.UNAVAILABLE, "draining"))
    with pytest.raises(striate.Unavailable, match="draining"):
        list(net.attack_stream(IMAGES))
    assert len(fake.requests("AttackStream")) == 1
    assert ids(net.attack_stream(IMAGES)) == list(range(23))


def test_ctrl_c_cancels_on_the_server(fake: Fake, net: striate.Model) -> None:
    main, ended = threading.main_thread().ident, threading.Event()
    assert main is not None

    def converse(
        requests: Requests, context: grpc.ServicerContext
    ) -> Iterator[pb.AttackStreamResponse]:
        context.add_callback(ended.set)
        next(requests)
        signal.pthread_kill(main, signal.SIGINT)
        assert ended.wait(LONG)
        return iter(())

    fake.converse = converse
    gc.collect()
    gc.disable()  # an interrupt that comes while something is finalized is lost
    try:
        with pytest.raises(KeyboardInterrupt):
            list(net.attack_stream(IMAGES))
    finally:
        gc.enable()
    assert ended.wait(LONG)


def test_only_its_own_timeout_ends_a_stream(fake: Fake) -> None:
    left: list[float | None] = []
    fake.on_call = lambda method, context: left.append(context.time_remaining())
    with striate.connect(fake.target, timeout=30) as service:
        net = service.model("tiny")
        assert len(list(net.attack_stream(IMAGES))) == 23
        assert left[1] is None or left[1] > 10**6
        stuck = threading.Event()
        fake.converse = lambda requests, context: iter([stuck.wait(LONG)][:0])
        with pytest.raises(striate.DeadlineExceeded):
            next(net.attack_stream(IMAGES, timeout=0.2))
        stuck.set()


def test_closing_the_connection_ends_a_stream(fake: Fake) -> None:
    service = striate.connect(fake.target)
    net = service.model("tiny")
    stream = net.attack_stream(IMAGES[0] for _ in iter(int, 1))
    next(stream)
    service.close()
    with pytest.raises(striate.Cancelled):
        list(stream)
    with pytest.raises(striate.FailedPrecondition, match="closed"):
        next(net.attack_stream(IMAGES))


def test_several_threads_stream_over_one_connection(fake: Fake, net: striate.Model) -> None:
    fake.converse = in_groups(3, backwards)
    found: dict[int, list[float]] = {}

    def run(seed: int) -> None:
        found[seed] = [
            float(image.image.sum()) for image in net.attack_stream(IMAGES, seed=seed, in_flight=5)
        ]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert found == {
        seed: [float(adversarial(seed, row).sum()) for row in range(23)] for seed in range(4)
    }


def test_a_closed_window_lets_nobody_in() -> None:
    window = ReadAheadWindow(1)
    assert window.enter()
    entered: list[bool] = []
    thread = threading.Thread(target=lambda: entered.append(window.enter()))
    thread.start()
    window.close()
    thread.join(LONG)
    assert entered == [False]
    window.leave()
    assert not window.enter()
