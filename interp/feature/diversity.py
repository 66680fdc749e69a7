"""Different pictures of the same unit: what it sees beside what it sees best."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from interp.feature.likeness import gram, largest, spread
from interp.objective import Objective


def diversity(layer: str, groups: Tensor, weight: float = 1.0) -> Objective:
    """Minus weight times the mean cosine similarity of a picture's Gram matrix with those of the
    others in its group.

    Olah et al. 2017, "diversity"; lucid adds up instead of averaging. In [-weight, 0], as Gram
    matrices never point apart; 0 where a group has one picture. It couples rows: their probes are
    never split.

    Args:
        groups: (B,) int64, equal for pictures that are to differ.
    """

    def score(activations: Mapping[str, Tensor], groups: Tensor) -> Tensor:
        grams = _unit_grams(activations[layer])
        return -weight * _mean_product(grams, grams, groups)

    return Objective((layer,), score, (groups,), groups)


def diversity_beside(
    objective: Objective, layer: str, groups: Tensor, weight: float = 1.0
) -> Objective:
    """`diversity` in units of the present size of `objective`, to be climbed beside it: see
    `interp.feature.visualize.visualize`.

    Activations are 1 in one network and 100 in the next; so a weight means the same everywhere: at
    1, what a picture would lose by being wholly like the others is as much as its objective. A row
    takes the others as they are, so that one whose objective is 0 is not moved by this either, and
    may be redirected.
    """
    split = len(objective.rows)

    def score(activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
        size = objective.score(activations, *rows[:split]).detach().abs()
        grams = _unit_grams(activations[layer])
        return -weight * size * _mean_product(grams, grams.detach(), rows[split])

    layers = tuple(dict.fromkeys((*objective.layers, layer)))
    return Objective(layers, score, (*objective.rows, groups), groups)


def _unit_grams(h: Tensor) -> Tensor:
    """(B, K * K) of (B, K, ...) the Gram matrices, of length 1, or 0 where a layer is 0. How large
    h is does not matter.
    """
    return F.normalize(gram(h / spread(largest(h), h)).flatten(1), dim=1)


def _mean_product(grams: Tensor, others: Tensor, groups: Tensor) -> Tensor:
    """(B,) the mean product of each row of (B, D) with the other rows of its group."""
    pairs = (groups[:, None] == groups[None]).fill_diagonal_(False).to(grams)  # (B, B)
    return (grams @ others.mT * pairs).sum(1) / pairs.sum(1).clamp_min(1)
