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

from interp.corruption.geometry import crop, displace, rotate, scale, shear, translate
from interp.corruption.weather import gray
from interp.resample import gaussian_blur, symmetric
from interp.seeds import Generators, check_rows, normal, uniform

# (images, magnitude, rows) -> images, which may leave [0, 1]
Augment = Callable[[Tensor, float, Generators], Tensor]

# of the short side, the deviation of the Gaussian that smooths displacements
ELASTIC_SMOOTHNESS = 0.07


def relight(images: Tensor, light: Tensor, contrast: Tensor) -> Tensor:
    """Change the brightness and then the contrast of images.

    Args:
        images: (B, 1 or 3, H, W) in [0, 1].
        light: (B,) factors of all values, which are then cut to [0, 1].
        contrast: (B,) factors of the difference to the mean gray.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    bright = (images * light[:, None, None, None]).clamp(0, 1)
    mean = gray(bright).mean((1, 2, 3), keepdim=True)
    return mean + (bright - mean) * contrast[:, None, None, None]


def _rotation(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return rotate(images, magnitude * uniform(rows, (), images))


def _translation(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return translate(
        images,
        magnitude
        * uniform(rows, (2,), images)
        * images.new_tensor([images.shape[3], images.shape[2]]),
    )


def _scaling(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return scale(images, (1 + magnitude) ** uniform(rows, (), images))


def _shear(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return shear(images, magnitude * uniform(rows, (), images))


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
    return crop(images, top, left, size[0], size[1])


def _noise(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    return images + magnitude * normal(rows, images.shape[1:], images)


def _lighting(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    light, contrast = (1 + magnitude * uniform(rows, (2,), images)).unbind(1)
    return relight(images, light, contrast)


def _elastic(images: Tensor, magnitude: float, rows: Generators) -> Tensor:
    side = min(images.shape[2:])
    field = gaussian_blur(
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
    return displace(images, right, down)


@dataclass(frozen=True)
class Augmentation:
    """A kind of change.

    Attributes:
        augment: the function.
        most: the largest magnitude that makes sense.
        unit: of the magnitude, in words.
    """

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
    """Change images at random, by at most a magnitude.

    Amounts are uniform up to the magnitude, whose unit `AUGMENTATIONS` tells; a magnitude of 0
    changes nothing. Elastic displacements are uniform noise smoothed by a Gaussian of 0.07 of the
    short side (Simard et al. 2003). Lighting changes brightness and contrast, for images of one
    channel or three; not the colours, as AlexNet's would.

    Args:
        name: one of `AUGMENTATIONS`.
        images: (B, 1 or 3, H, W) in [0, 1].
        magnitude: the largest change, in the unit that `AUGMENTATIONS` tells.
        rows: one generator an image, from which alone its randomness comes.

    Returns:
        (B, C, H, W) in [0, 1].

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
