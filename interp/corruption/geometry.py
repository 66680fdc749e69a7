"""Images moved, turned, resized, sheared, cropped and bent; what comes in from outside is black."""

import torch
from torch import Tensor

from interp.resample import pixel_coordinates, sample, symmetric


def affine(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Read each pixel p, in columns and rows from the centre, at matrix @ p - shift.

    Args:
        images: (B, C, H, W).
        matrix: (B, 2, 2).
        shift: (B, 2) in pixels, to the right and down.

    Returns:
        (B, C, H, W), black where it comes from outside.
    """
    y, x = pixel_coordinates(images)
    middle = images.new_tensor([(images.shape[3] - 1) / 2, (images.shape[2] - 1) / 2])
    source = torch.stack([x, y], 3) - middle  # (1, H, W, 2), columns first
    source = (
        (source[..., None, :] * matrix.to(images)[:, None, None]).sum(4)
        - shift.to(images)[:, None, None]
        + middle
    )
    return sample(images, source[..., 1], source[..., 0])


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn images about the centre.

    Args:
        images: (B, C, H, W).
        degrees: (B,), counterclockwise.

    Returns:
        (B, C, H, W).
    """
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    return affine(
        images,
        torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2),
        images.new_zeros(len(images), 2),
    )


def translate(images: Tensor, pixels: Tensor) -> Tensor:
    """Move images.

    Args:
        images: (B, C, H, W).
        pixels: (B, 2), to the right and down.

    Returns:
        (B, C, H, W).
    """
    return affine(images, torch.eye(2).to(images).expand(len(images), 2, 2), pixels)


def scale(images: Tensor, factors: Tensor) -> Tensor:
    """Enlarge images about the centre.

    Args:
        images: (B, C, H, W).
        factors: (B,), not 0; above 1 enlarges.

    Returns:
        (B, C, H, W).
    """
    return affine(
        images, torch.eye(2).to(images) / factors[:, None, None], images.new_zeros(len(images), 2)
    )


def shear(images: Tensor, degrees: Tensor) -> Tensor:
    """Move the lines of images sideways.

    Args:
        images: (B, C, H, W).
        degrees: (B,), by which verticals lean, to the right at the top.

    Returns:
        (B, C, H, W).
    """
    lean = degrees.deg2rad().tan()
    matrix = torch.stack(
        [torch.ones_like(lean), lean, torch.zeros_like(lean), torch.ones_like(lean)], 1
    ).view(-1, 2, 2)
    return affine(images, matrix, images.new_zeros(len(images), 2))


def crop(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Cut windows out, bilinearly resized to the images' own size.

    Args:
        images: (B, C, H, W).
        top, left: (B,) first row and column of each window.
        height, width: of the windows in pixels.

    Returns:
        (B, C, H, W).
    """
    y, x = pixel_coordinates(images)
    y = ((y + 0.5) * (height / images.shape[2]) - 0.5).clamp(0, height - 1) + top.to(images)[
        :, None, None
    ]
    x = ((x + 0.5) * (width / images.shape[3]) - 0.5).clamp(0, width - 1) + left.to(images)[
        :, None, None
    ]
    return sample(images, y, x, symmetric)


def displace(images: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Read each pixel of images some pixels away.

    Args:
        images: (B, C, H, W).
        right: (B, H, W), in pixels.
        down: (B, H, W), in pixels.

    Returns:
        (B, C, H, W).
    """
    y, x = pixel_coordinates(images)
    return sample(images, y + down, x + right)
