"""A network that gives no numbers on one image: what asks about images names it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from service.config import ModelTable
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.errors import status_of
from service.rpc.handlers.activations import ActivationHandler
from service.rpc.handlers.attribution import AttributionHandler
from service.rpc.handlers.classify import CHUNK, ClassifyHandler
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.not_finite import ImageNotFinite
from striate.v1 import attribution_pb2, filters_pb2, interpret_pb2, types_pb2
from tests.service.engine.toys_engine import running

CONTEXT: Any = SimpleNamespace(time_remaining=lambda: None)
BAD = 5
WORDS = "the network gives values that are infinite or not numbers on it"


class Divides(nn.Module):
    """0 / 0 where the first pixel is white."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        free = 1 - x[:, :, :1, :1]
        out: Tensor = self.head(self.conv(x * free / free).relu().flatten(1))
        return out


def images(count: int, bad: int) -> types_pb2.ImageBatch:
    x = np.random.default_rng(0).random((count, 1, 4, 4), dtype=np.float32) * 0.9
    x[bad, :, 0, 0] = 1
    return types_pb2.ImageBatch(tensor=wire_tensors.from_array(x))


def attribute(method: str) -> Callable[[ModelZoo, Compute], Any]:
    request = attribution_pb2.AttributeRequest(
        model="divides",
        images=images(8, BAD),
        method=attribution_pb2.AttributionMethod.Value(f"ATTRIBUTION_METHOD_{method}"),
    )
    return lambda zoo, compute: AttributionHandler(zoo, compute).attribute(request, CONTEXT)


def classify(zoo: ModelZoo, compute: Compute) -> Any:
    request = interpret_pb2.ClassifyRequest(model="divides", images=images(CHUNK + 8, CHUNK + 2))
    return ClassifyHandler(zoo, compute).classify(request, CONTEXT)


def activations(zoo: ModelZoo, compute: Compute) -> Any:
    request = filters_pb2.GetActivationsRequest(model="divides", image=images(1, 0), layer="conv")
    return ActivationHandler(zoo, compute).get_activations(request, CONTEXT)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (attribute("SALIENCY"), f"images[{BAD}]"),
        (attribute("INTEGRATED_GRADIENTS"), f"images[{BAD}]"),
        (attribute("SMOOTH_GRAD"), f"images[{BAD}]"),
        (attribute("OCCLUSION"), f"images[{BAD}]"),
        (attribute("GRAD_CAM"), f"images[{BAD}]"),
        (classify, f"images[{CHUNK + 2}]"),
        (activations, "image"),
    ],
)
def test_the_image_is_named(asked: Callable[[ModelZoo, Compute], Any], field: str) -> None:
    table = ModelTable(factory="memory:module", size=4, mean=(0.0,), std=(1.0,))
    with running() as engine, ThreadPoolExecutor(2) as pool:
        zoo = ModelZoo(None, {"divides": table}, engine.run, modules={"divides": Divides().eval()})
        zoo.load("divides")
        with pytest.raises(ImageNotFinite) as caught:
            asyncio.run(asked(zoo, Compute(engine, pool)))
    assert str(caught.value) == f"{field}: {WORDS}"
    status = status_of(caught.value, "request")
    assert any(d.type_url.endswith("google.rpc.BadRequest") for d in status.details)
