"""What single functions do to a receptive field, by hand. Whole networks are held against the
support of gradients elsewhere.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.describe import LayerInfo, ReceptiveField, describe
from interp.network.network import Network

Shape = tuple[int, int, int]


def layer(module: nn.Module, name: str, shape: Shape = (3, 24, 24)) -> LayerInfo:
    """The description of a layer of a network whose head is a pooled sum."""
    network = Network(
        nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        shape,
        [0.5] * shape[0],
        [0.5] * shape[0],
    )
    return {i.name: i for i in describe(network)}[name]


class Excited(nn.Module):
    """A squeeze-and-excitation whose gate goes through linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(x.mean((2, 3)))).view(-1, 3, 1, 1)


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Hidden(torch.autograd.Function):
    """A function that tracing cannot see into."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x + x.mean()

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad


GLOBAL: dict[str, nn.Module] = {
    "squeeze and excitation": Excited(),
    "group norm": nn.GroupNorm(1, 3),
    "instance norm": nn.InstanceNorm2d(3),
    "layer norm over space": nn.LayerNorm([3, 24, 24]),
    "softmax over columns": nn.Softmax(-1),
    "linear over columns": nn.Linear(24, 24),
    "matrix product over columns": Lambda(lambda x: x @ torch.ones(24, 24)),
    "upsampling": nn.Upsample(scale_factor=2),
    "columns mirrored": Lambda(lambda x: x.flip(-1)),
    "attention over positions": Lambda(
        lambda x: (x.flatten(2).transpose(1, 2).softmax(1)).transpose(1, 2).reshape(x.shape)
    ),
    "a function that is not seen": Lambda(lambda x: Hidden.apply(x)),
}


@pytest.mark.parametrize("name", GLOBAL)
def test_what_mixes_positions_is_global(name: str) -> None:
    field = layer(GLOBAL[name], "0").receptive_field
    assert field == ReceptiveField(24, 24, 0, 0, 0, 0, (0, 0, 24, 24), is_global=True)


LOCAL: dict[
    str, tuple[nn.Module, tuple[int, int, int, int, int, int]]
] = {  # height, width, jump_y, jump_x, offset_y, offset_x
    "uneven kernel, stride and padding": (
        nn.Conv2d(3, 4, (5, 3), (2, 3), (2, 0)),
        (5, 3, 2, 3, -2, 0),
    ),
    "dilation": (nn.Conv2d(3, 4, 3, dilation=(2, 4)), (5, 9, 1, 1, 0, 0)),
    "same padding": (nn.Conv2d(3, 4, (4, 5), padding="same"), (4, 5, 1, 1, -1, -2)),
    "reflected padding": (
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        (3, 3, 1, 1, -1, -1),
    ),
    "a pool of its default stride": (nn.AvgPool2d((2, 3)), (2, 3, 2, 3, 0, 0)),
    "an even adaptive pool": (nn.AdaptiveAvgPool2d((6, 4)), (4, 6, 4, 6, 0, 0)),
    "strided slices": (Lambda(lambda x: x[:, 1:, 1::2, 2:20:3]), (1, 1, 2, 3, 1, 2)),
    "softmax over channels": (nn.Softmax(1), (1, 1, 1, 1, 0, 0)),
    "layer norm over channels": (
        Lambda(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), [3]).permute(0, 3, 1, 2)),
        (1, 1, 1, 1, 0, 0),
    ),
    "response norm": (nn.LocalResponseNorm(3), (1, 1, 1, 1, 0, 0)),
    "a sum in place": (
        Lambda(lambda x: F.avg_pool2d(x, 3, 1, 1).add_(F.pad(x, (2, -2, 0, 0)))),
        (3, 4, 1, 1, -1, -2),
    ),
}


@pytest.mark.parametrize("name", LOCAL)
def test_fields_by_hand(name: str) -> None:
    module, expected = LOCAL[name]
    field = layer(module, "0").receptive_field
    assert field is not None
    assert field == ReceptiveField(*expected, field.bounds)


@pytest.mark.parametrize(
    ("module", "bounds"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), (0, 0, 24, 24)),
        (nn.Conv2d(3, 4, 3, stride=(2, 5)), (0, 0, 23, 23)),  # a row and a column are left over
        (nn.Sequential(nn.Conv2d(3, 4, 4, 3), nn.MaxPool2d(2, ceil_mode=True)), (0, 0, 22, 22)),
        (nn.Sequential(nn.Conv2d(3, 4, 4, 3), nn.Conv2d(4, 4, 3, padding=1)), (0, 0, 22, 22)),
        (Lambda(lambda x: F.avg_pool2d(x[..., 3:20, 2:], 3, 1, 1)), (3, 2, 20, 24)),
        (Lambda(lambda x: F.pad(x, (-1, -2, 4, 0))), (0, 1, 24, 22)),
    ],
)
def test_bounds_by_hand(module: nn.Module, bounds: tuple[int, int, int, int]) -> None:
    field = layer(module, "0").receptive_field
    assert field is not None
    assert field.bounds == bounds
