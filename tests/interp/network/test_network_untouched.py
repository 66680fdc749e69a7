"""An attack leaves a network as it was: modes, statistics, gradients and hooks, also after a
failure in the middle of it.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp.attack.base import Method, attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.goal import MARGIN, Loss, random_class
from interp.attack.pgd import fgsm, pgd
from interp.network.network import Network
from interp.objective import Objective
from interp.probe import Oracle, solve
from tests.interp.toys_networks import images


def run(
    network: Oracle, x: Tensor, labels: Tensor | None, method: Method, **options: Any
) -> AdversarialExamples:
    return solve(attack(x, labels, method, **options), network)


class Moody(nn.Module):
    """Batch norm and dropout, parts of it frozen and in train mode; fails at the pass it is told to
    fail at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 3)
        self.passes_left = 10**9

    def forward(self, x: Tensor) -> Tensor:
        self.passes_left -= 1
        if self.passes_left < 0:
            raise RuntimeError("the network fails")
        return self.head(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))  # type: ignore[no-any-return]


def moody() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(Moody(), (3, 6, 6), (0, 0, 0), (1, 1, 1), dtype=torch.float64)


def state(network: Network) -> list[Any]:
    """All of a network that an attack might leave changed."""
    found: list[Any] = []
    for name, module in network.module.named_modules():
        hooks = [
            len(h) for key, h in vars(module).items() if "hooks" in key and isinstance(h, dict)
        ]
        found.append((name, module.training, hooks))
    for name, tensor in [*network.module.named_parameters(), *network.module.named_buffers()]:
        found.append(
            (
                name,
                tensor.detach().clone().tolist(),
                tensor.requires_grad,
                tensor.grad is None,
                tensor._version,
            )
        )
    return found


class Raises:
    """An objective that fails when it is asked for the nth time."""

    def __init__(self, left: int) -> None:
        self.left = left

    def untargeted(self, labels: Tensor) -> Objective:
        def score(activations: Any, labels: Tensor) -> Tensor:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("the objective fails")
            return -activations["logits"].gather(1, labels[:, None]).squeeze(1)  # type: ignore[no-any-return]

        return Objective(("logits", "norm"), score, (labels,))


@pytest.mark.parametrize("trained", [False, True])
def test_a_network_is_left_as_it_was(trained: bool) -> None:
    network, x = moody(), images(6, 6)
    if trained:  # what a careless owner did to a part of it is not for an attack to change
        network.module.get_submodule("drop").train()
    network.logits(x)  # which makes the folded copy
    before, global_state = state(network), torch.is_grad_enabled()
    x.requires_grad_()
    for epsilon, p, method in (
        (0.05, math.inf, fgsm()),
        (0.05, 2, pgd(steps=3, restarts=2)),
        (1.0, 1, pgd(steps=3, decay=1.0)),
    ):
        for options in ({}, {"eight_bit": True, "noise_control": True}, {"targets": random_class}):
            run(network, x.detach(), None, method, epsilon=epsilon, p=p, **options)
            assert state(network) == before
    assert x.grad is None
    assert torch.is_grad_enabled() == global_state


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_network_is_left_as_it_was_after_a_failure_in_the_middle(left: int) -> None:
    network, x = moody(), images(6, 6)
    answers = network.logits(x)
    before, labels = state(network), answers.argmax(1)
    failing = Raises(left)
    method = pgd(
        steps=5,
        loss=Loss("raises", failing.untargeted, lambda labels, _: failing.untargeted(labels)),
    )
    with pytest.raises(RuntimeError, match="the objective fails"):
        run(network, x, labels, method, epsilon=0.0)
    assert state(network) == before
    network.module.passes_left = left  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="the network fails"):
        run(
            network,
            x,
            labels,
            pgd(steps=5, loss=MARGIN, stop_when_fooled=False, random_start=False),
            epsilon=0.0,
            unit=None,
        )
    network.module.passes_left = 10**9  # type: ignore[assignment]
    assert state(network) == before
    assert torch.is_grad_enabled()
    assert torch.equal(network.logits(x), answers)
