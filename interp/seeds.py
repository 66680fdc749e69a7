"""Randomness, row by row.

Every row draws from a generator of its own, so that what it gets does not depend on which rows it
shares a batch with.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Generators = Sequence[np.random.Generator]


def generators(seed: int, first: int, count: int) -> list[np.random.Generator]:
    """Make one generator a row, which depends on the seed and the row's absolute number alone.

    Args:
        seed: at least 0.
        first: number of the first row, at least 0.
        count: of the rows.
    """
    return [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(row,)))
        for row in range(first, first + count)
    ]


def normal(rows: Generators, shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw standard normal numbers, row by row.

    Args:
        rows: one generator a row.
        shape: of one row's numbers.
        like: whose dtype and device they get; they are drawn in float32.

    Returns:
        (B, *shape).
    """
    return torch.from_numpy(
        np.stack([g.standard_normal(shape, dtype=np.float32) for g in rows])
    ).to(like)


def uniform(rows: Generators, shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw numbers uniform in [-1, 1), row by row.

    Args:
        rows: one generator a row.
        shape: of one row's numbers.
        like: whose dtype and device they get; they are drawn in float32.

    Returns:
        (B, *shape).
    """
    return (
        torch.from_numpy(np.stack([g.random(shape, dtype=np.float32) for g in rows])).to(like) * 2
        - 1
    )


def check_rows(images: Tensor, rows: Generators) -> None:
    """Check that there is one generator an image.

    Args:
        images: (B, 1 or 3, H, W).
        rows: the generators, one an image.

    Raises:
        ValueError: there is not, or the images are not (B, 1 or 3, H, W).
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images: shape {tuple(images.shape)} is not (B, 1 or 3, H, W)")
    if len(rows) != len(images):
        raise ValueError(f"rows: {len(rows)} generators for {len(images)} images")
