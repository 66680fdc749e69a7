"""Random views of a picture, so that what is found survives being moved, rotated and scaled (Olah
et al. 2017, "transformation robustness").

A transform maps images (B, C, H, W) and one random generator a row to views of the same size; only
`Resize` changes that, and `interp.feature.alpha.RandomBackground` takes a channel away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from interp.ascent import Transform
from interp.feature.spatial import AffineTransform, RandomAffine, warp
from interp.seeds import Generators, normal, uniform

# Pictures are judged under these views, which are stronger than the default ones.
HELD_OUT_TRANSFORM = RandomAffine(0.15, 10.0, (0.5, 2.0))
HELD_OUT_VIEWS = 16
# Marks the random streams of the held-out views: those of a user's rows have no such mark.
_HELD_OUT_STREAM = 1 << 32


@dataclass(frozen=True)
class Noise:
    """Adds Gaussian noise to every pixel, and uniform noise; views may leave [0, 1] by it.

    Args:
        deviation: standard deviation of the Gaussian noise, in pixel units.
        width: the uniform noise lies within half of this on either side of 0.
    """

    deviation: float
    width: float = 0.0

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one view of each image.

        Args:
            images: (B, C, H, W).
            rows: one random generator a row.

        Returns:
            (B, C, H, W).
        """
        noise = normal(rows, images.shape[1:], images) * self.deviation
        if self.width:
            noise = noise + uniform(rows, images.shape[1:], images) * (self.width / 2)
        return images + noise


@dataclass(frozen=True)
class Resize:
    """Shows every image at another size, by bilinear interpolation; nothing here is random.

    Args:
        height, width: of the views, in pixels.
    """

    height: int
    width: int

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Show images (B, C, H, W) at that size, (B, C, height, width), differentiably."""
        size = (self.height, self.width)
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Compose:
    """Applies transforms in order; affine transforms that follow each other become one.

    Args:
        transforms: any number of them.
    """

    transforms: Sequence[Transform]

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one view of each image.

        Args:
            images: (B, C, H, W).
            rows: one random generator a row.

        Returns:
            (B, C, H, W).
        """
        matrix: Tensor | None = None  # of the affine transforms that have not been applied yet
        for transform in self.transforms:
            if isinstance(transform, AffineTransform):
                drawn = transform.matrix(images, rows)
                # The last view's places are the first to be mapped.
                matrix = drawn if matrix is None else matrix @ drawn
                continue
            if matrix is not None:
                images, matrix = warp(images, matrix), None
            images = transform(images, rows)
        return images if matrix is None else warp(images, matrix)


def held_out_view(images: Tensor, number: int) -> Tensor:
    """Draw one of the held-out views, which are always the same and drawn by no seed of a user.

    Args:
        images: (B, C, H, W).
        number: which view, 0 to `HELD_OUT_VIEWS` - 1.

    Returns:
        (B, C, H, W), by `HELD_OUT_TRANSFORM`.

    Raises:
        ValueError: There is no view of that number.
    """
    if not 0 <= number < HELD_OUT_VIEWS:
        raise ValueError(
            f"held-out views are numbered from 0 to {HELD_OUT_VIEWS - 1}, not {number}"
        )
    sequence = np.random.SeedSequence(0, spawn_key=(number, _HELD_OUT_STREAM))
    return HELD_OUT_TRANSFORM(images, [np.random.default_rng(sequence) for _ in range(len(images))])
