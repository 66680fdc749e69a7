"""Layers that a network calls as functions of its own weights are explained as the modules that
they stand for: norms that rectify, frozen norms, standardized convolutions, blurs, scales.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import DeepLift, GuidedBackprop
from torch import Tensor, nn

from interp.attribution.deep_lift import deep_lift
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.lrp import lrp
from interp.attribution.relevance.composites import COMPOSITES
from interp.attribution.result import MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from tests.interp.network.folding.test_compound_norm import FrozenNormAct, NormAct, lively
from tests.interp.toys_networks import images

CLASS = LayerPath(LOGITS, 1)


class Standardized(nn.Conv2d):
    """Weight standardization, as timm's `StdConv2d` is written."""

    def weights(self) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        scaled = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6)
        return scaled.reshape_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weights(), self.bias, self.stride, self.padding)


class Blur(nn.Module):
    """A blur of any number of channels, as timm's `BlurPool2d` is written."""

    filt: Tensor

    def __init__(self) -> None:
        super().__init__()
        weights = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filt", (weights[:, None] * weights)[None, None] / 16)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        weight = self.filt.expand(channels, 1, 3, 3)
        return F.conv2d(F.pad(x, [1] * 4), weight, stride=2, groups=channels)


class Scale(nn.Module):
    """A scale of each channel, as timm's `LayerScale2d` is written."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.gamma.view(1, -1, 1, 1))


def written(norm: Callable[[int], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return (
        nn.Sequential(
            Standardized(3, 6, 3, padding=1),
            lively(norm(6)),
            Blur(),
            nn.Conv2d(6, 5, 3, padding=1),
            Scale(5),
            nn.Conv2d(5, 4, 3),
            lively(norm(4)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
        .double()
        .eval()
    )


def plain(module: Any) -> nn.Module:
    """The same network out of torch's own modules."""

    def norm(old: Any) -> list[nn.Module]:
        new = nn.BatchNorm2d(len(old.weight)).double()
        new.load_state_dict(
            {
                name: getattr(old, name).detach()
                for name in ("weight", "bias", "running_mean", "running_var")
            },
            strict=False,
        )
        return [new, nn.ReLU()]

    first, last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(5, 4, 3)
    first.weight, first.bias = nn.Parameter(module[0].weights()), module[0].bias
    blur = nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False)
    blur.weight = nn.Parameter(module[2].filt.repeat(6, 1, 1, 1))
    scaled = nn.Conv2d(6, 5, 3, padding=1)
    gamma = module[4].gamma.view(-1, 1, 1, 1)
    scaled.weight = nn.Parameter(module[3].weight * gamma)
    scaled.bias = nn.Parameter(module[3].bias * gamma.flatten())
    last.load_state_dict(module[5].state_dict())
    parts = [first, *norm(module[1]), blur, scaled, last, *norm(module[6]), *module[7:]]
    return nn.Sequential(*parts).double().eval()


def hosted(module: nn.Module) -> Network:
    return Network(module, (3, 8, 8), [0.4] * 3, [0.3] * 3, dtype=torch.float64)


@pytest.mark.parametrize("norm", [NormAct, FrozenNormAct])
def test_every_method_explains_them_as_the_modules_that_they_stand_for(
    norm: Callable[[int], nn.Module],
) -> None:
    module = written(norm)
    own, other, x = hosted(module), hosted(plain(module)), images(1)
    torch.testing.assert_close(own.logits(x), other.logits(x))
    methods: list[Callable[[Network], Any]] = [
        lambda n: deep_lift(n, CLASS),
        lambda n: guided_backprop(n, CLASS),
        *[lambda n, c=c: lrp(n, CLASS, c) for c in COMPOSITES],
    ]
    for method in methods:
        found, expected = (method(n)(x, CLASS).values for n in (own, other))
        assert float(expected.abs().max()) > 0
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("norm", [NormAct, FrozenNormAct])
def test_equal_to_captum_on_torchs_modules(norm: Callable[[int], nn.Module]) -> None:
    module = written(norm)
    network, model, x = hosted(module), plain(module), images(1)
    start, z = network.normalized(torch.zeros_like(x)), network.normalized(x).requires_grad_()
    values = DeepLift(model).attribute(z, start, target=1)
    torch.testing.assert_close(deep_lift(network, CLASS)(x, CLASS).values, values.detach())
    guided = GuidedBackprop(plain(module)).attribute(z, target=1).detach() / 0.3
    torch.testing.assert_close(guided_backprop(network, CLASS)(x, CLASS).values, guided)
    # Of a network of rectifiers the epsilon rule is input times gradient, with all norms folded.
    (gradient,) = torch.autograd.grad(network.module(z)[:, 1].sum(), z)
    relevance = lrp(network, CLASS)(x, CLASS).values
    torch.testing.assert_close(relevance, (gradient * z).detach(), rtol=1e-5, atol=1e-8)


class Gated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class ImageNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:])


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Gated, r"mul \(in Gated\); how a product of two activations"),
        (ImageNorm, r"layer_norm \(in ImageNorm\); a norm by statistics of the image itself"),
    ],
)
def test_what_cannot_be_right_is_refused_with_module_and_reason(
    part: type[nn.Module], reason: str
) -> None:
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    module = nn.Sequential(nn.Conv2d(3, 4, 3), part(), nn.ReLU(), *pool).eval()
    network = Network(module, (3, 8, 8), [0.4] * 3, [0.3] * 3)
    for method in (deep_lift, lrp):
        with pytest.raises(MethodNotApplicable, match=reason):
            method(network, CLASS)


def test_the_relevance_of_an_upsampling_is_kept() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(4, 3, 3, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()
    found = lrp(hosted(module.double()), CLASS)(images(1), CLASS)
    assert found.delta is not None
    assert abs(float(found.delta)) < 1e-6 * float(found.values.abs().sum())
