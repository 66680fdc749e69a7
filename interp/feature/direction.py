"""Objectives in the space of a layer's units: directions, and the way from one objective to
another.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.objective import Objective, Score

# A cosine is raised to this before its power is taken, so that a picture that points away still has
# a gradient.
MIN_COSINE = 0.1

# (h (B, K, P), unit vectors (B, K), powers (B,)) -> (B, P)
Comparison = Callable[[Tensor, Tensor, Tensor], Tensor]


def dot(h: Tensor, v: Tensor, power: Tensor) -> Tensor:
    """Return <h, v> at each position: how far h goes that way.

    Args:
        h: (B, K, P) activations at P positions.
        v: (B, K) of length 1.
        power: (B,), which does not matter.

    Returns:
        (B, P).
    """
    product: Tensor = torch.einsum("bkp,bk->bp", h, v)
    return product


def cosine(h: Tensor, v: Tensor, power: Tensor) -> Tensor:
    """Return <h, v> / |h| at each position: how nearly h points that way.

    Where h is 0 its slope counts as v, which shows the way: any nearer to 0 the true one is without
    bound, and one such gradient would keep Adam from moving for the rest of a climb.

    Args:
        h: (B, K, P) activations at P positions.
        v: (B, K) of length 1.
        power: (B,), which does not matter.

    Returns:
        (B, P) in [-1, 1], 0 where h is 0.
    """
    length: Tensor = h.norm(dim=1)
    return dot(h, v, power) / torch.where(length > 0, length, 1)


def dot_cosine(h: Tensor, v: Tensor, power: Tensor) -> Tensor:
    """Return the dot product times a power of the cosine, at least `MIN_COSINE` (lucid; Carter et
    al. 2019, "activation atlas").

    Args:
        h: (B, K, P) activations at P positions.
        v: (B, K) of length 1.
        power: (B,) of the cosine.

    Returns:
        (B, P).
    """
    return dot(h, v, power) * cosine(h, v, power).clamp_min(MIN_COSINE) ** power[:, None]


def direction(
    layer: str,
    vectors: Tensor,
    comparison: Comparison = dot,
    power: float = 1.0,
    position: tuple[int, int] | None = None,
) -> Objective:
    """Make an objective of how a layer's activations compare with a direction, on average over the
    positions (lucid, "direction"; Kim et al. 2018).

    Args:
        layer: of K units.
        vectors: (B, K) one direction a row, of any length but 0.
        comparison: `dot`, `cosine` or `dot_cosine`.
        power: of the cosine in `dot_cosine`.
        position: (row, column) of the layer's map, instead of the mean over all positions.

    Returns:
        An objective of B rows.

    Raises:
        ValueError: A vector is 0 or not finite.
    """
    size = vectors.abs().amax(1, keepdim=True)
    if not (size.isfinite() & (size > 0)).all():
        raise ValueError("a direction must be finite and not 0")
    # Or the squares of very large or small numbers would leave float32.
    vectors = vectors / size
    rows: tuple[Tensor, ...] = (
        vectors / vectors.norm(dim=1, keepdim=True),
        torch.full_like(size[:, 0], power),
    )
    if position is not None:
        rows += (torch.tensor([position] * len(vectors), device=vectors.device),)
    return Objective((layer,), _direction(layer, comparison, position is not None), rows)


# One function a kind, so that the objectives of separate requests are batchable.
@functools.cache
def _direction(layer: str, comparison: Comparison, positioned: bool) -> Score:
    """The score of `direction`."""

    def score(
        activations: Mapping[str, Tensor], vectors: Tensor, powers: Tensor, *positions: Tensor
    ) -> Tensor:
        h = activations[layer]  # (B, K, h, w) or (B, K)
        if positioned:
            (at,) = positions
            h = h[torch.arange(len(h), device=h.device), :, at[:, 0], at[:, 1]]  # (B, K)
        return comparison(
            h.flatten(2) if h.ndim > 2 else h[..., None], vectors.to(h), powers.to(h)
        ).mean(1)

    return score


def interpolation(first: Objective, second: Objective, shares: Tensor) -> Objective:
    """Make (1 - share) * first + share * second, row by row: the way from one objective to another
    (Olah et al. 2017, "interaction").

    Args:
        first: of B rows.
        second: of B rows.
        shares: (B,), from 0 for the first objective to 1 for the second.

    Returns:
        An objective of B rows.
    """
    total = first + second
    score = _Interpolation(first.score, len(first.rows), second.score)
    return Objective(total.layers, score, (shares, *total.rows), total.groups)


@dataclass(frozen=True)
class _Interpolation:
    """The score of `interpolation`: equal ones are equal values, and batchable."""

    start: Score
    split: int  # tensors of rows of the first
    end: Score

    def __call__(self, activations: Mapping[str, Tensor], shares: Tensor, *rows: Tensor) -> Tensor:
        start, end = (
            self.start(activations, *rows[: self.split]),
            self.end(activations, *rows[self.split :]),
        )
        return start.lerp(end, shares.to(start))
