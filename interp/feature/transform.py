"""Random views of a picture, so that what is found survives being moved, turned and scaled (Olah et
al. 2017, "transformation robustness").

A transform maps images (B, C, H, W) and one random generator a row to views of the same size; only
`Backdrop` takes a channel away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from interp.ascent import Transform, identity
from interp.feature.spatial import Crop, Jiggle, Jitter, Mirror, Movement, Pad, Rotate, Scale, moved
from interp.seeds import Generators, normal, uniform

__all__ = [
    "HELD_OUT",
    "HELD_OUT_VIEWS",
    "MACO_VIEWS",
    "Compose",
    "Crop",
    "Jiggle",
    "Jitter",
    "Mirror",
    "Noise",
    "Pad",
    "Rotate",
    "Scale",
    "Transform",
    "held_out",
    "identity",
]

_HELD_OUT = (
    1 << 32
)  # marks the random streams of the held-out views: those of a user's rows have no such mark


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every pixel, and uniform noise; views may leave [0, 1] by it.

    Args:
        deviation: standard deviation of the Gaussian noise.
        width: the uniform noise lies within half of this on either side of 0.
    """

    deviation: float
    width: float = 0.0

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W)."""
        noise = normal(rows, images.shape[1:], images) * self.deviation
        if self.width:
            noise = noise + uniform(rows, images.shape[1:], images) * (self.width / 2)
        return images + noise


@dataclass(frozen=True)
class Compose:
    """Views of views, in order; neighbouring movements become one."""

    transforms: Sequence[Transform]

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Views of images (B, C, H, W)."""
        matrix: Tensor | None = None  # of the movements that wait
        for transform in self.transforms:
            if isinstance(transform, Movement):
                further = transform.matrix(images, rows)
                matrix = (
                    further if matrix is None else matrix @ further
                )  # the last view's places are the first to be mapped
                continue
            if matrix is not None:
                images, matrix = moved(images, matrix), None
            images = transform(images, rows)
        return images if matrix is None else moved(images, matrix)


# Crops, Gaussian and uniform noise (Fel et al. 2023); noise of 0.08 in pixels from -1 to 1. The
# authors crop a quarter of a picture that is several times as large as what the network takes; ours
# is no larger, and a quarter of it would be seen four times too large.
MACO_VIEWS = Compose((Crop(0.75, 0.1), Noise(0.04, 0.04)))
HELD_OUT = Jiggle(
    0.04, 8.0, 0.08
)  # what pictures are judged by: stronger views than the default ones
HELD_OUT_VIEWS = 16


def held_out(images: Tensor, number: int) -> Tensor:
    """The view of images (B, C, H, W) by `HELD_OUT` with a `number` from 0 to 15: always the same,
    and drawn by no seed of a user.
    """
    if not 0 <= number < HELD_OUT_VIEWS:
        raise ValueError(
            f"held-out views are numbered from 0 to {HELD_OUT_VIEWS - 1}, not {number}"
        )
    sequence = np.random.SeedSequence(0, spawn_key=(number, _HELD_OUT))
    return HELD_OUT(images, [np.random.default_rng(sequence) for _ in range(len(images))])
