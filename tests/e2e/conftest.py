"""What the end-to-end tests share: a connection, a network here and there, and images of it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import striate
from interp.network.architectures import LeNet5
from interp.network.network import Network
from tests.toys_server import Server

NAME = "digits-lenet5"
WEIGHTS = Path(__file__).parents[2] / "service" / "models" / "weights"


@pytest.fixture(scope="module")
def service(server: Server) -> Iterator[striate.Service]:
    with striate.connect(server.target, timeout=120) as connected:
        yield connected


@pytest.fixture(scope="module")
def net(service: striate.Service) -> striate.Model:
    return service.model(NAME)


@pytest.fixture(scope="module")
def local() -> Network:
    torch.set_num_threads(1)
    module = LeNet5()
    module.load_state_dict(load_file(WEIGHTS / f"{NAME}.safetensors"))
    return Network(module, (1, 32, 32), (0.5,), (0.5,))


@pytest.fixture(scope="module")
def digits(service: striate.Service) -> tuple[list[bytes], list[int]]:
    samples = service.samples("digits", first=100, count=24)
    return [s.encoded for s in samples], [s.label for s in samples if s.label is not None]


@pytest.fixture(scope="module")
def pixels(digits: tuple[list[bytes], list[int]]) -> torch.Tensor:
    levels = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("L")) for data in digits[0]])
    return torch.from_numpy(levels)[:, None].float() / 255
