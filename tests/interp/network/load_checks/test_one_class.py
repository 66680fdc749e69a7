"""Networks that give one class to whatever image are found."""

import torch
from torch import Tensor, nn

from interp.network.load_checks.one_class import probe_images, sees_one_class
from interp.network.network import Network
from tests.interp.toys_networks import MEAN, STD


class ByBrightness(nn.Module):
    """Two classes, told apart by the mean of the normalized pixels: dark below zero, or bright."""

    def __init__(self, normalizes: bool) -> None:
        super().__init__()
        self.normalizes = normalizes

    def forward(self, x: Tensor) -> Tensor:
        if self.normalizes:
            x = (x / 255 - 2) / 0.2  # as for pixels of 0 to 255
        mean = x.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def test_one_class() -> None:
    assert sees_one_class(Network(ByBrightness(True), (3, 8, 8), MEAN, STD))
    assert not sees_one_class(Network(ByBrightness(False), (3, 8, 8), MEAN, STD))


def test_a_network_with_one_logit_has_no_other_class() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1))
    assert not sees_one_class(Network(module, (3, 8, 8), MEAN, STD))


def test_probe_images_are_flat_ones_and_noise_in_turns() -> None:
    images = probe_images((3, 10, 12))
    assert images.shape == (16, 3, 10, 12)
    assert images.min() >= 0
    assert images.max() <= 1
    spread = images.flatten(2).std(2).amax(1)
    assert not spread[::2].any()
    assert spread[1::2].min() > 0.1
    assert len({image.numpy().tobytes() for image in images}) == 16
