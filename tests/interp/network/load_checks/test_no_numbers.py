"""Networks that give no numbers are told by the tensor at fault."""

import pytest
import torch
from torch import Tensor, nn

from interp.network.load_checks.no_numbers import no_numbers
from interp.network.network import Network


def hosted(module: nn.Module) -> Network:
    return Network(module.eval(), (1, 4, 4), [0.0], [1.0])


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


class Masks(nn.Module):
    """A class that is never to be chosen has the logit minus infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x) - torch.tensor([0, torch.inf, 0])
        return out


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_tensor_at_fault_is_named(value: float) -> None:
    module = net()
    module.get_parameter("2.bias").data[:] = value
    assert "2.bias of its weights holds values" in (no_numbers(hosted(module)) or "")


def test_a_network_that_divides_by_zero_is_told() -> None:
    class Divides(Masks):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x / x[:, :, :1, :1])
            return out

    assert "its logits are infinite" in (no_numbers(hosted(Divides())) or "")


def test_others_are_not_doubted() -> None:
    assert no_numbers(hosted(net())) is None
    assert no_numbers(hosted(Masks())) is None
