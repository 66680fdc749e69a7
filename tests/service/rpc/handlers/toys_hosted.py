"""Models and an engine without a server, and images for them."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.imaging import png
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import types_pb2
from tests.service.engine.toys_engine import running

DIGITS, CIFAR = "digits-lenet5", "cifar10-plain"


@dataclass(frozen=True)
class Hosted:
    """What handlers of models alone are made from."""

    zoo: ModelZoo
    compute: Compute


@contextmanager
def hosting(*names: str, **limits: int) -> Iterator[Hosted]:
    """Embedded networks on an engine with some limits changed, closed in the end."""
    with running(**limits) as engine, ThreadPoolExecutor(2) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        for name in names:
            zoo.load(name)
        yield Hosted(zoo, Compute(engine, pool))


def noise_image(channels: int = 3) -> types_pb2.ImageBatch:
    """One image of 32 x 32 random pixels as PNG."""
    levels = np.random.default_rng(4).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    return types_pb2.ImageBatch(encoded=[png(levels.transpose(2, 0, 1))])


def pixels(data: bytes) -> NDArray[np.uint8]:
    """The levels (H, W, C) of an image file."""
    levels = np.asarray(Image.open(io.BytesIO(data)))
    return levels if levels.ndim == 3 else levels[..., None]


def array(message: types_pb2.Tensor) -> NDArray[Any]:
    """The array of a response."""
    return wire_tensors.to_array(message, "tensor")
