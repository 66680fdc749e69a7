"""Norms that rectify, too, are folded away: what is left of each is its activation."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.folding.compound_norm import is_compound_norm, take_apart
from interp.network.folding.fold import fold_batch_norms
from interp.network.symbolic_trace import ALONE
from tests.interp.toys_networks import images


class NormAct(nn.BatchNorm2d):
    """As timm's `BatchNormAct2d` is written."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, "expected 4D input")
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)
        act: Tensor = self.act(self.drop(x))
        return act


class FrozenNormAct(nn.Module):
    """As timm's `FrozenBatchNormAct2d` is written."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        of: Any = self
        scale = of.weight.reshape(1, -1, 1, 1) * (of.running_var + of.eps).rsqrt().view(1, -1, 1, 1)
        shift = of.bias.reshape(1, -1, 1, 1) - of.running_mean.reshape(1, -1, 1, 1) * scale
        act: Tensor = self.act(x * scale + shift)
        return act


class Standardizing(nn.BatchNorm2d):
    """A norm that rectifies first, so that no map of channels comes before."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.relu(), self.running_mean, self.running_var, self.weight, self.bias)


def lively(norm: Any) -> Any:
    for name in ("weight", "bias", "running_mean", "running_var"):
        with torch.no_grad():
            getattr(norm, name).uniform_(0.5, 1.5)
    return norm


def net(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    parts = [
        nn.Conv2d(3, 6, 3, bias=False),
        lively(kind(6)),
        nn.Conv2d(6, 5, 3),
        lively(kind(5)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*parts).double().eval()


@pytest.mark.parametrize("kind", [NormAct, FrozenNormAct])
def test_the_copy_is_the_function_without_the_norms(kind: type[nn.Module]) -> None:
    module = net(kind)
    before = copy.deepcopy(module.state_dict())
    copied = fold_batch_norms(module, images(2))
    assert copied is not None
    assert not any(isinstance(m, kind) for m in copied.module.modules())
    assert {"1", "1.act", "3", "3.act"} <= copied.layers
    torch.testing.assert_close(copied.module(images(3)), module(images(3)))
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("kind", [NormAct, FrozenNormAct])
def test_the_map_is_the_one_worked_out_by_hand(kind: type[nn.Module]) -> None:
    norm: Any = lively(kind(4)).eval()
    assert is_compound_norm(norm)
    found = take_apart(norm, ALONE)
    assert found is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(found.scale, scale)
    torch.testing.assert_close(found.shift, norm.bias - norm.running_mean * scale)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(found.rest(x.clone()), x.relu())


def test_what_does_not_begin_with_a_map_stays() -> None:
    assert take_apart(lively(Standardizing(4)).eval(), ALONE) is None
    assert not is_compound_norm(nn.BatchNorm2d(4))
    assert not is_compound_norm(nn.ReLU())
