"""Occlusion: how much a score falls when a part of the image is covered (Zeiler & Fergus 2014,
"Visualizing and understanding convolutional networks").
"""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from interp.attribution.result import Attribution
from interp.attribution.variations import MAX_PROBE_ROWS, repeat_row, score_of
from interp.objective import Objective
from interp.probe import Probe, Procedure

Square = tuple[slice, slice]  # its rows and columns


def occlusion(
    x: Tensor,
    objective: Objective,
    window: int | None = None,
    stride: int | None = None,
    baseline: float = 0.5,
) -> Procedure[Attribution]:
    """Measure how much the score falls when a square is covered: for each pixel the mean over the
    squares on it (Zeiler & Fergus 2014, section 4.2).

    Squares begin every `stride` pixels, the last where the image's end is reached, and are cut
    there. It takes forward passes alone.

    Args:
        x: images (B, C, H, W) in [0, 1].
        objective: of B rows, what is explained.
        window: side of the square in pixels, 1 to the image's longer side; it covers all channels.
            None: an eighth of the shorter side.
        stride: 1 to `window` pixels. None: half of the window.
        baseline: pixel value of what covers it, in [0, 1].

    Returns:
        values (B, C, H, W) in units of the score, the same for all channels of a pixel.
    """
    window = default_window(x.shape[2], x.shape[3]) if window is None else window
    stride = default_stride(window) if stride is None else stride
    answer = yield Probe(x, objective, gradient=False)
    score = score_of(answer)
    maps = []
    for row in range(len(x)):
        squares = window_positions(x.shape[2], x.shape[3], window, stride)
        differences = _mean_differences(x[row], row, objective, squares, baseline, score[row])
        maps.append((yield from differences))
    values = torch.stack(maps)[:, None].expand(-1, x.shape[1], -1, -1).to(score)
    return Attribution(values, score)


def default_window(height: int, width: int) -> int:
    """Choose the side of the square for an image where none is given.

    Args:
        height, width: of the image in pixels.

    Returns:
        an eighth of the shorter side in pixels, at least 1.
    """
    return max(1, min(height, width) // 8)


def default_stride(window: int) -> int:
    """Return the pixels between squares of a side that are used if none are given, at least 1."""
    return max(1, window // 2)


def window_positions(height: int, width: int, window: int, stride: int) -> Iterator[Square]:
    """Yield the squares in row order.

    There may be as many as pixels, so that they are never held together.

    Args:
        height, width: of the image in pixels.
        window: side of the squares in pixels.
        stride: pixels between them.
    """
    down, across = (
        range(0, stride * math.ceil(max(side - window, 0) / stride) + 1, stride)
        for side in (height, width)
    )
    return (
        (slice(top, top + window), slice(left, left + window)) for top in down for left in across
    )


def _mean_differences(
    image: Tensor,
    row: int,
    objective: Objective,
    squares: Iterator[Square],
    baseline: float,
    score: Tensor,
) -> Procedure[Tensor]:
    """The score minus that of the covered image, as the mean over the squares on each pixel:
    (H, W) float64 on the host.
    """
    total, count = torch.zeros(2, *image.shape[1:], dtype=torch.float64)
    while some := list(islice(squares, MAX_PROBE_ROWS)):
        covered = image.repeat(len(some), 1, 1, 1)
        for copy, (rows, columns) in zip(covered, some, strict=True):
            copy[:, rows, columns] = baseline
        answer = yield Probe(covered, repeat_row(objective, row, len(covered)), gradient=False)
        differences = (score - score_of(answer)).tolist()
        for difference, (rows, columns) in zip(differences, some, strict=True):
            total[rows, columns] += difference
            count[rows, columns] += 1
    mean: Tensor = total / count
    return mean
