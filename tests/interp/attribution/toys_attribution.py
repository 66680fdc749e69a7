"""Units as modules, small networks, and what a method finds for a linear one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from interp.attribution.result import Attribution
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Procedure, solve
from tests.interp.toys_networks import MEAN, STD, Wired, linear

PATHS = [LayerPath(LOGITS, 3), LayerPath("down", 7), LayerPath("stem", 2, (1, 6))]


CLASS = LayerPath(LOGITS, 2)


Method = Callable[[Tensor, Objective], Procedure[Attribution]]


WEIGHT = torch.linspace(-1, 1, 2 * 3 * 36, dtype=torch.float64).view(2, 108).sin()


BIAS = torch.tensor([0.5, -2.0], dtype=torch.float64)


class Unit(nn.Module):
    """A unit of a hosted network as a plain module of pixels, (B,), for captum."""

    def __init__(self, network: Network, path: LayerPath) -> None:
        super().__init__()
        self.wired, self.path = Wired(network), path
        self.wired.module = network.module

    def forward(self, x: Tensor) -> Tensor:
        seen: dict[str, Tensor] = {}
        part = dict(self.wired.module.named_modules()).get(self.path.layer, self.wired.module)
        handle = part.register_forward_hook(
            lambda _, __, output: seen.update({self.path.layer: output.clone()})
        )
        try:
            self.wired(x)
        finally:
            handle.remove()
        unit = seen[self.path.layer][:, self.path.unit]
        return (
            unit[:, self.path.position[0], self.path.position[1]]
            if self.path.position
            else unit.reshape(len(x), -1).mean(1)
        )


def agree(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert torch.allclose(found, expected.detach().to(found), rtol=1e-6, atol=1e-9), (
        (found - expected).abs().max()
    )


def of_linear(method: Method, x: Tensor) -> Attribution:
    """What a method finds for class 1 of a linear network on images (B, 3, 6, 6)."""
    return solve(
        method(x, activation([LayerPath(LOGITS, 1)] * len(x))), linear(WEIGHT, BIAS, (3, 6, 6))
    )


def hosted(module: nn.Module, size: int = 8, channels: int = 3) -> Network:
    return Network(
        module, (channels, size, size), MEAN[:channels], STD[:channels], dtype=torch.float64
    )


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = make()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
                nn.init.normal_(part.running_mean, std=0.3)  # type: ignore[arg-type]
                nn.init.normal_(part.bias, std=0.3)
        return module
