"""Occlusion: what a network misses when a part of the image is covered."""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from interp.attribution.gradients import ROWS, repeated
from interp.attribution.result import Attributed
from interp.objective import Objective
from interp.probe import Probe, Procedure


def occlusion(
    x: Tensor, objective: Objective, window: int, stride: int, baseline: float = 0.5
) -> Procedure[Attributed]:
    """The fall of the score when a square is covered, for each pixel the mean over the squares on
    it (Zeiler & Fergus 2014, section 4.2).

    Squares begin every `stride` pixels, the last where the image's end is reached, and are cut
    there. Forward passes alone.

    Args:
        window: side of the square in pixels, 1 to the image's longer side; it covers all channels.
        stride: 1 to `window`.
        baseline: pixel value of what covers it, in [0, 1].

    Returns:
        values (B, C, H, W), the same for all channels of a pixel.
    """
    answer = yield Probe(x, objective, gradient=False)
    assert answer.score is not None
    maps = []
    for row in range(len(x)):
        squares = places(x.shape[2], x.shape[3], window, stride)
        maps.append(
            (yield from _falls(x[row], row, objective, squares, baseline, answer.score[row]))
        )
    return Attributed(
        torch.stack(maps)[:, None].expand(-1, x.shape[1], -1, -1).to(answer.score), answer.score
    )


Square = tuple[slice, slice]  # its rows and columns


def places(height: int, width: int, window: int, stride: int) -> Iterator[Square]:
    """The squares, in row order; there may be as many as pixels, so that they are never held
    together.
    """
    down, across = (
        range(0, stride * math.ceil(max(side - window, 0) / stride) + 1, stride)
        for side in (height, width)
    )
    return (
        (slice(top, top + window), slice(left, left + window)) for top in down for left in across
    )


def _falls(
    image: Tensor,
    row: int,
    objective: Objective,
    squares: Iterator[Square],
    baseline: float,
    score: Tensor,
) -> Procedure[Tensor]:
    """(H, W) float64 on the host: the mean fall over the squares on each pixel."""
    total, count = torch.zeros(2, *image.shape[1:], dtype=torch.float64)
    while some := list(islice(squares, ROWS)):
        covered = image.repeat(len(some), 1, 1, 1)
        for copy, (rows, columns) in zip(covered, some, strict=True):
            copy[:, rows, columns] = baseline
        answer = yield Probe(covered, repeated(objective, row, len(covered)), gradient=False)
        assert answer.score is not None
        for fall, (rows, columns) in zip((score - answer.score).tolist(), some, strict=True):
            total[rows, columns] += fall
            count[rows, columns] += 1
    mean: Tensor = total / count
    return mean
