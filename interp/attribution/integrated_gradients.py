"""Integrated gradients (Sundararajan et al. 2017, "Axiomatic attribution for deep networks")."""

import numpy as np
import torch
from torch import Tensor

from interp.attribution.result import Attribution
from interp.attribution.variations import score_of, weighted_gradient
from interp.objective import Objective
from interp.probe import Probe, Procedure


def integrated_gradients(
    x: Tensor, objective: Objective, steps: int = 50, baseline: float = 0.0
) -> Procedure[Attribution]:
    """Take the mean gradient on the line from a baseline to the image, times their difference
    (Sundararajan et al. 2017, equation 1).

    The integral is a Gauss-Legendre sum, which is exact where the gradient is a polynomial of
    degree 2 steps - 1 along the line.

    Args:
        x: images (B, C, H, W) in [0, 1].
        objective: of B rows, what is explained.
        steps: nodes of the sum, at least 1.
        baseline: the pixel value where the line begins, in [0, 1]. It is a pixel, not what the
            network's normalization makes of it: 0 is black, and not the gray that a normalized 0
            would be.

    Returns:
        values (B, C, H, W) in units of the score; `delta` is their sum minus the difference of the
        scores at both ends.
    """
    start = torch.full_like(x, baseline)
    ends = yield Probe(x, objective, gradient=False)
    starts = yield Probe(start, objective, gradient=False)
    roots, weights = np.polynomial.legendre.leggauss(steps)
    nodes, shares = (roots + 1) / 2, weights / 2
    means = []
    for row in range(len(x)):
        difference = x[row] - start[row]

        def on_line(low: int, high: int, row: int = row, difference: Tensor = difference) -> Tensor:
            return start[row] + x.new_tensor(nodes[low:high]).view(-1, 1, 1, 1) * difference

        means.append((yield from weighted_gradient(on_line, shares.tolist(), objective, row)))
    values = (x - start).to(means[0]) * torch.stack(means)
    gain = (score_of(ends) - score_of(starts)).double()
    return Attribution(values, score_of(ends), values.double().sum((1, 2, 3)) - gain)
