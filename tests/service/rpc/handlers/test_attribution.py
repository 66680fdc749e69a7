"""Attribute from request to response, on the embedded networks in this process."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from interp.attribution.result import MethodNotApplicable
from interp.network.network import Network
from service.engine.engine import Engine
from service.engine.share import Share
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.handlers.attribution import AttributionHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import attribution_pb2 as pb
from striate.v1 import types_pb2
from tests.service.engine.toys_engine import WAIT, running

DIGITS, CIFAR = "digits-lenet5", "cifar10-plain"
CONTEXT: Any = SimpleNamespace(time_remaining=lambda: None)
SALIENCY, PATH, NOISY, GUIDED, LIFT, CAM, GUIDED_CAM, COVER, LRP = (
    getattr(pb, f"ATTRIBUTION_METHOD_{name}")
    for name in (
        "SALIENCY",
        "INTEGRATED_GRADIENTS",
        "SMOOTH_GRAD",
        "GUIDED_BACKPROP",
        "DEEP_LIFT",
        "GRAD_CAM",
        "GUIDED_GRAD_CAM",
        "OCCLUSION",
        "LRP",
    )
)


@dataclass
class Place:
    handlers: AttributionHandler
    engine: Engine

    def __call__(self, **fields: Any) -> pb.AttributeResponse:
        return asyncio.run(self.later(**fields))

    async def later(
        self, model: str = CIFAR, count: int = 1, **fields: Any
    ) -> pb.AttributeResponse:
        request = pb.AttributeRequest(
            model=model, images=images(count, 1 if model == DIGITS else 3), **fields
        )
        return await self.handlers.attribute(request, CONTEXT)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with running() as engine, ThreadPoolExecutor(1) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        for name in (DIGITS, CIFAR):
            zoo.load(name)
        yield Place(AttributionHandler(zoo, Compute(engine, pool)), engine)


def images(count: int, channels: int) -> types_pb2.ImageBatch:
    return types_pb2.ImageBatch(
        tensor=wire_tensors.from_array(
            np.random.default_rng(4).random((count, channels, 32, 32), np.float32)
        )
    )


@pytest.mark.parametrize(
    ("field", "value", "owners"),
    [
        ("steps", 20, {PATH}),
        ("samples", 3, {NOISY}),
        ("noise", 0.1, {NOISY}),
        ("baseline", 0.0, {PATH, LIFT, COVER}),
        ("window", 8, {COVER}),
        ("stride", 2, {COVER}),
        ("layer", "layer1", {CAM, GUIDED_CAM}),
        ("composite", pb.LRP_COMPOSITE_GAMMA, {LRP}),
        ("epsilon", 0.1, {LRP}),
    ],
)
def test_settings_of_other_methods_are_refused_by_name(
    place: Place, field: str, value: Any, owners: set[int]
) -> None:
    for method in pb.AttributionMethod.values()[1:]:
        if method in owners:
            layer = {"model": DIGITS, field: "c3" if field == "layer" else value}
            assert (
                len(
                    place(
                        method=method, **(layer if method != GUIDED_CAM else {field: value})
                    ).images
                )
                == 1
            )
        else:
            with pytest.raises(InvalidField, match=f"^{field}: is a setting of "):
                place(method=method, **{field: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0.1}, "^gamma: is a setting of LRP_COMPOSITE_GAMMA and LRP_COMPOSITE_EPSILON_"),
        (
            {"alpha": 2.0, "composite": pb.LRP_COMPOSITE_EPSILON_PLUS},
            "^alpha: is a setting of LRP_COMPOSITE_ALPHA_BETA alone",
        ),
        ({"epsilon": 0.0}, "^epsilon: is 0"),
        ({"alpha": 0.5, "composite": pb.LRP_COMPOSITE_ALPHA_BETA}, "^alpha: is 0.5"),
        ({"gamma": -1.0, "composite": pb.LRP_COMPOSITE_GAMMA}, "^gamma: is -1"),
        ({"composite": 99}, "^composite: "),
    ],
)
def test_rules_of_relevance_are_checked(
    place: Place, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidField, match=message):
        place(method=LRP, **settings)


def test_every_composite_of_the_contract(place: Place) -> None:
    found = [
        wire_tensors.to_array(place(method=LRP, composite=value, model=DIGITS).attributions, "x")
        for value in pb.LrpComposite.values()
    ]
    assert np.array_equal(found[0], found[1])
    for number, one in enumerate(found[1:], 1):
        assert np.isfinite(one).all()
        assert not any(np.array_equal(one, other) for other in found[number + 1 :])
    exact = place(
        method=LRP, composite=pb.LRP_COMPOSITE_ALPHA_BETA, alpha=1.0, model=DIGITS
    ).attributions
    assert not np.array_equal(wire_tensors.to_array(exact, "x"), found[3])


def test_settings_of_all_methods_are_taken_by_all(place: Place) -> None:
    common = {
        "seed": 3,
        "first_image": 7,
        "overlay_opacity": 0.5,
        "deterministic": True,
        "priority": types_pb2.PRIORITY_BATCH,
    }
    for method in pb.AttributionMethod.values()[1:]:
        assert place(method=method, classes=[2], **common).images[0].objective == "logits:2"


def test_methods_with_hooks_leave_the_device_to_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's thread copies the network once a request, and runs no pass."""
    run, calls, threads = place.engine.run, list[Future[Any]](), set[str]()

    def counted(call: Callable[[], Any], share: Share) -> Future[Any]:
        calls.append(run(call, share))
        return calls[-1]

    def watched(self: Network) -> Network:
        twin = replica(self)
        first = next(part for part in twin.module.modules() if isinstance(part, nn.Conv2d))
        first.register_forward_pre_hook(lambda *_: threads.add(threading.current_thread().name))
        return twin

    async def together() -> list[pb.AttributeResponse]:
        return await asyncio.gather(
            *(place.later(method=method, count=3) for method in (LRP, LIFT, CAM))
        )

    replica = Network.replica
    monkeypatch.setattr(Network, "replica", watched)
    monkeypatch.setattr(place.engine, "run", counted)
    assert [len(found.images) for found in asyncio.run(together())] == [3, 3, 3]
    assert len(calls) == 3
    assert threads == {"beside-device_0"}


def test_while_a_method_with_hooks_runs_the_engine_answers(place: Place) -> None:
    begin, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        begin.set()
        return go_on.wait(WAIT)

    held = place.handlers._compute.beside.submit(hold)
    assert begin.wait(WAIT)

    async def both() -> int:
        slow = asyncio.create_task(place.later(method=CAM))
        found = await place.later(method=SALIENCY)
        assert not slow.done()
        go_on.set()
        return len(found.images) + len((await slow).images)

    assert asyncio.run(both()) == 2
    assert held.result(WAIT)


def test_a_network_that_cannot_be_copied_is_refused_by_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncopyable(self: Network) -> Network:
        raise TypeError("cannot pickle '_thread.lock' object")

    monkeypatch.setattr(Network, "replica", uncopyable)
    with pytest.raises(MethodNotApplicable, match=r"cannot be copied .*_thread.lock.*occlusion"):
        place(method=CAM)


def test_a_long_request_ends_when_its_caller_leaves(place: Place) -> None:
    async def leave() -> None:
        task = asyncio.create_task(place.later(method=PATH, count=64, steps=1000))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    limit = time.monotonic() + WAIT
    while place.engine._queue.busy and time.monotonic() < limit:
        time.sleep(0.01)
    assert not place.engine._queue.busy


def test_one_channel(place: Place) -> None:
    for method in (SALIENCY, PATH, LIFT, CAM, COVER, LRP):
        found = place(model=DIGITS, method=method, unit="c3:4@center")
        assert tuple(found.attributions.shape) == (1, 1, 32, 32)
        assert found.images[0].overlay_png.startswith(b"\x89PNG")
