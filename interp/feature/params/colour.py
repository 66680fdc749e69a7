"""Colours that are independent of each other, as the eye's opponent colours nearly are:
bright-dark, blue-yellow, red-green.
"""

import torch
from torch import Tensor

# Square root of the covariance of ImageNet's colours (lucid, `color.py`; Olah et al. 2017,
# "preconditioning").
_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def correlation(like: Tensor) -> Tensor:
    """Return the matrix from decorrelated colours to those of photographs, up to scale.

    Args:
        like: a tensor of the dtype and the device that the matrix takes.

    Returns:
        (3, 3).
    """
    matrix = torch.tensor(_ROOT)
    scaled: Tensor = (matrix / matrix.norm(dim=0).max()).to(like)
    return scaled


def mixed(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each pixel's colour by a matrix.

    Args:
        images: (B, 3, H, W).
        matrix: (3, 3).

    Returns:
        (B, 3, H, W).
    """
    return torch.einsum("rc,bchw->brhw", matrix, images)


def decorrelated(images: Tensor) -> Tensor:
    """Undo mixing by `correlation`.

    Args:
        images: (B, 3, H, W), or gray ones (B, 1, H, W), which stay as they are.

    Returns:
        Images of the same shape.
    """
    if images.shape[1] != 3:
        return images
    matrix = correlation(images.new_empty((), dtype=torch.float64))
    return mixed(images, torch.linalg.inv(matrix).to(images))
