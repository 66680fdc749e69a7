"""What the tests of the core share: small networks with the habits that make hooking hard, and
drivers that count.
"""

import os
from collections.abc import Generator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from interp.network.architectures import CifarResNet
from interp.network.network import Network
from interp.probe import Answer, Oracle, Probe

MEAN, STD = (0.48, 0.45, 0.41), (0.23, 0.22, 0.24)


class Tricky(nn.Module):
    """Rectifiers in place after layers, a module called twice, a residual sum in place, rectifiers
    called as functions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out: Tensor = self.twice(self.act(self.twice(x)))
        out += x
        x = F.relu(out, inplace=True)
        x = F.relu(self.norm(self.down(x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def plain(net: Tricky, pixels: Tensor) -> dict[str, Tensor]:
    """What every layer of `net` gives, computed without hooks and without a single operation in
    place.
    """
    seen: dict[str, Tensor] = {}
    mean, std = (
        torch.tensor(values, dtype=pixels.dtype).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    x = (pixels - mean) / std
    seen["stem.0"] = F.conv2d(x, net.stem[0].weight, net.stem[0].bias, padding=1)  # type: ignore[arg-type]
    seen["stem.1"] = normalized(net.stem[1], seen["stem.0"])
    seen["stem.2"] = seen["stem"] = x = F.relu(seen["stem.1"])
    seen["act"] = F.relu(F.conv2d(x, net.twice.weight, net.twice.bias, padding=1))
    seen["twice"] = F.conv2d(seen["act"], net.twice.weight, net.twice.bias, padding=1)
    seen["down"] = F.conv2d(
        F.relu(seen["twice"] + x), net.down.weight, net.down.bias, stride=2, padding=1
    )
    seen["norm"] = normalized(net.norm, seen["down"])
    seen["head"] = seen["logits"] = F.linear(
        F.relu(seen["norm"]).mean((2, 3)), net.head.weight, net.head.bias
    )
    return seen


def normalized(norm: nn.Module, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        getattr(norm, name) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, var, weight, bias)


def tricky(dtype: torch.dtype = torch.float64, size: int = 8, seed: int = 0) -> Network:
    """A hosted `Tricky` whose batch norms do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Tricky()
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            for values in (norm.running_mean, norm.bias):
                nn.init.normal_(values, std=0.3)  # type: ignore[arg-type]
            for values in (norm.running_var, norm.weight):
                nn.init.uniform_(values, 0.5, 2)  # type: ignore[arg-type]
    return Network(module, (3, size, size), MEAN, STD, dtype=dtype)


def raw(network: Network) -> Tricky:
    """The module inside a hosted `Tricky`."""
    assert isinstance(network.module, Tricky)
    return network.module


def images(
    rows: int, size: int = 8, dtype: torch.dtype = torch.float64, seed: int = 0, channels: int = 3
) -> Tensor:
    """Random images (rows, channels, size, size), uniform in [0, 1]."""
    return torch.rand(
        rows, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )


class Counting:
    """An oracle that keeps what it was asked, and passes it on."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.probes: list[Probe] = []

    def answer(self, probes: list[Probe]) -> list[Answer]:
        self.probes += probes
        return self.oracle.answer(probes)

    @property
    def gradients(self) -> list[int]:
        """Rows of each probe that asked for a gradient."""
        return [len(p.images) for p in self.probes if p.differentiates]


def passing(network: Network, sizes: list[int]) -> Any:
    """A hook that notes the batch size of every pass of the network; remove it when done."""
    return network.module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))


def replay(procedure: Generator[Probe, Answer, Any], answers: Sequence[Answer]) -> list[Probe]:
    """The probes of a procedure that is given `answers` one by one."""
    probes = [next(procedure)]
    probes += [procedure.send(answer) for answer in answers]
    return probes


def data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    if "STRIATE_DATA" not in os.environ:
        pytest.skip("STRIATE_DATA is not set: it names the folder of real images and weights")
    return Path(os.environ["STRIATE_DATA"])


def trained_resnet(dtype: torch.dtype = torch.float32) -> Network:
    """cifar_resnet20 with its published weights."""
    module = CifarResNet(20)
    module.load_state_dict(load_file(data() / "weights" / "cifar_resnet20.safetensors"))
    return Network(module, (3, 32, 32), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), dtype=dtype)


def cifar(rows: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """CIFAR-10 test images (rows, 3, 32, 32) of all classes, and their labels."""
    table = parquet.read_table(data() / "cifar10" / "test.parquet", columns=["image", "label"])
    chosen = table.take(list(range(0, len(table), len(table) // rows))[:rows])
    pixels = [
        np.asarray(Image.open(BytesIO(png.as_py())).convert("RGB")) for png in chosen["image"]
    ]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(dtype) / 255
    return x, torch.tensor(chosen["label"].to_pylist())


class Wired(nn.Module):
    """The logits of a hosted network as one plain module of pixels, for other libraries to
    attack.
    """

    def __init__(
        self, network: Network, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
    ) -> None:
        super().__init__()
        self.module = network.for_logits
        self.mean = torch.tensor(mean, dtype=network.dtype).view(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=network.dtype).view(1, -1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.module((x.to(memory_format=torch.channels_last) - self.mean) / self.std)  # type: ignore[no-any-return]


def linear(weight: Tensor, bias: Tensor, shape: tuple[int, int, int]) -> Network:
    """A linear network in float64: logits = weight @ pixels + bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return Network(
        nn.Sequential(nn.Flatten(), layer),
        shape,
        [0.0] * shape[0],
        [1.0] * shape[0],
        dtype=torch.float64,
    )
