"""Methods that hook modules: against captum where its hooks are right, and against the definitions
where they would not be.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LRP, DeepLift, GuidedBackprop
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interp.attribution.deep_lift import deep_lift
from interp.attribution.grad_cam import check_layer, grad_cam
from interp.attribution.guided_backprop import guided_backprop
from interp.attribution.lrp import lrp
from interp.attribution.result import MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.architectures import CifarResNet, LeNet5
from interp.network.network import Network
from tests.interp.attribution.oracles_rectifiers import Guided, Rescaled, by_definition
from tests.interp.attribution.toys_attribution import (
    CLASS,
    Unit,
    agree,
    hosted,
    seeded,
)
from tests.interp.toys_networks import MEAN, STD, images, linear, tricky


class Plain(nn.Module):
    """A network as captum likes it: modules alone, nothing in place, windows apart, and never two
    bends one after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        first = (nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.MaxPool2d(2))
        self.body = nn.Sequential(*first, nn.Conv2d(6, 8, 3, padding=1), nn.Tanh(), nn.AvgPool2d(3))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.body(x), 1))  # type: ignore[no-any-return]


class Normalized(nn.Module):
    """A module of pixels."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, dtype=x.dtype).view(1, 3, 1, 1) for values in (MEAN, STD))
        return self.module((x - mean) / std)  # type: ignore[no-any-return]


NETWORKS: dict[str, tuple[Callable[[], Network], list[LayerPath]]] = {
    "tricky": (
        tricky,
        [CLASS, LayerPath("down", 7), LayerPath("stem", 2, (1, 6)), LayerPath("twice", 3)],
    ),
    "residual": (
        lambda: hosted(seeded(lambda: CifarResNet(8)), 16),
        [CLASS, LayerPath("layer2.0", 14), LayerPath("layer1.0.conv2", 4, (3, 2))],
    ),
}


CASES = [
    pytest.param(make, path, id=f"{name} {path}")
    for name, (make, paths) in NETWORKS.items()
    for path in paths
]


@pytest.mark.parametrize(("make", "path"), CASES)
def test_functional_rectifiers_sums_and_reused_modules(
    make: Callable[[], Network], path: LayerPath
) -> None:
    network = make()
    x = images(2, size=network.shape[1])
    guided, lifted, relevant = (
        guided_backprop(network, path),
        deep_lift(network, path, 0.3),
        lrp(network, path),
    )
    for row in (x[:1], x[1:]):
        agree(guided(row, path).values, by_definition(Guided, make(), path, row))
        z, start = row.clone().requires_grad_(), torch.full_like(row, 0.3)
        both = torch.cat([row, start])
        # The score is of the first row, and the second has no gradient of its own: what it gets is
        # its part in the differences.
        found = lifted(row, path)
        agree(found.values, by_definition(Rescaled, make(), path, both)[:1] * (row - start))
        assert found.delta is not None
        assert found.delta.abs().max() < 1e-9
        # Of rectifiers, the epsilon rule is input times gradient (Ancona et al. 2018, section 2).
        (grad,) = torch.autograd.grad(Unit(make(), path)(z).sum(), z)
        std, mean = (torch.tensor(values, dtype=z.dtype).view(1, 3, 1, 1) for values in (STD, MEAN))
        expected = grad * std * (row - mean) / std
        assert (relevant(row, path).values - expected).abs().max() < 1e-4 * expected.abs().max(), (
            "or a dead unit"
        )
        agree(relevant(row, path).score, Unit(make(), path)(row))


def test_equal_to_captum_on_a_plain_network() -> None:
    module = seeded(Plain).double().eval()
    network, pixels = hosted(seeded(Plain)), Normalized(module)
    x = images(2)
    for row in (x[:1], x[1:]):
        agree(
            guided_backprop(network, CLASS)(row, CLASS).values,
            GuidedBackprop(pixels).attribute(row, target=2),
        )
        agree(
            deep_lift(network, CLASS, 0.4)(row, CLASS).values,
            DeepLift(pixels).attribute(row, torch.full_like(row, 0.4), target=2),
        )
        normalized = (row - torch.tensor(MEAN, dtype=row.dtype).view(1, 3, 1, 1)) / torch.tensor(
            STD, dtype=row.dtype
        ).view(1, 3, 1, 1)
        expected, delta = LRP(module).attribute(normalized, target=2, return_convergence_delta=True)
        found = lrp(network, CLASS)(row, CLASS)
        agree(found.values, expected)
        assert found.delta is not None
        agree(-found.delta, delta)


def test_relevance_adds_up_without_biases() -> None:
    network = hosted(seeded(Plain))
    with torch.no_grad():
        for name, values in network.module.named_parameters():
            if name.endswith("bias"):
                values.zero_()
    path = LayerPath("body.4", 5)
    found = lrp(network, path)(images(1), path)
    assert found.delta is not None
    assert found.delta.abs().item() < 1e-5 * found.score.abs().item()
    assert found.values.sum().item() == pytest.approx(found.score.item(), rel=1e-5)


def test_linear_network() -> None:
    weight = torch.linspace(-1, 1, 2 * 108, dtype=torch.float64).view(2, 108).sin()
    network, path = (
        linear(weight, torch.zeros(2, dtype=torch.float64), (3, 6, 6)),
        LayerPath(LOGITS, 1),
    )
    x = images(1, size=6)
    w = weight[1].view(3, 6, 6)
    agree(deep_lift(network, path, 0.3)(x, path).values, w * (x - 0.3))
    assert (lrp(network, path)(x, path).values - w * x).abs().max() < 1e-6
    with pytest.raises(MethodNotApplicable, match="no rectifiers"):
        guided_backprop(network, path)


class Squeezed(nn.Module):
    """Multiplies one activation by another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((F.relu(self.conv(x)) * torch.sigmoid(self.gate(x))).mean((2, 3)))  # type: ignore[no-any-return]


class Clipped(Squeezed):
    """Rectifies by another name."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).clamp(min=0.1).mean((2, 3)))  # type: ignore[no-any-return]


class Deciding(Squeezed):
    """Its way depends on its input."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) if x.sum() > 0 else self.gate(x)
        return self.head(F.relu(x).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "method", "reason"),
    [
        (Squeezed, deep_lift, "DeepLift does not apply to Squeezed: it cannot treat mul"),
        (Squeezed, lrp, "LRP does not apply to Squeezed: it cannot treat Sigmoid, mul"),
        (
            Clipped,
            guided_backprop,
            "guided backprop does not apply to Clipped: it cannot treat clamp",
        ),
        (Clipped, lrp, "it cannot treat clamp"),
        (Deciding, deep_lift, "DeepLift does not apply to Deciding, which cannot be traced"),
    ],
)
def test_what_cannot_be_right_is_refused(kind: type[nn.Module], method: Any, reason: str) -> None:
    with pytest.raises(MethodNotApplicable, match=reason):
        method(hosted(kind()), CLASS)


def test_grad_cam_needs_no_trace_and_products_can_be_guided() -> None:
    network, x = hosted(seeded(Deciding)), images(1)
    assert grad_cam(network, CLASS, check_layer(network, CLASS, ""))(x, CLASS).values.shape == (
        1,
        1,
        8,
        8,
    )
    product = hosted(seeded(Squeezed))
    agree(
        guided_backprop(product, CLASS)(x, CLASS).values,
        by_definition(Guided, hosted(seeded(Squeezed)), CLASS, x),
    )


def test_the_network_is_left_alone() -> None:
    network, x = tricky(), images(2)
    before, parts = (
        network.logits(x),
        {name: dict(vars(part)) for name, part in network.module.named_modules()},
    )
    for method in (guided_backprop, deep_lift, lrp):
        method(network, CLASS)(x[:1], CLASS)
    grad_cam(network, CLASS, "down")(x[:1], CLASS)
    assert torch.equal(network.logits(x), before)
    assert not any(part._forward_hooks or part._backward_hooks for part in network.module.modules())
    assert all(
        vars(part).keys() == parts[name].keys() for name, part in network.module.named_modules()
    )


def test_tanh_passes_relevance_through() -> None:
    network = hosted(seeded(LeNet5), 32, 1)
    x = images(1, size=32, channels=1)
    path = LayerPath("c3", 3)
    with Bending():
        z = network.normalized(x).requires_grad_()
        seen: list[Tensor] = []
        handle = dict(network.module.named_modules())["c3"].register_forward_hook(
            lambda _, __, output: seen.append(output)
        )
        network.module(z)
        handle.remove()
        (slope,) = torch.autograd.grad(seen[0][:, 3].mean(), z)
    expected = slope * z.detach()
    assert (lrp(network, path)(x, path).values - expected).abs().max() < 1e-5 * expected.abs().max()


class Bending(TorchFunctionMode):
    """tanh(x) as x times the constant tanh(x) / x: relevance passes such a step in proportion."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.tanh:
            return args[0] * (torch.Tensor.tanh(args[0].detach()) / args[0].detach())
        return func(*args, **(kwargs or {}))
