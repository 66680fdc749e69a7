"""SmoothGrad against the mean over its own noise."""

import numpy as np
import torch

from interp.attribution.smooth_grad import smooth_grad
from interp.attribution.variations import MAX_PROBE_ROWS
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from interp.seeds import generators
from tests.interp.attribution.toys_attribution import (
    Unit,
    agree,
)
from tests.interp.toys_networks import images, tricky


def test_smooth_grad_is_the_mean_over_its_own_noise() -> None:
    network, x, samples = tricky(), images(2), MAX_PROBE_ROWS + 6
    path = LayerPath("down", 4)
    found = solve(
        smooth_grad(x, activation([path] * 2), generators(7, 20, 2), samples, 0.3), network
    ).values
    for row in range(2):
        noise = np.stack(
            [
                generators(7, 20 + row, 1)[0].standard_normal(
                    (samples, *x.shape[1:]), dtype=np.float32
                )
            ]
        )[0]
        noisy = (x[row] + 0.3 * torch.from_numpy(noise)).requires_grad_()
        (grads,) = torch.autograd.grad(Unit(network, path)(noisy).sum(), noisy)
        agree(found[row], grads.mean(0))
