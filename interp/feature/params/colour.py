"""Colours that are independent of each other, as the eye's opponent colours nearly are:
bright-dark, blue-yellow, red-green.
"""

import torch
from torch import Tensor

# Square root of the covariance of ImageNet's colours (lucid, `color.py`; Olah et al. 2017,
# "preconditioning").
_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def correlation(like: Tensor) -> Tensor:
    """(3, 3): from decorrelated colours to those of photographs, up to scale, in the dtype and on
    the device of `like`.
    """
    matrix = torch.tensor(_ROOT)
    scaled: Tensor = (matrix / matrix.norm(dim=0).max()).to(like)
    return scaled


def mixed(images: Tensor, matrix: Tensor) -> Tensor:
    """Each pixel's colour of images (B, 3, H, W) times `matrix` (3, 3)."""
    return torch.einsum("rc,bchw->brhw", matrix, images)


def decorrelated(images: Tensor) -> Tensor:
    """The inverse of mixing by `correlation`, for images (B, 3, H, W); gray ones (B, 1, H, W) stay
    as they are.
    """
    if images.shape[1] != 3:
        return images
    return mixed(
        images, torch.linalg.inv(correlation(images.new_empty((), dtype=torch.float64))).to(images)
    )
