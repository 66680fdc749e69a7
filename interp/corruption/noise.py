"""The three noises of ImageNet-C: Gaussian, shot and impulse noise."""

import numpy as np
import torch
from torch import Tensor

from interp.seeds import Generators, normal, uniform


def gaussian_noise(images: Tensor, rows: Generators, deviation: float) -> Tensor:
    """Add normal noise to every value.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        deviation: standard deviation, in pixel units.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    return images + deviation * normal(rows, images.shape[1:], images)


def shot_noise(images: Tensor, rows: Generators, photons: float) -> Tensor:
    """Count photons: each value becomes a Poisson number of them; drawn on the CPU.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        photons: expected at full light, above 0.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    expected = photons * images.double().cpu().numpy()
    counts = np.stack([g.poisson(x) for g, x in zip(rows, expected, strict=True)])
    return torch.from_numpy(counts / photons).to(images)


def impulse_noise(images: Tensor, rows: Generators, share: float) -> Tensor:
    """Add salt and pepper: some values, each channel for itself, become 0 or 1, as often the one as
    the other.

    Args:
        images: (B, C, H, W) in [0, 1].
        rows: one generator an image.
        share: of the values that change, 0 to 1.

    Returns:
        (B, C, H, W), which may leave [0, 1].
    """
    hit = (uniform(rows, images.shape[1:], images) + 1) / 2 < share
    return torch.where(hit, (uniform(rows, images.shape[1:], images) >= 0).to(images), images)
