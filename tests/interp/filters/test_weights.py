"""Filter pictures, pixel by pixel."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interp.filters.weights import convolutions, filter_weights, first_convolution, render_filters
from interp.network.network import Network


class Small(nn.Module):
    """Defined in another order than it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(4, 6, 3, groups=2)
        self.first = nn.Conv2d(3, 4, 5)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.first(x)).amax((2, 3)))
        return out


def test_first_convolution_is_the_first_that_runs() -> None:
    module = Small()
    network = Network(module, (3, 12, 12), mean=[0.0] * 3, std=[1.0] * 3)
    assert convolutions(network) == ["first", "second"]
    assert first_convolution(network) == "first"
    weights = filter_weights(network, "second")
    assert weights.shape == (6, 2, 3, 3)  # input channels of a group
    assert torch.equal(weights, module.second.weight)
    weights.zero_()
    assert module.second.weight.abs().sum() > 0  # it was a copy
    for name in ("head", "nowhere"):
        with pytest.raises(ValueError, match="first, second"):
            filter_weights(network, name)


def test_a_network_without_convolution() -> None:
    network = Network(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), mean=[0.0], std=[1.0]
    )
    with pytest.raises(ValueError, match="no convolution"):
        first_convolution(network)


# 127.5 is written as 128 (half to even).
GRAY = torch.tensor([[[[1.0, -1.0]]], [[[0.5, 0.0]]], [[[-4.0, 2.0]]]])  # (3, 1, 1, 2)


def test_gray_filters_each_in_its_own_range() -> None:
    picture = render_filters(GRAY, "filter", zoom=1)
    # A grid of ceil(sqrt(3 * 1/2)) = 2 columns; tiles (1, 2), 1 black pixel around each.
    expected = [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 255, 0, 0, 255, 128, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 191, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert picture.dtype == np.uint8
    assert picture[..., 0].tolist() == expected  # 127.5 + 127.5 * 2/4 = 191.25


def test_gray_filters_in_one_range() -> None:
    picture = render_filters(GRAY, "global", zoom=1)[..., 0]
    assert picture[1].tolist() == [
        0,
        159,
        96,
        0,
        143,
        128,
        0,
    ]  # 127.5 + 127.5 * (0.25, -0.25, 0.125, 0)
    assert picture[3, :3].tolist() == [0, 0, 191]


def test_zoom_repeats_pixels() -> None:
    one, three = render_filters(GRAY, zoom=1), render_filters(GRAY, zoom=3)
    assert three.shape == (2 * (3 + 1) + 1, 2 * (6 + 1) + 1, 1)
    assert (three[1:4, 1:4] == one[1, 1]).all()
    assert (three[1:4, 8:11] == one[1, 4]).all()
    assert (three[5:8, 4:7] == one[3, 2]).all()
    assert (three[4] == 0).all()
    assert (three[:, 7] == 0).all()


def test_colour_filters_are_colour_tiles() -> None:
    weights = torch.zeros(2, 3, 1, 1)
    weights[0, :, 0, 0] = torch.tensor([2.0, 0.0, -2.0])
    picture = render_filters(
        weights, zoom=1
    )  # the second filter is zero: mid-gray, without a division by zero
    assert picture.shape == (3, 5, 3)
    assert picture[1, 1].tolist() == [255, 128, 0]
    assert picture[1, 3].tolist() == [128, 128, 128]


def test_other_filters_are_rows_of_gray_tiles() -> None:
    weights = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.2, 0.2]])[
        :, :, None, None
    ]  # 3 filters of 2 channels
    picture = render_filters(weights, zoom=1)
    assert picture.shape == (7, 5, 1)
    assert picture[1::2, 1::2, 0].tolist() == [[255, 128], [0, 191], [255, 255]]


@pytest.mark.parametrize(
    ("side", "tile"), [(7, 49), (3, 48), (5, 50), (1, 32), (11, 44), (100, 100)]
)
def test_zoom_zero_makes_tiles_of_about_48_pixels(side: int, tile: int) -> None:
    assert render_filters(torch.randn(1, 1, side, side)).shape[:2] == (tile + 2, tile + 2)


def test_a_large_layer_is_drawn_smaller() -> None:
    picture = render_filters(
        torch.randn(600, 600, 3, 3), zoom=32
    )  # 32 would be 57601 pixels wide; (3 * 4 + 1) * 600 + 1 = 7801
    assert picture.shape == (7801, 7801, 1)
    assert 7801**2 <= 64_000_000 < (600 * 16 + 1) ** 2


def test_a_layer_of_too_many_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="64 megapixels"):
        render_filters(torch.zeros(1, 1, 1, 1).expand(4096, 4096, 1, 1), zoom=1)


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="from 0 to 32"):
        render_filters(GRAY, zoom=33)
    with pytest.raises(ValueError, match="finite"):
        render_filters(torch.full((1, 1, 2, 2), torch.nan))
    with pytest.raises(ValueError, match="rows, columns"):
        render_filters(torch.zeros(2, 2))
