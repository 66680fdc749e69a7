"""Gradients through networks that are odd on the way back."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interp.attack.losses import cross_entropy
from interp.network.backward import BackwardFailed
from interp.network.network import Network
from interp.probe import Probe
from tests.interp.toys_networks import MEAN, STD


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.reentrant = nn.Conv2d(3, 4, 3), nn.Linear(144, 5), reentrant

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            maps = F.relu(self.conv(x))
        else:
            maps = checkpoint(lambda y: F.relu(self.conv(y)), x, use_reentrant=self.reentrant)
        logits: Tensor = self.head(maps.flatten(1))
        return logits


class Conflicting(Checkpointed):
    """Overwrites what its own backward pass needs."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x).sigmoid()
        maps += 1
        logits: Tensor = self.head(maps.flatten(1))
        return logits


class Detached(Checkpointed):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = F.relu(self.conv(x))
        logits: Tensor = self.head(maps.flatten(1))
        return logits


def gradient(module: nn.Module, x: Tensor) -> Tensor:
    network = Network(module, (3, 8, 8), MEAN, STD)
    labels = torch.arange(len(x))
    (answer,) = network.answer([Probe(x, cross_entropy(labels))])
    assert answer.grad is not None
    return answer.grad


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_change_no_gradient(reentrant: bool) -> None:
    x = torch.rand(3, 3, 8, 8)
    expected = gradient(Checkpointed(None), x)
    assert expected.any()
    torch.testing.assert_close(gradient(Checkpointed(reentrant), x), expected)


def test_a_backward_pass_that_fails() -> None:
    with pytest.raises(BackwardFailed, match=r"modified by an inplace operation.*classify"):
        gradient(Conflicting(None), torch.rand(3, 3, 8, 8))


class ThroughNumpy(Checkpointed):
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.from_numpy(self.conv(x).numpy()).flatten(1))
        return logits


class InInferenceMode(Checkpointed):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            maps = self.conv(x)
        logits: Tensor = self.head((maps * x.mean()).flatten(1))
        return logits


@pytest.mark.parametrize("kind", [ThroughNumpy, InInferenceMode])
def test_a_forward_pass_that_fails_where_gradients_are_asked_for(kind: type[nn.Module]) -> None:
    network, x = Network(kind(None), (3, 8, 8), MEAN, STD), torch.rand(2, 3, 8, 8)
    assert network.logits(x).shape == (2, 5)
    with pytest.raises(BackwardFailed, match="where gradients are asked for"):
        network.answer([Probe(x, cross_entropy(torch.arange(2)))])


def test_a_network_without_gradients() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert not gradient(Detached(None), image).any()
    assert not Network(Detached(None), (3, 8, 8), MEAN, STD).carries_gradients(image)
    assert Network(Checkpointed(True), (3, 8, 8), MEAN, STD).carries_gradients(image)
