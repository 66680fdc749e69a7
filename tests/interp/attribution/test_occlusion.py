"""Occlusion against brute force on a linear network."""

import torch

from interp.attribution.occlusion import occlusion, window_positions
from tests.interp.attribution.toys_attribution import (
    WEIGHT,
    agree,
    of_linear,
)
from tests.interp.toys_networks import images


def test_occlusion_by_brute_force() -> None:
    x, w = images(2, size=6), WEIGHT[1].view(3, 6, 6)
    found = of_linear(lambda x, o: occlusion(x, o, window=4, stride=3, baseline=0.5), x).values
    share = (w * (x - 0.5)).sum(1)  # (B, 6, 6): what a pixel's covering costs
    for row, column in ((0, 0), (3, 2), (5, 5)):
        falls = [
            share[:, top : top + 4, left : left + 4].sum((1, 2))
            for top in (0, 3)
            for left in (0, 3)
            if top <= row < top + 4 and left <= column < left + 4
        ]
        agree(found[:, :, row, column], torch.stack(falls).mean(0)[:, None].expand(2, 3))


def test_squares_of_occlusion_are_not_held_together() -> None:
    squares = window_positions(10**6, 10**6, 1, 1)
    assert [next(squares), next(squares)] == [
        (slice(0, 1), slice(0, 1)),
        (slice(0, 1), slice(1, 2)),
    ]
