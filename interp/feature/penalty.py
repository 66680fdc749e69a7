"""Penalties g(x), which are climbed with the score and keep pictures plain (Yosinski et al. 2015,
section 3).

A penalty maps images and the present sizes of their scores to a term that is added to the score, so
it is never above 0. Terms are means over pixels, so that a weight means the same at every size.
Images of 2 or 4 channels have alpha as the last, which penalties leave alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# (images (B, C, H, W) in [0, 1], sizes (B,) of their scores) -> (B,), at most 0
Penalty = Callable[[Tensor, Tensor], Tensor]

GRAY = 0.5


def without_alpha(images: Tensor) -> Tensor:
    """Return images without their alpha channel.

    Args:
        images: (B, C, H, W), C from 1 to 4, where 2 and 4 have alpha as the last.

    Returns:
        (B, 1 or 3, H, W).
    """
    return images[:, : (images.shape[1] - 1) // 2 * 2 + 1]


@dataclass(frozen=True)
class L1Penalty:
    """Minus `weight` times the mean of |x - 1/2|.

    Args:
        weight: above 0.
    """

    weight: float

    def __call__(self, images: Tensor, size: Tensor) -> Tensor:
        """Return the penalty (B,) of images (B, C, H, W); the size of the score does not matter."""
        return -self.weight * (without_alpha(images) - GRAY).abs().flatten(1).mean(1)


@dataclass(frozen=True)
class L2Penalty:
    """Minus `weight` times the mean of (x - 1/2)^2 (Simonyan et al. 2014, equation 1).

    Args:
        weight: above 0.
    """

    weight: float

    def __call__(self, images: Tensor, size: Tensor) -> Tensor:
        """Return the penalty (B,) of images (B, C, H, W); the size of the score does not matter."""
        return -self.weight * (without_alpha(images) - GRAY).square().flatten(1).mean(1)


@dataclass(frozen=True)
class TotalVariationPenalty:
    """Minus `weight` times the mean absolute difference of neighbours, side by side and one above
    the other (Mahendran & Vedaldi 2015, section 2.2, with beta = 1, each difference by itself).

    Args:
        weight: above 0.
    """

    weight: float

    def __call__(self, images: Tensor, size: Tensor) -> Tensor:
        """Return the penalty (B,) of images (B, C, H, W); the size of the score does not matter."""
        differences = [without_alpha(images).diff(dim=axis).abs().flatten(1) for axis in (2, 3)]
        return -self.weight * torch.cat(differences, 1).mean(1)


@dataclass(frozen=True)
class PenaltySum:
    """The sum of penalties.

    Args:
        penalties: at least one.
    """

    penalties: Sequence[Penalty]

    def __call__(self, images: Tensor, size: Tensor) -> Tensor:
        """Return the sum (B,) of the penalties of images (B, C, H, W) with scores of size (B,)."""
        return torch.stack([penalty(images, size) for penalty in self.penalties]).sum(0)
