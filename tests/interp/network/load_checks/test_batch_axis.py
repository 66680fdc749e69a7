"""Layers that have no row for each image are told from those that have."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from interp.network.network import Network
from tests.interp.toys_networks import MEAN, STD


class Inside(nn.Module):
    """A layer, `inner`, that is given its images in an order of somebody's own."""

    def __init__(
        self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor, int], Tensor]
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner, self.before, self.after = nn.Hardtanh(), before, after
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.after(self.inner(self.before(self.stem(x))), len(x))
        logits: Tensor = self.head(y.reshape(len(x), 8, -1).mean(2))
        return logits


def in_windows(y: Tensor) -> Tensor:
    windows = y.reshape(len(y), 8, 2, 8, 2, 8).permute(0, 2, 4, 1, 3, 5)
    return windows.reshape(-1, 8, 8, 8)


def out_of_windows(y: Tensor, count: int) -> Tensor:
    return y.reshape(count, 4, 8, 64).transpose(1, 2)


def windows_first(y: Tensor) -> Tensor:
    windows = y.reshape(len(y), 8, 2, 8, 2, 8).permute(2, 4, 0, 1, 3, 5)
    return windows.reshape(-1, 8, 8, 8)


def out_of_windows_first(y: Tensor, count: int) -> Tensor:
    return y.reshape(4, count, 8, 64).permute(1, 2, 0, 3)


OTHERS = {
    "windows": Inside(in_windows, out_of_windows),
    "windows, of which all first ones come first": Inside(windows_first, out_of_windows_first),
    "sequence first": Inside(
        lambda y: y.flatten(2).permute(2, 0, 1), lambda y, _: y.permute(1, 2, 0)
    ),
    "channels first": Inside(lambda y: y.transpose(0, 1), lambda y, _: y.transpose(0, 1)),
    "one sheet": Inside(lambda y: y.flatten()[None], lambda y, n: y.reshape(n, 8, -1)),
    "no axis but the batch in the last place": Inside(
        lambda y: y.permute(1, 2, 3, 0), lambda y, _: y.permute(3, 0, 1, 2)
    ),
    "images upside down in the batch": Inside(lambda y: y.flip(0), lambda y, _: y.flip(0)),
    "images rolled": Inside(lambda y: y.roll(1, 0), lambda y, _: y.roll(-1, 0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_layer_whose_rows_are_not_images(name: str) -> None:
    network = Network(OTHERS[name], (3, 16, 16), MEAN, STD)
    assert set(network.unavailable) == {"inner"}
    x = torch.rand(3, 3, 16, 16)
    alone = torch.cat([network.logits(one) for one in torch.split(x, 1)])
    torch.testing.assert_close(network.logits(x), alone)
    assert not network.doubts


def test_the_reason_says_what_was_found() -> None:
    network = Network(OTHERS["windows"], (3, 16, 16), MEAN, STD)
    assert network.unavailable["inner"] == (
        "its first axis is not the batch: 4 rows for one image, 12 for 3"
    )


class Repeated(nn.Module):
    """Calls a layer once an image, or always twice."""

    def __init__(self, each: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.each = nn.Conv2d(3, 6, 16), each

    def forward(self, x: Tensor) -> Tensor:
        if self.each:
            return torch.cat([self.conv(one) for one in torch.split(x, 1)]).flatten(1)
        logits: Tensor = (self.conv(x) + self.conv(x.flip(3))).flatten(1)
        return logits


def test_a_layer_that_is_called_image_by_image() -> None:
    network = Network(Repeated(each=True), (3, 16, 16), MEAN, STD)
    assert network.unavailable == {"conv": "it is called 1 times for one image, but 3 times for 3"}
    assert not Network(Repeated(each=False), (3, 16, 16), MEAN, STD).unavailable


def test_ordinary_layers_are_all_there() -> None:
    module = Inside(lambda y: y, lambda y, _: y)
    network = Network(module, (3, 16, 16), MEAN, STD)
    assert not network.unavailable
    assert network.layers == ("stem", "inner", "head")


def test_parametrizations_are_no_layers() -> None:
    module = Inside(lambda y: y, lambda y, _: y)
    nn.utils.parametrizations.weight_norm(module.stem)
    nn.utils.parametrizations.spectral_norm(module.head)
    network = Network(module, (3, 16, 16), MEAN, STD)
    assert network.layers == ("stem", "inner", "head")
