"""Where handlers have work done: light batches at once, others in the pool; calls that wait."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from service.auth.identity import Identity, Role, current
from service.auth.quota import Quota, QuotaExceeded
from service.engine import submit
from service.engine.job import Priority, QueueFull
from service.engine.share import Share
from service.imaging import Preprocessing, png
from service.rpc.compute import LIGHT, Compute
from service.rpc.context import Context
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2

GRAY = Preprocessing(1, 8, 8, 8, "bilinear", (0.5,), (0.5,))


class FakeEngine:
    """Answers every job with its own settings, after it was full so often."""

    def __init__(self, full: int = 0) -> None:
        self.full, self.refused = full, 0

    def submit(self, model: Any, procedure: Any, **settings: Any) -> "Future[Any]":
        if self.refused < self.full:
            self.refused += 1
            raise QueueFull(9, 30.0)
        future: Future[Any] = Future()
        future.set_result(settings)
        return future


def made(engine: FakeEngine, pool: Any = None) -> Compute:
    return Compute(cast(Any, engine), pool)


def call(remaining: float | None) -> Context:
    return cast(Context, SimpleNamespace(time_remaining=lambda: remaining))


@pytest.mark.parametrize("count", [4, LIGHT // 256 + 1])
def test_only_light_batches_are_read_on_the_event_loop(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def decode_batch(*given: Any) -> torch.Tensor:
        threads.append(threading.current_thread())
        return torch.zeros(0)

    monkeypatch.setattr(wire_images, "decode_batch", decode_batch)
    pixels = np.zeros((count, 1, 8, 8), np.float32)  # 256 bytes an image
    batch = types_pb2.ImageBatch(tensor=wire_tensors.from_array(pixels))
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(made(FakeEngine(), pool).decode_images(batch, GRAY))
    assert (threads == [threading.main_thread()]) is (count == 4)


def test_encoded_images_are_decoded_in_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def decode_rows(*given: Any) -> torch.Tensor:
        threads.append(threading.current_thread())
        return torch.zeros(0)

    monkeypatch.setattr(wire_images, "decode_rows", decode_rows)
    with ThreadPoolExecutor(1) as pool:
        batch = types_pb2.ImageBatch(encoded=[png(np.zeros((8, 8), np.uint8))])
        asyncio.run(made(FakeEngine(), pool).decode_images(batch, GRAY))
    assert len(threads) == 1
    assert threads != [threading.main_thread()]


def test_a_job_expires_with_its_call() -> None:
    async def solve(remaining: float | None) -> Any:
        model: Any = None
        return await made(FakeEngine()).solve(
            call(remaining), model, cast(Any, None), 7, Priority.BATCH
        )

    settings = asyncio.run(solve(50.0))
    assert settings["memory"] == 7
    assert settings["priority"] is Priority.BATCH
    assert 40 < settings["deadline"] - time.monotonic() <= 50
    assert asyncio.run(solve(None))["deadline"] is None


def test_a_full_queue_refuses_a_call_and_makes_patient_work_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submit, "LONGEST_PAUSE", 0.001)
    engine, nothing = FakeEngine(full=3), cast(Any, None)
    with pytest.raises(QueueFull):
        asyncio.run(made(engine).solve(call(None), nothing, nothing, 0, Priority.BATCH))
    settings = asyncio.run(made(engine).solve_patiently(nothing, nothing, 5, Priority.BATCH))
    assert engine.refused == 3
    assert (settings["memory"], settings["deadline"]) == (5, None)


def test_a_caller_has_no_more_jobs_waiting_nor_gradients_than_they_may() -> None:
    class Crowded(FakeEngine):
        waiting = 3

        def waiting_of(self, share: Share) -> int:
            assert share == Share("ann", 2.0)
            return self.waiting

    engine, nothing = Crowded(), cast(Any, None)
    compute = made(engine)
    quota = Quota(weight=2, waiting_jobs=3, image_gradients_per_minute=60)
    token = current.set(Identity("ann", Role.COMPUTE, quota=quota))
    try:
        with pytest.raises(QuotaExceeded, match="3 waiting jobs"):
            compute.submit(nothing, nothing, 0, Priority.INTERACTIVE)
        engine.waiting = 2
        settings: Any = compute.submit(nothing, nothing, 0, Priority.INTERACTIVE).result()
        assert settings["share"] == Share("ann", 2.0)
        compute.meter.spend("ann", 61)
        with pytest.raises(QuotaExceeded, match="60 image gradients per minute"):
            compute.submit(nothing, nothing, 0, Priority.INTERACTIVE)
        with pytest.raises(QueueFull):  # which is tried again
            compute.submit_patiently(nothing, nothing, 0)
        compute.submit(nothing, nothing, 0, Priority.INTERACTIVE, gradients=False)
    finally:
        current.reset(token)
