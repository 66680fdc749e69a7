"""Attributions that ask for gradients alone: procedures, so that the service answers them along
with everything else.

Each takes images x (B, C, H, W) in [0, 1] and an objective of B rows. Variations of an image (steps
of a path, noisy copies) are the rows of probes of their own, at most `ROWS` at a time: memory does
not grow with their number, and an image's result does not depend on the images beside it.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from interp.attribution.result import Attributed
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure
from interp.seeds import Generators, normal

ROWS = 64  # of one probe


def saliency(x: Tensor, objective: Objective) -> Procedure[Attributed]:
    """The magnitude of the gradient, per channel (Simonyan et al. 2014, section 3)."""
    answer = yield Probe(x, objective)
    return Attributed(_grad(answer).abs(), _score(answer))


def input_x_gradient(x: Tensor, objective: Objective) -> Procedure[Attributed]:
    """Pixel times gradient (Shrikumar et al. 2016, "Not just a black box")."""
    answer = yield Probe(x, objective)
    return Attributed(x.to(_grad(answer)) * _grad(answer), _score(answer))


def integrated_gradients(
    x: Tensor, objective: Objective, steps: int = 50, baseline: float = 0.0
) -> Procedure[Attributed]:
    """The mean gradient on the way from a baseline, times the way (Sundararajan et al. 2017,
    equation 1).

    The integral is a Gauss-Legendre sum, which is exact where the gradient is a polynomial of
    degree 2 steps - 1 along the way.

    Args:
        steps: nodes of the sum, at least 1.
        baseline: the pixel value of the way's start, in [0, 1]. It is a pixel, not what the
            network's normalization makes of it: 0 is black, and not the gray that a normalized 0
            would be.
    """
    start = torch.full_like(x, baseline)
    ends = yield Probe(x, objective, gradient=False)
    starts = yield Probe(start, objective, gradient=False)
    roots, weights = np.polynomial.legendre.leggauss(steps)
    nodes, shares = (roots + 1) / 2, weights / 2
    means = []
    for row in range(len(x)):
        way = x[row] - start[row]

        def along(low: int, high: int, row: int = row, way: Tensor = way) -> Tensor:
            return start[row] + x.new_tensor(nodes[low:high]).view(-1, 1, 1, 1) * way

        means.append((yield from _weighted(along, shares.tolist(), objective, row)))
    values = (x - start).to(means[0]) * torch.stack(means)
    return Attributed(
        values,
        _score(ends),
        values.double().sum((1, 2, 3)) - (_score(ends) - _score(starts)).double(),
    )


def smooth_grad(
    x: Tensor, objective: Objective, rows: Generators, samples: int = 25, noise: float = 0.15
) -> Procedure[Attributed]:
    """The mean gradient over copies with Gaussian noise, whose values are not cut to [0, 1]
    (Smilkov et al. 2017).

    Args:
        rows: one generator an image, which draws the noise of its copies one after another.
        samples: copies of an image, at least 1.
        noise: standard deviation, in pixel units.
    """
    answer = yield Probe(x, objective, gradient=False)
    means = []
    for row, generator in enumerate(rows):

        def near(
            low: int, high: int, row: int = row, generator: np.random.Generator = generator
        ) -> Tensor:
            return x[row] + noise * normal([generator], (high - low, *x.shape[1:]), x)[0]

        means.append((yield from _weighted(near, [1 / samples] * samples, objective, row)))
    return Attributed(torch.stack(means), _score(answer))


def _weighted(
    copies: Callable[[int, int], Tensor], weights: list[float], objective: Objective, row: int
) -> Procedure[Tensor]:
    """The weighted sum (C, H, W) of the gradients at copies of one image, which `copies(low, high)`
    makes in order.
    """
    total: Tensor | None = None
    for low, high in spans(len(weights)):
        images = copies(low, high)
        answer = yield Probe(images, repeated(objective, row, len(images)))
        for weight, grad in zip(
            weights[low:high], _grad(answer), strict=True
        ):  # one by one, so that no sum depends on the probes' size
            total = grad * weight if total is None else total + grad * weight
    assert total is not None
    return total


def spans(count: int) -> Iterator[tuple[int, int]]:
    """0 to `count` in steps of `ROWS`."""
    return ((low, min(low + ROWS, count)) for low in range(0, count, ROWS))


def repeated(objective: Objective, row: int, count: int) -> Objective:
    """One row of an objective, so many times."""
    index = torch.full((count,), row)
    return objective.take(index.to(objective.rows[0].device) if objective.rows else index)


def _grad(answer: Answer) -> Tensor:
    assert answer.grad is not None
    return answer.grad


def _score(answer: Answer) -> Tensor:
    assert answer.score is not None
    return answer.score
