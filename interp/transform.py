"""Random views of a picture, so that what is found survives being moved, turned and scaled.

Olah et al. 2017, "transformation robustness".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.seeds import Generators, uniform

Transform = Callable[[Tensor, Generators], Tensor]


def identity(images: Tensor, rows: Generators) -> Tensor:
    """The images as they are."""
    return images


@dataclass(frozen=True)
class Jiggle:
    """Turns, scales and shifts each image at random, at its own size; what comes in from outside is gray.

    Every amount is relative to the image, so that 32 px pictures are moved no harder than those of 224 px.

    Args:
        shift: largest shift, as a share of the side.
        turn: largest rotation in degrees.
        scale: largest relative change of size.
    """

    shift: float = 0.04
    turn: float = 8.0
    scale: float = 0.08

    def __call__(self, images: Tensor, rows: Generators) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W), differentiable."""
        amounts = uniform(rows, (4,), images)  # (B, 4): turn, scale, shift right, shift down
        angle = amounts[:, 0] * math.radians(self.turn)
        zoom = 1 + amounts[:, 1] * self.scale
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        right, down = (amounts[:, 2:] * 2 * self.shift).unbind(1)  # affine_grid measures each side from -1 to 1
        aspect = images.shape[2] / images.shape[3]
        matrix = torch.stack([torch.stack([cos, -sin * aspect, right], 1), torch.stack([sin / aspect, cos, down], 1)], 1)  # (B, 2, 3)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5
