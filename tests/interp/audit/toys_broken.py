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


def of_image(x: Tensor, make: Callable[[torch.Generator], Tensor]) -> Tensor:
    """What is made for each image of a random generator that its 8-bit levels seed."""
    levels = (x.detach() * 255).round().long().flatten(1)
    weights = torch.arange(1, levels.shape[1] + 1) * 2654435761 % 1000003
    seeds = (levels * weights).sum(1).remainder(2**31).tolist()
    return torch.stack([make(torch.Generator().manual_seed(seed)) for seed in seeds])


def seeded_noise(x: Tensor) -> Tensor:
    """Pixels with Gaussian noise that the image itself seeds: the same in every pass."""
    return x + 0.02 * of_image(x, lambda g: torch.randn(x.shape[1:], generator=g))


def seeded_shift(x: Tensor) -> Tensor:
    """Each image moved by up to 2 pixels each way, as itself seeds."""
    corners = of_image(x, lambda g: torch.randint(0, 5, (2,), generator=g)).tolist()
    moved = F.pad(x, (2, 2, 2, 2), mode="reflect")
    return torch.stack(
        [
            m[:, i : i + x.shape[2], j : j + x.shape[3]]
            for m, (i, j) in zip(moved, corners, strict=True)
        ]
    )


def ripples(x: Tensor) -> Tensor:
    """The identity at every 8-bit level, where its slope is -1."""
    period = 2 * torch.pi * 255
    return x - 2 * torch.sin(period * x) / period


class OfPixels(nn.Module):
    """A module that normalizes its pixels itself and whose logits are changed by them."""

    def __init__(self, sound: Sound, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.around, self.change = Around(sound), change

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.change(x, self.around(x))
        return logits


Breaker = Callable[[Sound], Network]


def of_pixels(change: Callable[[Tensor, Tensor], Tensor]) -> Breaker:
    """Something done to logits by the pixels in [0, 1]."""
    return lambda sound: Network(
        OfPixels(sound, change), sound.shape, [0.0] * sound.shape[0], [1.0] * sound.shape[0]
    )


def _spread(logits: Tensor) -> Tensor:
    return (logits - logits.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt().detach()


seeded_logits = of_pixels(
    lambda x, z: z + 0.1 * _spread(z) * of_image(x, lambda g: torch.randn(z.shape[1], generator=g))
)


def _rippled(x: Tensor, logits: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(x[0].numel(), logits.shape[1], generator=generator)
    return logits + 0.1 * _spread(logits) * torch.sin(255 * x.flatten(1) @ ways)


rippled_logits = of_pixels(_rippled)


def _unsure(logits: Tensor) -> Tensor:
    """(B, 1) whether the two highest logits lie near each other."""
    highest = logits.detach().topk(2, 1)[0]
    near: Tensor = highest[:, :1] - highest[:, 1:] < _spread(logits)
    return near


def _reversed(x: Tensor, logits: Tensor) -> Tensor:
    return torch.where(_unsure(logits), 2 * logits.detach() - logits, logits)


def _random(x: Tensor, logits: Tensor) -> Tensor:
    noise = 0.3 * _spread(logits) * torch.randn_like(logits)
    return logits + torch.where(_unsure(logits), noise, 0.0)


reversed_when_unsure, random_when_unsure = of_pixels(_reversed), of_pixels(_random)


def dropout_with_gradients(logits: Tensor) -> Tensor:
    """Dropout that is on where somebody may ask for a gradient."""
    return F.dropout(logits, 0.1) if torch.is_grad_enabled() else logits


class WinnersTakeAll(nn.Module):
    """Keeps the largest third of each image's activations, and nothing of the others (Xiao et al.
    2020, "Enhancing adversarial defense by k-winners-take-all").
    """

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, flat.shape[1] // 3), 1)[0][:, -1]
        return x * (x >= least.view(-1, *[1] * (x.ndim - 1))).to(x)


def winners_take_all(sound: Sound) -> Network:
    """The module with `WinnersTakeAll` before every layer with weights but the first."""
    module, keep = sound.build(), WinnersTakeAll()
    for layer in [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)][1:]:
        layer.register_forward_pre_hook(lambda _, inputs: (keep(inputs[0]),))
    return Network(module, sound.shape, sound.mean, sound.std)


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
    "noise seeded by the 8-bit image": (around(seeded_noise), "one-level-steps"),
    "shift seeded by the 8-bit image": (around(seeded_shift), "one-level-steps"),
    "logits with noise seeded by the 8-bit image": (seeded_logits, "one-level-steps"),
    "ripples between levels that reverse the gradient": (around(ripples), "one-level-steps"),
    "ripples of the logits": (rippled_logits, "one-level-steps"),
    "gradient reversed where the network is unsure": (
        reversed_when_unsure,
        "gradients-predict-loss-linf",
    ),
    "random where the network is unsure": (random_when_unsure, "randomness-linf"),
    "dropout in passes with gradients": (around(after=dropout_with_gradients), "randomness"),
    "k winners take all": (winners_take_all, "one-level-steps"),
    "no normalization": (normalized(0, 1), "normalization"),
    "normalized with 0.5/0.5": (normalized(0.5, 0.5), "normalization"),
    "given 0 to 255": (normalized(0, 1 / 255), "normalization"),
    "normalized twice": (twice_normalized, "normalization"),
    "channels in reverse": (around(lambda x: x.flip(1)), "normalization"),
}

# Those that gray images can show, of a network that has no batch norm, is rightly normalized with
# 0.5/0.5 and has too few activations for winners to change with a level.
GRAY_FAULTS = tuple(
    fault
    for fault in ZOO
    if fault
    not in {
        "batch norm in train mode",
        "channels in reverse",
        "normalized with 0.5/0.5",
        "k winners take all",
    }
)
