"""A stem is the very convolution that it stands for, also on the way back."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.layer import LayerPath
from interp.network.folding.fold import fold_batch_norms
from interp.network.folding.stem import StemConv2d, is_stem_convolution
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe
from tests.interp.toys_networks import images


def layer(**options: Any) -> nn.Conv2d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(
            **{
                "in_channels": 3,
                "out_channels": 5,
                "kernel_size": 3,
                "stride": 2,
                "dtype": torch.float64,
                **options,
            }
        )


@pytest.mark.parametrize("size", [(16, 16), (17, 15), (21, 13)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, (5, 3), 7])
@pytest.mark.parametrize(("stride", "padding"), [(2, 0), (2, (1, 2)), (2, 3), (3, 1), (4, 2)])
def test_output_and_gradient_are_those_of_the_layer(
    size: tuple[int, int], kernel: int | tuple[int, int], stride: int, padding: Any
) -> None:
    own = layer(kernel_size=kernel, stride=stride, padding=padding).requires_grad_(False)
    x = images(2, 32)[:, :, : size[0], : size[1]].requires_grad_()
    expected, actual = own(x), StemConv2d(own)(x)
    assert torch.equal(actual, expected)
    weights = torch.randn(
        expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    (wanted,) = torch.autograd.grad(expected, x, weights)
    (found,) = torch.autograd.grad(actual, x, weights)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "own",
    [
        layer(),
        layer(kernel_size=(5, 3), padding=2),
        layer(in_channels=1, kernel_size=7, bias=False),
    ],
    ids=str,
)
def test_it_fits_strided_layers_of_few_channels(own: nn.Module) -> None:
    assert is_stem_convolution(own)


class Own(nn.Conv2d):
    """Somebody's own kind of convolution."""


@pytest.mark.parametrize(
    "other",
    [
        layer(stride=1),
        layer(stride=(2, 1)),
        layer(kernel_size=4, stride=4),
        layer(in_channels=8),
        layer(out_channels=6, groups=3),
        layer(dilation=2),
        layer(padding_mode="reflect", padding=1),
        layer(padding="valid"),
        Own(3, 5, 3, stride=2),
        nn.ConvTranspose2d(3, 5, 3, stride=2),
        nn.Linear(3, 5),
    ],
    ids=str,
)
def test_other_layers_are_left_alone(other: nn.Module) -> None:
    assert not is_stem_convolution(other)


class Plain(nn.Module):
    """A network without norms, whose first rectifier works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = (
            layer(kernel_size=7, padding=3),
            layer(in_channels=5, stride=1),
            nn.Linear(5, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.first(x), inplace=True))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_network_without_norms_gets_a_stem_too() -> None:
    own, fast = (
        Network(Plain().double(), (3, 15, 15), [0.4] * 3, [0.3] * 3, dtype=torch.float64, fold=fold)
        for fold in (False, True)
    )
    fast.module.load_state_dict(own.module.state_dict())
    found = fold_batch_norms(fast.module, fast.normalized(images(2, 15)))
    assert found is not None
    assert [name for name, part in found.modules.items() if isinstance(part, StemConv2d)] == [
        "first"
    ]
    assert found.layers == {"first", "second", "head"}
    assert {id(p) for p in found.module.parameters()} == {id(p) for p in fast.module.parameters()}
    assert fast.for_logits is not fast.module
    x, units = (
        images(3, 15, seed=1),
        activation([LayerPath("first", 2), LayerPath("second"), LayerPath("logits", 1)]),
    )
    (expected,), (actual,) = (
        network.answer([Probe(x, units, layers=("first",))]) for network in (own, fast)
    )
    assert expected.grad is not None
    assert expected.grad.flatten(1).any(1).all()
    torch.testing.assert_close(actual.grad, expected.grad, rtol=0, atol=1e-12)
    assert torch.equal(actual.activations["first"], expected.activations["first"])
