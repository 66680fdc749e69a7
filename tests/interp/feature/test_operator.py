"""Operators on pictures against what loops over pixels compute."""

import numpy as np
import torch
from scipy import ndimage

from interp.feature.operator import ClipSmallNorm, GaussianBlur, OperatorChain
from tests.interp.toys_networks import images


def test_blur_is_a_gaussian_every_so_many_steps() -> None:
    x = images(2, 40)
    smooth = GaussianBlur(0.05, every=3)
    assert all(smooth(x, step) is x for step in (1, 2, 4, 5, 7))
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, 2, 2), mode="nearest", truncate=4)
    np.testing.assert_allclose(smooth(x, 3), expected, atol=1e-12)


def test_clipping_makes_the_pixels_gray_that_nearly_are() -> None:
    x = images(3, 10)
    cut = ClipSmallNorm(0.3, every=2)
    assert cut(x, 1) is x
    for image, clipped in zip(x, cut(x, 2), strict=True):
        norms = sorted(
            ((image[:, i, j] - 0.5).square().sum().item(), i, j)
            for i in range(10)
            for j in range(10)
        )
        expected = image.clone()
        for _, i, j in norms[:30]:
            expected[:, i, j] = 0.5
        assert torch.equal(clipped, expected)


def test_operators_follow_each_other() -> None:
    x = images(1, 16)
    both = OperatorChain([GaussianBlur(0.1, every=2), ClipSmallNorm(0.5, every=3)])
    assert both(x, 1) is x
    assert torch.equal(both(x, 6), ClipSmallNorm(0.5, 1)(GaussianBlur(0.1, 1)(x, 1), 1))
    assert torch.equal(both(x, 2), GaussianBlur(0.1, 1)(x, 1))
