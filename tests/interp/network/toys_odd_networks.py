"""Small networks with batch norms, and many that are odd in a way which complicates folding."""

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.network import Network

LABELS = torch.tensor([0, 1, 2])


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode and float64, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        for values in (norm.running_mean, norm.bias):
            values.data.normal_(0, 0.3, generator=generator)  # type: ignore[union-attr]
        for values in (norm.running_var, norm.weight):
            values.data.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    return module.eval().requires_grad_(False).double()


def built(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lively(build())


def hosted(build: Callable[[], nn.Module], fold: bool = True) -> Network:
    return Network(built(build), (3, 8, 8), [0.4] * 3, [0.3] * 3, dtype=torch.float64, fold=fold)


def norms(module: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in module.modules())


def seen(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    point = x.clone().requires_grad_()
    logits = module(point)
    (grad,) = torch.autograd.grad(F.cross_entropy(logits, LABELS[: len(x)], reduction="sum"), point)
    return logits.detach(), grad


class Body(nn.Module):
    """Convolution, batch norm, rectifier, head: something to fold, and a place for something odd
    before and after.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)

    def before(self, x: Tensor) -> Tensor:
        return x

    def after(self, logits: Tensor) -> Tensor:
        return logits

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(self.before(x))))
        return self.after(self.head(x.mean((2, 3))))


class Before(nn.Sequential):
    """The norm before the convolution, as in a pre-activation network."""

    def __init__(self) -> None:
        super().__init__(
            nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )


class TwoUsers(Body):
    """The convolution's output goes elsewhere too."""

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        return self.head((self.norm(seen) + seen).mean((2, 3)))  # type: ignore[no-any-return]


class TwoCalls(Body):
    """The convolution is called once more, without the norm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head((F.relu(self.norm(self.conv(x))) - self.conv(x.flip(3))).mean((2, 3)))  # type: ignore[no-any-return]


class Forgotten(torch.autograd.Function):
    """The identity, with a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        return x * 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.zeros_like(grad)


class Invisible(Forgotten):
    """Leaves no trace in a symbolic trace."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        return x


class Killed(Body):
    def before(self, x: Tensor) -> Tensor:
        return 0.999 * Forgotten.apply(x) + 0.001 * x  # type: ignore[no-any-return]


class Unseen(Body):
    def before(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            half = 0.5 * x
        return half + 0.5 * x


class Detached(Body):
    def before(self, x: Tensor) -> Tensor:
        return 0.5 * x.detach() + 0.5 * x


class Quantized(Body):
    def before(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4 + 0.001 * x


class Softmax(Body):
    def after(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class Noisy(Body):
    def before(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class Dropped(Body):
    def before(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, training=True)


class Shifted(Body):
    """The choice is made by Python, and its draw would become a constant."""

    def before(self, x: Tensor) -> Tensor:
        return x.roll(1 if random.random() < 1e-9 else 0, 3)


class Training(Body):
    """Its batch norm trains, whatever it is told."""

    def train(self, mode: bool = True) -> "Training":
        super().train(mode)
        self.norm.train()
        return self


class BatchBound(Body):
    """Normalizes by the batch, without leaving a trace."""

    def before(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


class Counting(Body):
    """Behaves differently on every hundredth call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def before(self, x: Tensor) -> Tensor:
        self.calls += 1
        return -x if self.calls % 100 == 0 else x


class Tallied(Body):
    """Counts its calls in a buffer."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def before(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Branching(Body):
    def before(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0.1 else -x


class Hooked(Body):
    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_pre_hook(lambda _, args: (args[0].flip(3),))


class Uncopied(Body):
    def __deepcopy__(self, memo: Any) -> "Uncopied":
        raise RuntimeError("there is one of me")


class Between(Body):
    """The layer's output reaches its norm by a way that passes no gradient back."""

    def forward(self, x: Tensor) -> Tensor:
        between = Invisible.apply(self.conv(x))
        x = F.relu(self.norm(between)) + x.square().mean((1, 2, 3), keepdim=True)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Named(Body):
    """Its norm has a second name, by which it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.also = self.norm

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.also(self.conv(x))).mean((2, 3)))  # type: ignore[no-any-return]


class Reader(Body):
    """Takes the norm's weights without calling it."""

    def after(self, logits: Tensor) -> Tensor:
        return logits * self.norm.weight.sum()


class Borrowed(Body):
    """Takes the convolution's weights without calling it."""

    def after(self, logits: Tensor) -> Tensor:
        return logits * self.conv.weight.sum()


KEPT = [
    Noisy,
    Dropped,
    Shifted,
    Training,
    Counting,
    Tallied,
    Branching,
    Hooked,
    Uncopied,
    TwoUsers,
    TwoCalls,
    Before,
    Reader,
    Borrowed,
]


ODD_BUT_TRACED = [
    Killed,
    Unseen,
    Detached,
    Quantized,
    Softmax,
    BatchBound,
    Between,
    Named,
]  # the copy has the same oddity
