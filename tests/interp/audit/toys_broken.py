"""The zoo of broken networks: sound ones with a fault each, for the checks that have to find it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from interp.network.architectures import CifarResNet, CifarTwin, LeNet5
from interp.network.network import Network

EMBEDDED = Path(__file__).parents[3] / "service" / "models" / "weights"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sound:
    """A sound module, and what it is to be given."""

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    mean: Sequence[float]
    std: Sequence[float]

    def network(self) -> Network:
        """It, hosted."""
        return Network(self.build(), self.shape, self.mean, self.std)


def embedded(name: str) -> Sound:
    """One of the embedded networks."""

    def build() -> nn.Module:
        module = LeNet5() if name == "digits-lenet5" else CifarTwin()
        module.load_state_dict(load_file(EMBEDDED / f"{name}.safetensors"))
        return module

    return (
        Sound(build, (1, 32, 32), (0.5,), (0.5,))
        if name == "digits-lenet5"
        else Sound(build, (3, 32, 32), *CIFAR)
    )


def cifar_resnet(depth: int, data: Path) -> Sound:
    """A CIFAR ResNet with its published weights."""

    def build() -> nn.Module:
        module = CifarResNet(depth)
        module.load_state_dict(load_file(data / "weights" / f"cifar_resnet{depth}.safetensors"))
        return module

    return Sound(build, (3, 32, 32), *IMAGENET)


class Around(nn.Module):
    """A module with something done to its pixels in [0, 1], before it normalizes them itself, and
    to its logits.
    """

    def __init__(
        self, sound: Sound, before: Function | None = None, after: Function | None = None
    ) -> None:
        super().__init__()
        self.module, self.before, self.after = sound.build(), before, after
        self.mean, self.std = (
            nn.Buffer(torch.tensor(list(values)).view(1, -1, 1, 1))
            for values in (sound.mean, sound.std)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x) if self.before else x
        logits: Tensor = self.module((x - self.mean) / self.std)
        return self.after(logits) if self.after else logits


class Backward(torch.autograd.Function):
    """The identity, whose gradient is made into something else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Function) -> Tensor:
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.change(grads[0]), None


def with_gradient(change: Function) -> Function:
    """The identity with another gradient."""
    return lambda x: Backward.apply(x, change)


def straight_through(forward: Function) -> Function:
    """A function that claims the gradient of the identity."""
    return lambda x: x + (forward(x) - x).detach()


def levels(number: int) -> Function:
    """Pixels rounded to so many levels, which has no gradient."""
    return lambda x: (x * (number - 1)).round() / (number - 1)


def threshold(x: Tensor) -> Tensor:
    """Pixels made black or white."""
    return (x > 0.5).to(x)


def noisy(x: Tensor) -> Tensor:
    """Pixels with Gaussian noise."""
    return x + 0.02 * torch.randn_like(x)


def shifted(x: Tensor) -> Tensor:
    """Each image moved by up to 2 pixels each way."""
    moved = F.pad(x, (2, 2, 2, 2), mode="reflect")
    corners = torch.randint(0, 5, (len(x), 2)).tolist()
    return torch.stack(
        [
            m[:, i : i + x.shape[2], j : j + x.shape[3]]
            for m, (i, j) in zip(moved, corners, strict=True)
        ]
    )


class TrainingNorm(nn.BatchNorm2d):
    """Batch norm that takes the statistics of the batch, whatever mode it is put into."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def in_train_mode(sound: Sound) -> nn.Module:
    """A module whose batch norms are left in train mode."""
    module = sound.build()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.__class__ = TrainingNorm
    return module


Breaker = Callable[[Sound], Network]


def around(before: Function | None = None, after: Function | None = None) -> Breaker:
    """Something done to pixels or logits."""
    return lambda sound: Network(
        Around(sound, before, after), sound.shape, [0.0] * sound.shape[0], [1.0] * sound.shape[0]
    )


def normalized(mean: float, std: float) -> Breaker:
    """Hosted with a normalization that it was not trained with."""
    return lambda sound: Network(
        sound.build(), sound.shape, [mean] * sound.shape[0], [std] * sound.shape[0]
    )


def twice_normalized(sound: Sound) -> Network:
    """The module normalizes, and so does its host."""
    return Network(Around(sound), sound.shape, sound.mean, sound.std)


# What is broken: how, and the check that has to find it.
ZOO: Mapping[str, tuple[Breaker, str]] = {
    "gradient cut off": (around(lambda x: x.detach() + 0 * x), "zero-gradients"),
    "hard sigmoid, saturated": (
        around(after=lambda z: F.hardtanh(100 * (z - z.mean(1, keepdim=True))) + 0.01 * z.detach()),
        "zero-gradients",
    ),
    "gradient reversed": (around(with_gradient(lambda g: -g)), "gradients-predict-loss"),
    "gradient made tiny": (around(with_gradient(lambda g: 1e-12 * g)), "gradients-predict-loss"),
    "gradient replaced by noise": (
        around(with_gradient(lambda g: torch.randn_like(g) * g.std())),
        "gradients-predict-loss",
    ),
    "input of 8 levels": (around(levels(8)), "zero-gradients"),
    "input of 8 levels, straight-through": (
        around(straight_through(levels(8))),
        "gradients-predict-loss",
    ),
    "black or white input, straight-through": (
        around(straight_through(threshold)),
        "gradients-predict-loss",
    ),
    "softmax": (around(after=lambda z: z.softmax(1)), "softmax-output"),
    "softmax at a low temperature": (
        around(after=lambda z: (100 * z).softmax(1)),
        "softmax-output",
    ),
    "softmax at a high temperature": (
        around(after=lambda z: (z / 20).softmax(1)),
        "softmax-output",
    ),
    "logits times a million": (around(after=lambda z: 1e6 * z), "zero-gradients"),
    "batch norm in train mode": (
        lambda sound: Network(in_train_mode(sound), sound.shape, sound.mean, sound.std),
        "company",
    ),
    "random noise on the input": (around(noisy), "randomness"),
    "random shift of the input": (around(shifted), "randomness"),
    "dropout that stays on": (around(after=lambda z: F.dropout(z, 0.1)), "randomness"),
    "no normalization": (normalized(0, 1), "normalization"),
    "normalized with 0.5/0.5": (normalized(0.5, 0.5), "normalization"),
    "given 0 to 255": (normalized(0, 1 / 255), "normalization"),
    "normalized twice": (twice_normalized, "normalization"),
    "channels in reverse": (around(lambda x: x.flip(1)), "normalization"),
}

# Those that gray images can show, of a network that has no batch norm and is rightly normalized
# with 0.5/0.5.
GRAY_FAULTS = tuple(
    fault
    for fault in ZOO
    if fault not in {"batch norm in train mode", "channels in reverse", "normalized with 0.5/0.5"}
)
