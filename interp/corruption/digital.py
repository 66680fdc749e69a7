"""The digital corruptions of ImageNet-C: contrast, elastic transform, pixelation and JPEG."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from interp.resample import (
    apply_separable,
    gaussian_blur,
    pixel_coordinates,
    reflect,
    sample,
    symmetric,
)
from interp.seeds import Generators, uniform


def contrast(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Reduce each value's difference to the channel's mean.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        share: of the difference that is left.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * share + mean


def elastic_transform(
    images: Tensor, rows: Generators, strength: float, smoothness: float, skew: float
) -> Tensor:
    """Apply a random affine map, then displacements by smoothed uniform noise (Simard et al. 2003).

    The affine map moves three points, a third of the side around the centre, by up to `skew` each
    way; outside, the image is mirrored. The noise in [-1, 1] is blurred by a Gaussian of
    `smoothness` and multiplied by `strength`.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        strength, smoothness, skew: shares of the short side.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    height, width = images.shape[2:]
    side = min(height, width)
    skewed = _skew(images, rows, skew * side)
    right, down = (
        strength
        * side
        * gaussian_blur(uniform(rows, (1, height, width), images), smoothness * side, 3, symmetric)[
            :, 0
        ]
        for _ in range(2)
    )
    y, x = pixel_coordinates(images)
    return sample(skewed, y + down, x + right, symmetric)


def _skew(images: Tensor, rows: Generators, reach: float) -> Tensor:
    """The images under the affine map that moves three points by up to `reach` pixels each way."""
    height, width = images.shape[2:]
    third = min(height, width) // 3
    middle = images.new_tensor([width // 2, height // 2])
    points = middle + third * images.new_tensor(
        [[1, 1], [1, -1], [-1, -1]]
    )  # (3, 2), column and row
    moved = points + reach * uniform(rows, (3, 2), images)  # (B, 3, 2)
    ones = images.new_ones(len(images), 3, 1)
    back = torch.linalg.solve(
        torch.cat([moved, ones], 2).double(), points.double().expand(len(images), 3, 2)
    ).to(images)  # (B, 3, 2)
    y, x = pixel_coordinates(images)
    source = torch.stack([x, y, torch.ones_like(x)], 3) @ back[:, None]  # (B, H, W, 2)
    return sample(images, source[..., 1], source[..., 0], reflect)


def pixelate(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Reduce images and enlarge them again, both with a box filter.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        share: of each side that is left in between, 0 to 1.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    vertical, horizontal = (
        _box_matrix(max(int(n * share), 1), n) @ _box_matrix(n, max(int(n * share), 1))
        for n in images.shape[2:]
    )
    return apply_separable(images, vertical, horizontal)


def _box_matrix(source: int, target: int) -> Tensor:
    """Resizing a side from `source` to `target` pixels as a matrix: the mean of the pixels whose
    middle lies in the box.

    What lies on a box's border is decided in Pillow's order of rounding, so that the result is
    Pillow's.
    """
    scale = source / target
    box = max(scale, 1)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale
    pixel = torch.arange(source, dtype=torch.float64)
    at = (pixel - centre + 0.5) * (1 / box)  # (target, source)
    near = (pixel >= (centre - box / 2 + 0.5).floor()) & (pixel < (centre + box / 2 + 0.5).floor())
    inside = (near & (at > -0.5) & (at <= 0.5)).double()
    return inside / inside.sum(1, keepdim=True)


def jpeg_compression(images: Tensor, rows: Generators, quality: float) -> Tensor:
    """Round to 8 bits, and go through Pillow's JPEG encoder (chroma at half size) and back, on the
    CPU.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: of which nothing is drawn.
        quality: Pillow's, 1 to 95; rounded.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    levels = (images * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = []
    for pixels in levels:
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            file, "JPEG", quality=round(quality)
        )
        decoded.append(np.asarray(Image.open(file, formats=("JPEG",))).reshape(pixels.shape))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(images) / 255
