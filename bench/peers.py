"""The peers' own PGD, called as their documentation calls it, and the networks that they are given.

Each is imported when it is first used: the figures of the service alone need none of them.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.setting import Setting
from interp.network.network import Network
from service.imaging import Preprocessing


class Wired(nn.Module):
    """Pixels to logits: a module and the normalization of its input, in a memory format."""

    def __init__(
        self,
        module: nn.Module,
        seen: Preprocessing,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.module, self.memory_format = module, memory_format
        self.mean, self.std = (
            torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (seen.mean, seen.std)
        )
        self.eval()  # some peers put a network that trains back into training when they are done

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) in [0, 1]."""
        x = x.to(memory_format=self.memory_format)
        return self.module((x - self.mean.to(x)) / self.std.to(x))  # type: ignore[no-any-return]


def published(place: Setting, name: str) -> Wired:
    """A network as its authors publish it, in PyTorch's default memory format: what speed is
    measured on.
    """
    module, plan = place.published(name)
    return Wired(module, plan.preprocessing)


def hosted(place: Setting, network: Network, name: str) -> Wired:
    """The very function that a hosted network answers with: its module, or the copy with batch norm
    folded, in its memory format.

    Libraries that compute alike find equal images only on equal bits, for `sign` makes a whole step
    of the last one.
    """
    return Wired(network.for_logits, place.published(name)[1].preprocessing, torch.channels_last)


Peer = Callable[
    [nn.Module, Tensor, Tensor, float, float, int], Tensor
]  # (network, x, labels, epsilon, step, steps) -> images


def hand_loop(
    network: nn.Module, x: Tensor, labels: Tensor, epsilon: float, step: float, steps: int
) -> Tensor:
    """Linf PGD as one writes it down: gradient, sign, ball, box."""
    z = x.clone()
    for _ in range(steps):
        z.requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(network(z), labels, reduction="sum"), z)
        z = (x + (z.detach() + step * grad.sign() - x).clamp(-epsilon, epsilon)).clamp(0, 1)
    return z


def hand_loop_l2(
    network: nn.Module, x: Tensor, labels: Tensor, epsilon: float, step: float, steps: int
) -> Tensor:
    """L2 PGD likewise: unit-norm gradient, ball, box."""
    z = x.clone()
    for _ in range(steps):
        z.requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(network(z), labels, reduction="sum"), z)
        delta = z.detach() + step * grad / grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1) - x
        z = (
            x + delta * (epsilon / delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp_max(1)
        ).clamp(0, 1)
    return z


def torchattacks(
    network: nn.Module, x: Tensor, labels: Tensor, epsilon: float, step: float, steps: int
) -> Tensor:
    """torchattacks.PGD."""
    pgd = import_module("torchattacks").PGD(
        network, eps=epsilon, alpha=step, steps=steps, random_start=False
    )
    images: Tensor = pgd(x, labels)
    return images


def foolbox(
    network: nn.Module, x: Tensor, labels: Tensor, epsilon: float, step: float, steps: int
) -> Tensor:
    """foolbox.attacks.LinfPGD."""
    library = import_module("foolbox")
    model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
    pgd = library.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=False)
    _, images, _ = pgd(model, x, labels, epsilons=epsilon)
    return images  # type: ignore[no-any-return]


def art(
    network: nn.Module, x: Tensor, labels: Tensor, epsilon: float, step: float, steps: int
) -> Tensor:
    """ART's ProjectedGradientDescent on its PyTorchClassifier: arrays in, arrays out."""
    classes = network(x[:1]).shape[1]
    classifier = import_module("art.estimators.classification").PyTorchClassifier(
        network,
        nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        classes,
        clip_values=(0, 1),
        device_type="cpu",
    )
    pgd = import_module("art.attacks.evasion").ProjectedGradientDescent(
        classifier,
        np.inf,
        eps=epsilon,
        eps_step=step,
        max_iter=steps,
        num_random_init=0,
        batch_size=len(x),
        verbose=False,
    )
    return torch.from_numpy(pgd.generate(x.numpy(), labels.numpy()))


LINF: dict[str, Peer] = {
    "hand loop": hand_loop,
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "ART": art,
}
