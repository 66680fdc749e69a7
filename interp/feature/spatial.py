"""Random movements of a picture: shifts, turns, changes of size and their like.

Every amount is relative to the picture, so that it means the same at every size. A movement is a
matrix (B, 3, 3) from places of the view to places of the picture, both measured from -1 to 1.
Movements that follow each other are multiplied (`Compose`), so that pixels are read, and blurred,
once, and nothing is cut off on the way.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp.seeds import Generators, normal, uniform

_CENTRES = 0.15  # standard deviation of a crop's centre, as a share of the side (Fel et al. 2023)
_LEAST = 0.05  # a crop's smallest side, as in their program


class Movement(ABC):
    """A random view that only moves pixels; what comes in from outside is gray."""

    @abstractmethod
    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """(B, 3, 3) from places of the view to places of the picture."""

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W), differentiable."""
        return moved(images, self.matrix(images, rows))


def moved(images: Tensor, matrix: Tensor) -> Tensor:
    """Images (B, C, H, W) read where `matrix` (B, 3, 3) says, by bilinear interpolation, gray
    outside.
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
class Jiggle(Movement):
    """Turns, scales and shifts each image at random (Olah et al. 2017, "transformation
    robustness").

    Args:
        shift: largest shift, as a share of the side.
        turn: largest rotation in degrees.
        scale: largest relative change of size.
    """

    shift: float = 0.03
    turn: float = 6.0
    scale: float = 0.06

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One angle, one factor and one shift a row, at once."""
        amounts = uniform(rows, (4,), images)  # (B, 4): turn, scale, shift right, shift down
        angle = amounts[:, 0] * math.radians(self.turn)
        zoom = 1 + amounts[:, 1] * self.scale
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        right, down = (amounts[:, 2:] * 2 * self.shift).unbind(1)
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
class Jitter(Movement):
    """Shifts by whole pixels, evenly up to `share` of each side."""

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One shift a row."""
        sides = images.new_tensor([images.shape[3], images.shape[2]])
        right, down = (
            (uniform(rows, (2,), images) * self.share * sides).round() / sides * 2
        ).unbind(1)
        return _affine(images, {(0, 2): right, (1, 2): down})


@dataclass(frozen=True)
class Rotate(Movement):
    """Turns about the middle, evenly up to `degrees` either way."""

    degrees: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One angle a row; pictures that are not square keep their proportions."""
        angle = uniform(rows, (), images) * math.radians(self.degrees)
        aspect = images.shape[2] / images.shape[3]
        cos, sin = angle.cos(), angle.sin()
        return _affine(
            images, {(0, 0): cos, (0, 1): -sin * aspect, (1, 0): sin / aspect, (1, 1): cos}
        )


@dataclass(frozen=True)
class Scale(Movement):
    """Makes things larger or smaller, evenly by up to `share`, below 1, of their size."""

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One factor a row."""
        return _zoomed(images, 1 + uniform(rows, (), images) * self.share)


@dataclass(frozen=True)
class Pad(Movement):
    """A gray margin of `share` of each side, on every side, into which the picture shrinks: nothing
    here is random.
    """

    share: float

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """The same for all rows."""
        return _zoomed(images, images.new_full((len(images),), 1 / (1 + 2 * self.share)))


@dataclass(frozen=True)
class Crop(Movement):
    """A part of the picture, drawn to full size (Fel et al. 2023, section 3.1, whose centres and
    sides these are).

    Sides are normal and at least a twentieth, centres normal about the middle, and the part lies
    within the picture.

    Args:
        side: mean side, as a share of the picture's, above 0 to 1.
        deviation: standard deviation of that.
    """

    side: float = 0.25
    deviation: float = 0.1

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One side and one centre a row."""
        drawn = normal(rows, (3,), images)
        side = (self.side + drawn[:, 0] * self.deviation).clamp(min(_LEAST, self.side), 1)
        room = (1 - side)[:, None]  # a centre may be so far from the middle, from -1 to 1
        right, down = torch.minimum(torch.maximum(drawn[:, 1:] * _CENTRES * 2, -room), room).unbind(
            1
        )
        return _affine(images, {(0, 0): side, (1, 1): side, (0, 2): right, (1, 2): down})


@dataclass(frozen=True)
class Mirror(Movement):
    """Left becomes right with some `probability`."""

    probability: float = 0.5

    def matrix(self, images: Tensor, rows: Generators) -> Tensor:
        """One choice a row."""
        chosen = torch.from_numpy(np.array([g.random() < self.probability for g in rows])).to(
            images.device
        )
        return _affine(images, {(0, 0): torch.where(chosen, -1.0, 1.0).to(images)})
