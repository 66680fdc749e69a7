"""Gradients and scores at many variations of one image: the steps of a path, noisy or covered
copies.

They are the rows of probes of their own, at most `MAX_PROBE_ROWS` at a time: memory does not grow
with their number, and an image's result does not depend on the images beside it.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure

MAX_PROBE_ROWS = 64


def weighted_gradient(
    variations: Callable[[int, int], Tensor], weights: list[float], objective: Objective, row: int
) -> Procedure[Tensor]:
    """Add up the gradients at variations of one image, each times its weight.

    Args:
        variations: called with (low, high), returns the variations low to high - 1 as images
            (high - low, C, H, W) in pixel units; it is called once for each, in order.
        weights: one a variation, at least one.
        objective: what is differentiated, of the whole batch.
        row: the image's row of the objective.

    Returns:
        (C, H, W) the weighted sum. The terms are added one by one, so that it does not depend on
        the size of the probes.
    """
    total: Tensor | None = None
    for low, high in probe_spans(len(weights)):
        images = variations(low, high)
        answer = yield Probe(images, repeat_row(objective, row, len(images)))
        for weight, grad in zip(weights[low:high], grad_of(answer), strict=True):
            total = grad * weight if total is None else total + grad * weight
    assert total is not None
    return total


def probe_spans(count: int) -> Iterator[tuple[int, int]]:
    """Yield (low, high) of consecutive probes of at most `MAX_PROBE_ROWS` of `count` rows."""
    return ((low, min(low + MAX_PROBE_ROWS, count)) for low in range(0, count, MAX_PROBE_ROWS))


def repeat_row(objective: Objective, row: int, count: int) -> Objective:
    """Return an objective whose `count` rows are all the same row of another.

    Args:
        objective: of any number of rows.
        row: which of them, from 0.
        count: at least 1.
    """
    index = torch.full((count,), row)
    return objective.take(index.to(objective.rows[0].device) if objective.rows else index)


def grad_of(answer: Answer) -> Tensor:
    """Return the gradient (B, C, H, W) of an answer to a probe that asked for one."""
    assert answer.grad is not None
    return answer.grad


def score_of(answer: Answer) -> Tensor:
    """Return the scores (B,) of an answer to a probe with an objective."""
    assert answer.score is not None
    return answer.score
