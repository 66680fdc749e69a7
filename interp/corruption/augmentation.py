"""Everyday changes of an image: moved, turned, resized, sheared, mirrored, cropped, noisy, lit
otherwise, bent.

Each is a random change of at most a magnitude, drawn row by row; whatever comes in from outside the
image is black.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.corruption.weather import gray
from interp.resample import gaussian, places, sample, symmetric
from interp.seeds import Generators, check_rows, normal, uniform

Augment = Callable[
    [Tensor, float, Generators], Tensor
]  # (images, magnitude, rows) -> images, which may leave [0, 1]

ELASTIC_SMOOTHNESS = (
    0.07  # of the short side, the deviation of the Gaussian that smooths displacements
)


def affine(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Images whose pixel p, in columns and rows from the centre, is read at matrix @ p - shift;
    matrix (B, 2, 2), shift (B, 2).
    """
    y, x = places(images)
    middle = images.new_tensor([(images.shape[3] - 1) / 2, (images.shape[2] - 1) / 2])
    source = torch.stack([x, y], 3) - middle  # (1, H, W, 2), columns first
    source = (
        (source[..., None, :] * matrix.to(images)[:, None, None]).sum(4)
        - shift.to(images)[:, None, None]
        + middle
    )
    return sample(images, source[..., 1], source[..., 0])


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Turned about the centre by `degrees` (B,), counterclockwise."""
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    return affine(
        images,
        torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2),
        images.new_zeros(len(images), 2),
    )


def translated(images: Tensor, pixels: Tensor) -> Tensor:
    """Moved by `pixels` (B, 2) to the right and down."""
    return affine(images, torch.eye(2).to(images).expand(len(images), 2, 2), pixels)


def scaled(images: Tensor, factors: Tensor) -> Tensor:
    """Enlarged about the centre by `factors` (B,)."""
    return affine(
        images, torch.eye(2).to(images) / factors[:, None, None], images.new_zeros(len(images), 2)
    )


def sheared(images: Tensor, degrees: Tensor) -> Tensor:
    """Lines moved sideways so that verticals lean by `degrees` (B,), to the right at the top."""
    lean = degrees.deg2rad().tan()
    matrix = torch.stack(
        [torch.ones_like(lean), lean, torch.zeros_like(lean), torch.ones_like(lean)], 1
    ).view(-1, 2, 2)
    return affine(images, matrix, images.new_zeros(len(images), 2))


def cropped(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Windows of `height` by `width` pixels at rows `top` and columns `left` (B,), bilinearly
    resized to the images' own size.
    """
    y, x = places(images)
    y = ((y + 0.5) * (height / images.shape[2]) - 0.5).clamp(0, height - 1) + top.to(images)[
        :, None, None
    ]
    x = ((x + 0.5) * (width / images.shape[3]) - 0.5).clamp(0, width - 1) + left.to(images)[
        :, None, None
    ]
    return sample(images, y, x, symmetric)


def lit(images: Tensor, light: Tensor, contrast: Tensor) -> Tensor:
    """Values times `light` (B,), cut to [0, 1], then the difference to the mean gray times
    `contrast` (B,).
    """
    bright = (images * light[:, None, None, None]).clamp(0, 1)
    mean = gray(bright).mean((1, 2, 3), keepdim=True)
    return mean + (bright - mean) * contrast[:, None, None, None]


def displaced(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Each pixel read `right` and `down` (B, H, W) pixels away."""
    y, x = places(images)
    return sample(images, y + down, x + right)


def _rotation(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return rotated(images, magnitude * uniform(rows, (), images))


def _translation(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return translated(
        images,
        magnitude
        * uniform(rows, (2,), images)
        * images.new_tensor([images.shape[3], images.shape[2]]),
    )


def _scaling(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return scaled(images, (1 + magnitude) ** uniform(rows, (), images))


def _shear(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return sheared(images, magnitude * uniform(rows, (), images))


def _mirroring(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    chosen = (uniform(rows, (1, 1, 1), images) + 1) / 2 < magnitude
    return torch.where(chosen, images.flip(3), images)


def _cropping(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    size = [max(round(n * (1 - magnitude)), 1) for n in images.shape[2:]]
    corners = np.stack(
        [
            [g.integers(0, n - m + 1) for n, m in zip(images.shape[2:], size, strict=True)]
            for g in rows
        ]
    )
    top, left = torch.from_numpy(corners).unbind(1)
    return cropped(images, top, left, size[0], size[1])


def _noise(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return images + magnitude * normal(rows, images.shape[1:], images)


def _lighting(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    light, contrast = (1 + magnitude * uniform(rows, (2,), images)).unbind(1)
    return lit(images, light, contrast)


def _elastic(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    side = min(images.shape[2:])
    field = gaussian(
        uniform(rows, (2, *images.shape[2:]), images), ELASTIC_SMOOTHNESS * side, 3, symmetric
    )  # right and down
    length = (
        field.square()
        .sum(1, keepdim=True)
        .mean((2, 3), keepdim=True)
        .sqrt()
        .clamp_min(torch.finfo(field.dtype).tiny)
    )
    right, down = (magnitude * side * field / length).unbind(1)
    return displaced(images, right, down)


@dataclass(frozen=True)
class Augmentation:
    """A kind of change, and the largest magnitude that makes sense of it."""

    augment: Augment
    most: float
    unit: str


AUGMENTATIONS: dict[str, Augmentation] = {
    "rotation": Augmentation(_rotation, 180, "degrees, to either side"),
    "translation": Augmentation(
        _translation, 1, "share of the width and of the height, to every side"
    ),
    "scaling": Augmentation(
        _scaling, 9, "a factor from 1 / (1 + magnitude) to 1 + magnitude, uniform in its logarithm"
    ),
    "shear": Augmentation(_shear, 80, "degrees by which verticals lean, to either side"),
    "mirroring": Augmentation(_mirroring, 1, "probability of being mirrored left to right"),
    "cropping": Augmentation(
        _cropping,
        0.95,
        "share of each side that is cut away, at a random place; the rest is resized",
    ),
    "noise": Augmentation(_noise, 1, "standard deviation of normal noise, in pixel units"),
    "lighting": Augmentation(
        _lighting, 1, "largest relative change of the brightness and then of the contrast"
    ),
    "elastic": Augmentation(
        _elastic, 0.5, "root mean square of smooth displacements, as a share of the short side"
    ),
}


@torch.no_grad()
def augment(name: str, images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    """Images (B, C, H, W) in [0, 1], changed as `name` says, one of `AUGMENTATIONS`, by at most
    `magnitude`, in [0, 1] again.

    Amounts are uniform up to the magnitude, whose unit `AUGMENTATIONS` tells; a magnitude of 0
    changes nothing. Elastic displacements are uniform noise smoothed by a Gaussian of 0.07 of the
    short side (Simard et al. 2003). Lighting changes brightness and contrast, for images of one
    channel or three; not the colours, as AlexNet's would.

    Args:
        rows: one generator an image, from which alone its randomness comes.

    Raises:
        ValueError: an unknown name, a magnitude below 0 or above what the change allows, not one
            generator an image.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"augmentation: {name!r} is none of {', '.join(AUGMENTATIONS)}")
    change = AUGMENTATIONS[name]
    if not 0 <= magnitude <= change.most:
        raise ValueError(
            f"magnitude: {magnitude} is not from 0 to {change.most} ({name}: {change.unit})"
        )
    check_rows(images, rows)
    if not len(images):
        return images.clone()
    return change.augment(images, magnitude, rows).clamp(0, 1)
