"""SmoothGrad (Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise")."""

import numpy as np
import torch
from torch import Tensor

from interp.attribution.result import Attribution
from interp.attribution.variations import score_of, weighted_gradient
from interp.objective import Objective
from interp.probe import Probe, Procedure
from interp.seeds import Generators, normal


def smooth_grad(
    x: Tensor, objective: Objective, rows: Generators, samples: int = 25, noise: float = 0.15
) -> Procedure[Attribution]:
    """Take the mean gradient over copies of the image with Gaussian noise, whose values are not cut
    to [0, 1] (Smilkov et al. 2017, section 3).

    Args:
        x: images (B, C, H, W) in [0, 1].
        objective: of B rows, what is explained.
        rows: one generator an image, which draws the noise of its copies one after another.
        samples: copies of an image, at least 1.
        noise: standard deviation, in pixel units.

    Returns:
        values (B, C, H, W) in units of the score per unit of pixel value.
    """
    answer = yield Probe(x, objective, gradient=False)
    means = []
    for row, generator in enumerate(rows):

        def noisy(
            low: int, high: int, row: int = row, generator: np.random.Generator = generator
        ) -> Tensor:
            return x[row] + noise * normal([generator], (high - low, *x.shape[1:]), x)[0]

        means.append((yield from weighted_gradient(noisy, [1 / samples] * samples, objective, row)))
    return Attribution(torch.stack(means), score_of(answer))
