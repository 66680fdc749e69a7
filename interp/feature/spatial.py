"""Random affine transforms of a picture: shifts, rotations, changes of size and their like.

Every amount is relative to the picture, so that it means the same at every size. A transform is a
matrix (B, 3, 3) from places of the view to places of the picture, both measured from -1 to 1.
Transforms that follow each other are multiplied (`interp.feature.transform.Compose`), so that
pixels are read, and blurred, once, and nothing is cut off on the way.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.seeds import Generators, normal, uniform

# Of a crop: the standard deviation of its centre, as a share of the side (Fel et al. 2023), and its
# smallest side, as in their program.
_CENTRE_DEVIATION = 0.15
_MIN_SIDE = 0.05


class AffineTransform(ABC):
    """A random view that only moves pixels; what comes in from outside is gray."""

    @abstractmethod
    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw the transform.

        Args:
            images: (B, C, H, W), whose shape, dtype and device alone matter.
            rows: one random generator a row.

        Returns:
            (B, 3, 3), from places of the view to places of the picture.
        """

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one view of each image, differentiably.

        Args:
            images: (B, C, H, W).
            rows: one random generator a row.

        Returns:
            (B, C, H, W).
        """
        return warp(images, self.matrix(images, rows))


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Read images where matrices say, by bilinear interpolation, gray outside.

    Args:
        images: (B, C, H, W).
        matrix: (B, 3, 3), from places of the view to places of the picture, each from -1 to 1.

    Returns:
        (B, C, H, W), differentiable.
    """
    grid = F.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
    return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5


def _affine(images: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    """The identity but for some entries (B,), in the images' dtype."""
    matrix = torch.eye(3, dtype=images.dtype, device=images.device).repeat(len(images), 1, 1)
    for (row, column), values in entries.items():
        matrix[:, row, column] = values
    return matrix


def _zoomed(images: Tensor, factor: Tensor) -> Tensor:
    """Views that show things `factor` (B,) times as large."""
    return _affine(images, {(0, 0): 1 / factor, (1, 1): 1 / factor})


@dataclass(frozen=True)
class RandomAffine(AffineTransform):
    """Shifts, rotates and scales each image at random (Olah et al. 2017, "transformation
    robustness").

    Args:
        translate: largest shift, as a share of the side.
        degrees: largest rotation in degrees.
        zoom: least and largest factor of size, above 0; its logarithm is drawn evenly.
    """

    translate: float = 0.1
    degrees: float = 6.0
    zoom: tuple[float, float] = (0.6, 1.5)

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one angle, one factor and one shift a row, (B, 3, 3)."""
        amounts = uniform(rows, (4,), images)  # (B, 4): rotation, scale, shift right, shift down
        angle = amounts[:, 0] * math.radians(self.degrees)
        least, most = (math.log(factor) for factor in self.zoom)
        zoom = ((least + most + amounts[:, 1] * (most - least)) / 2).exp()
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        right, down = (amounts[:, 2:] * 2 * self.translate).unbind(1)
        aspect = images.shape[2] / images.shape[3]
        entries = {
            (0, 0): cos,
            (0, 1): -sin * aspect,
            (0, 2): right,
            (1, 0): sin / aspect,
            (1, 1): cos,
            (1, 2): down,
        }
        return _affine(images, entries)


@dataclass(frozen=True)
class Jitter(AffineTransform):
    """Shifts each image by whole pixels at random.

    Args:
        share: largest shift, as a share of the side, 0 to 0.5.
    """

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one shift a row, (B, 3, 3)."""
        sides = images.new_tensor([images.shape[3], images.shape[2]])
        right, down = (
            (uniform(rows, (2,), images) * self.share * sides).round() / sides * 2
        ).unbind(1)
        return _affine(images, {(0, 2): right, (1, 2): down})


@dataclass(frozen=True)
class Rotate(AffineTransform):
    """Rotates each image about its middle at random.

    Args:
        degrees: largest rotation either way, 0 to 180.
    """

    degrees: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one angle a row, (B, 3, 3); pictures that are not square keep their proportions."""
        angle = uniform(rows, (), images) * math.radians(self.degrees)
        aspect = images.shape[2] / images.shape[3]
        cos, sin = angle.cos(), angle.sin()
        return _affine(
            images, {(0, 0): cos, (0, 1): -sin * aspect, (1, 0): sin / aspect, (1, 1): cos}
        )


@dataclass(frozen=True)
class Scale(AffineTransform):
    """Makes each image larger or smaller at random.

    Args:
        share: largest relative change of size, 0 to below 1.
    """

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one factor a row, (B, 3, 3)."""
        return _zoomed(images, 1 + uniform(rows, (), images) * self.share)


@dataclass(frozen=True)
class Pad(AffineTransform):
    """Shrinks each image into a gray margin; nothing here is random.

    Args:
        share: the margin on every side, as a share of the side, 0 to 0.5.
    """

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Return the same matrix for all rows, (B, 3, 3)."""
        return _zoomed(images, images.new_full((len(images),), 1 / (1 + 2 * self.share)))


@dataclass(frozen=True)
class Crop(AffineTransform):
    """Crops a random part of each image, and draws it to full size (Fel et al. 2023, section 3.1,
    whose centres and sides these are).

    Sides are normal and at least a twentieth, centres normal about the middle, and the part lies
    within the picture.

    Args:
        side: mean side, as a share of the picture's, above 0 to 1.
        deviation: standard deviation of that.
    """

    side: float = 0.25
    deviation: float = 0.1

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one side and one centre a row, (B, 3, 3)."""
        drawn = normal(rows, (3,), images)
        side = (self.side + drawn[:, 0] * self.deviation).clamp(min(_MIN_SIDE, self.side), 1)
        room = (1 - side)[:, None]  # a centre may be so far from the middle, from -1 to 1
        centre = drawn[:, 1:] * _CENTRE_DEVIATION * 2
        right, down = torch.minimum(torch.maximum(centre, -room), room).unbind(1)
        return _affine(images, {(0, 0): side, (1, 1): side, (0, 2): right, (1, 2): down})


@dataclass(frozen=True)
class Mirror(AffineTransform):
    """Mirrors each image left and right at random.

    Args:
        probability: of that, 0 to 1.
    """

    probability: float = 0.5

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """Draw one choice a row, (B, 3, 3)."""
        chosen = torch.from_numpy(np.array([g.random() < self.probability for g in rows])).to(
            images.device
        )
        return _affine(images, {(0, 0): torch.where(chosen, -1.0, 1.0).to(images)})
