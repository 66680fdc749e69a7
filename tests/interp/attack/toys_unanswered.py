"""Networks that do not answer about every image, and networks with masked classes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interp.network.network import Network

SHAPE = (3, 6, 6)
CLASSES = 6


def smooth(classes: int = CLASSES) -> nn.Sequential:
    """A small network with a gradient everywhere."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 4 * 4, classes)
    ).double()


class NanGradient(nn.Module):
    """Finite logits, and a gradient that is not a number at black pixels: that of x log x, chosen
    by `where`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = smooth()

    def forward(self, x: Tensor) -> Tensor:
        entropy = torch.where(x > 0, -x * x.log(), torch.zeros_like(x))
        logits: Tensor = self.inner(x + entropy)
        return logits


class NanLogits(nn.Module):
    """Logits that are not numbers where the first pixel is black."""

    def __init__(self, value: float = torch.nan) -> None:
        super().__init__()
        self.inner, self.value = smooth(), value

    def forward(self, x: Tensor) -> Tensor:
        wrong = torch.where(x[:, 0, 0, 0] == 0, self.value, 0.0)
        logits: Tensor = self.inner(x) + wrong[:, None]
        return logits


class Masked(nn.Module):
    """A network whose logits of some classes are -inf."""

    def __init__(self, inner: nn.Module, masked: Sequence[int]) -> None:
        super().__init__()
        self.inner, self.masked = inner, torch.zeros(CLASSES, dtype=torch.bool)
        self.masked[list(masked)] = True

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits.masked_fill(self.masked, -torch.inf)


class Without(nn.Module):
    """The same network that has never had these classes."""

    def __init__(self, inner: nn.Module, masked: Sequence[int]) -> None:
        super().__init__()
        self.inner, self.kept = inner, [c for c in range(CLASSES) if c not in masked]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits[:, self.kept]


def hosted(module: nn.Module) -> Network:
    """A module as a network of float64 on pixels as they are."""
    return Network(module, SHAPE, (0.0,) * 3, (1.0,) * 3, dtype=torch.float64)


def pictures(count: int) -> Tensor:
    """Images (count, *SHAPE) of 8-bit levels far from black."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(80, 180, (count, *SHAPE), generator=generator).double() / 255
