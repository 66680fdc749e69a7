"""Pools whose windows overlap are copied apart, and are the same function."""

import pytest
import torch
from torch import nn

from interp.attribution.model_copy.pool_modules import NonOverlappingMaxPool2d
from tests.interp.toys_networks import images


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "ceil_mode"),
    [(3, 2, 1, 1, False), (3, 1, 1, 1, True), (3, 2, 0, 1, True), (2, 2, 0, 2, False)],
)
def test_pools_with_windows_apart_are_the_same_function(
    kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    x = images(2, size=9, channels=4) - 0.5
    assert torch.equal(NonOverlappingMaxPool2d(pool)(x), pool(x))
