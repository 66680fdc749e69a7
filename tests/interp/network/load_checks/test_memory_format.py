"""Memory formats: channels last only where it is the same function as plain PyTorch's."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe
from tests.interp.toys_networks import MEAN, STD

Step = Callable[[Tensor], Tensor]


class Reading(nn.Module):
    """A convolution, and a linear layer on what `read` makes of its maps."""

    def __init__(self, read: Step) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.read, self.head = nn.Conv2d(3, 4, 4, stride=4), read, nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.conv(x))
        logits: Tensor = self.head(self.read(maps).reshape(len(x), 64))
        return logits


def in_order_of_memory(maps: Tensor) -> Tensor:
    return maps.as_strided((len(maps), 64), (maps.stride(0), 1))


def by_batch_and_channel(maps: Tensor) -> Tensor:
    """Fails with channels last for several images only."""
    return maps.view(len(maps) * 4, 4, 4)


PLAIN: dict[str, Step] = {
    "view": lambda maps: maps.view(maps.size(0), -1),
    "view of batch and channels": by_batch_and_channel,
    "as_strided": in_order_of_memory,
    "as_strided behind a permutation": lambda m: in_order_of_memory(m.permute(0, 1, 3, 2)),
}
EITHER: dict[str, Step] = {
    "flatten": lambda maps: maps.flatten(1),
    "reshape": lambda maps: maps.reshape(len(maps), -1),
    "view of positions": lambda maps: maps.view(len(maps), 4, 16),
    "contiguous": lambda maps: maps.contiguous().view(len(maps), -1),
}


@pytest.mark.parametrize("name", [*PLAIN, *EITHER])
def test_logits_and_gradients_are_those_of_plain_torch(name: str) -> None:
    module = Reading((PLAIN | EITHER)[name]).eval()
    images = torch.rand(3, 3, 16, 16)
    x = images.clone().requires_grad_()
    mean, std = torch.tensor(MEAN).view(1, -1, 1, 1), torch.tensor(STD).view(1, -1, 1, 1)
    expected = module((x - mean) / std)
    (grad,) = torch.autograd.grad(expected[:, 2].sum(), x)
    network = Network(module, (3, 16, 16), MEAN, STD)
    torch.testing.assert_close(network.logits(images), expected.detach())
    paths = [LayerPath("logits", 2)] * 3
    (answer,) = network.answer([Probe(images, activation(paths, network.device))])
    torch.testing.assert_close(answer.grad, grad)


def test_channels_last_is_kept_where_it_can_be() -> None:
    def chosen(step: Step) -> torch.memory_format:
        return Network(Reading(step), (3, 16, 16), MEAN, STD).memory_format

    assert {chosen(step) for step in EITHER.values()} == {torch.channels_last}
    assert {chosen(step) for step in PLAIN.values()} == {torch.contiguous_format}


def test_a_network_that_runs_with_channels_last_alone() -> None:
    step: Step = lambda maps: maps.permute(0, 2, 3, 1).view(len(maps), -1)  # noqa: E731
    network = Network(Reading(step), (3, 16, 16), MEAN, STD)
    assert network.memory_format is torch.channels_last


def test_what_the_network_raises_is_what_plain_torch_raises() -> None:
    def fail(maps: Tensor) -> Tensor:
        raise RuntimeError(f"contiguous: {maps.is_contiguous()}")

    with pytest.raises(RuntimeError, match="contiguous: True"):
        Network(Reading(fail), (3, 16, 16), MEAN, STD)
