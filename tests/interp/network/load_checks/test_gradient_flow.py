"""Which layers a gradient leads back from."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interp.attack.losses import cross_entropy
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe

ALL = {"first", "second", "third", "head", "logits"}


class Flow(nn.Module):
    """Three convolutions and a linear layer, the second somehow odd."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.third, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "in place":
            x.mul_(2)
        x = self.first(x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.how != "no_grad beside"):
            y = self.second(x)
        if self.how == "detached":
            x = y.detach()
        elif self.how == "no_grad beside":
            x = x + y
        elif self.how == "reentrant":
            x = checkpoint(lambda z: self.second(z), x, use_reentrant=True)
        else:
            x = y
        logits: Tensor = self.head(F.relu(self.third(x)).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("how", "without"),
    [
        ("plain", set()),
        ("in place", set()),
        ("no_grad beside", {"second"}),
        ("detached", {"third", "head", "logits"}),
        ("reentrant", {"second"}),
    ],
)
def test_layers_without_a_gradient_are_those_whose_probes_have_none(
    how: str, without: set[str]
) -> None:
    torch.manual_seed(0)
    network = Network(Flow(how), (3, 8, 8), [0.5] * 3, [0.25] * 3)
    state = torch.random.get_rng_state()
    assert network.without_gradient == without
    assert torch.equal(torch.random.get_rng_state(), state)
    x = torch.rand(2, 3, 8, 8)
    for layer in ALL - {"logits"}:
        (answer,) = network.answer([Probe(x, activation([LayerPath(layer, 1)] * 2))])
        assert answer.grad is not None
        assert bool(answer.grad.any()) == (layer not in without), layer


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy()).mean((2, 3))


def test_a_pass_that_fails_with_gradients_is_told_of_elsewhere() -> None:
    network = Network(Failing(), (3, 8, 8), [0.5] * 3, [0.25] * 3)
    assert network.without_gradient == frozenset()
    with pytest.raises(RuntimeError, match="where gradients are asked for"):
        network.answer([Probe(torch.rand(1, 3, 8, 8), cross_entropy(torch.tensor([0])))])
