"""Networks whose answer for an image depends on the images beside it are found."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.load_checks.layer_trace import layer_modules, trace_layers
from interp.network.network import Network
from tests.interp.toys_networks import MEAN, STD


class WithStep(nn.Sequential):
    """A small network with a step of somebody's own behind its convolution."""

    def __init__(self, step: nn.Module) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(3, 8, 3), step, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))


class BatchNormalized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.amax(0) - x.amin(0) + 1)


class RelativeToLargest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.abs().max()


class Dropped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


def hosted(module: nn.Module) -> Network:
    return Network(module, (3, 8, 8), MEAN, STD)


@pytest.mark.parametrize(
    "step",
    [nn.BatchNorm2d(8, track_running_stats=False), BatchNormalized(), RelativeToLargest()],
    ids=lambda step: type(step).__name__,
)
def test_company_matters(step: nn.Module) -> None:
    network, x = hosted(WithStep(step)), torch.rand(4, 3, 8, 8)
    alone = torch.cat([network.logits(one) for one in torch.split(x, 1)])
    assert (network.logits(x) - alone).abs().max() > 0.01, "the oracle: it does depend"
    assert f"from layer 1 ({type(step).__name__}) on" in network.company_doubt
    assert network.company_doubt in network.doubts


@pytest.mark.parametrize(
    "step",
    [
        nn.BatchNorm2d(8),
        nn.InstanceNorm2d(8),
        nn.GroupNorm(2, 8),
        nn.LocalResponseNorm(2),
        nn.Dropout(0.5),
        nn.Softmax(1),
    ],
    ids=lambda step: type(step).__name__,
)
def test_company_does_not_matter(step: nn.Module) -> None:
    network = hosted(WithStep(step))
    assert network.company_doubt == ""
    assert network.doubts == []


def test_a_random_network_is_called_so() -> None:
    assert "it is random" in hosted(WithStep(Dropped())).company_doubt


def test_generators_are_left_as_they_were() -> None:
    module = WithStep(Dropped())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    trace_layers(module, layer_modules(module), torch.rand(2, 3, 8, 8, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), state)


class Masked(nn.Module):
    """Logits of which one is masked."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3 * 64, 5)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.tensor([0, 0, -torch.inf, 0, 0])
        logits: Tensor = self.head(x.flatten(1)) + mask
        return logits


def test_masked_classes_raise_no_doubt() -> None:
    network = hosted(Masked())
    assert network.doubts == []
    assert network.memory_format is torch.channels_last


class WritesIntoItsInput(WithStep):
    def forward(self, x: Tensor) -> Tensor:
        x -= 0.1
        for part in self:
            x = part(x)
        return x


def test_a_network_that_writes_into_its_input_is_neither_random_nor_dependent() -> None:
    network = hosted(WritesIntoItsInput(nn.Identity()).eval())
    assert network.doubts == []
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    assert torch.equal(network.logits(x), network.logits(x))
    assert torch.equal(x, kept)
