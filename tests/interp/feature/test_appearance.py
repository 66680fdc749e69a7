"""The eye's measures against brute force and the standard library."""

import colorsys
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.feature.appearance import appearance
from tests.interp.feature.toys_feature import rectangle


def pictures(channels: int, height: int, width: int) -> Tensor:
    """Random ones, some values of which are black or white, or nearly."""
    x = (rectangle(3, (channels, height, width)) * 1.4 - 0.2).clamp(0, 1)
    x[1] = (x[1] * 255).round() / 255
    x[2, :, :2] = x[2, :, :2] / 60
    return x


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 7, 10), (3, 6, 9), (1, 9, 8)])
def test_measures_equal_brute_force(shape: tuple[int, int, int]) -> None:
    x = pictures(*shape)
    found = appearance(x)
    for row, picture in enumerate(x.double().numpy()):
        near = np.minimum(picture, 1 - picture) * 255 < 1.5
        assert found.clipped[row].item() == pytest.approx(near.mean(), abs=1e-6)
        high = whole = 0.0
        for plane in picture:
            spectrum = np.abs(np.fft.fft2(plane - plane.mean())) ** 2
            for i, j in itertools.product(*map(range, plane.shape)):
                vertical, horizontal = (
                    min(n, side - n) / side for n, side in zip((i, j), plane.shape, strict=True)
                )
                high += spectrum[i, j] * ((vertical**2 + horizontal**2) ** 0.5 > 0.25 + 1e-9)
                whole += spectrum[i, j]
        assert found.high_frequencies[row].item() == pytest.approx(high / whole, rel=1e-4)
        colours = np.broadcast_to(picture, (3, *picture.shape[1:])).reshape(3, -1).T
        expected = np.mean([colorsys.rgb_to_hsv(*colour)[1] for colour in colours])
        assert found.saturation[row].item() == pytest.approx(expected, abs=1e-5)


def test_gray_black_and_waves_are_as_one_knows_them() -> None:
    x = torch.full((4, 3, 16, 16), 0.5)
    x[1] = 0
    wave = torch.arange(16) * 2 * torch.pi
    x[2] += 0.25 * (wave * 3 / 16).cos()  # below a quarter cycle a pixel
    x[3, 0] += 0.25 * (wave[:, None] * 5 / 16).cos()  # above it
    found = appearance(x)
    assert found.clipped.tolist() == [0, 1, 0, 0]
    assert found.high_frequencies.tolist() == pytest.approx([0, 0, 0, 1], abs=1e-6)
    assert found.saturation[:3].tolist() == [0, 0, 0]
    assert found.saturation[3] > 0.1
