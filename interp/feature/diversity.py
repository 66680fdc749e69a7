"""Different pictures of the same unit: what it sees beside what it sees best."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from interp.feature.likeness import broadcast_rows, gram_matrix, max_magnitude
from interp.objective import Objective


def diversity(layer: str, groups: Tensor, weight: float = 1.0) -> Objective:
    """Make an objective of pictures that differ: minus weight times the mean cosine similarity of
    a picture's Gram matrix with those of the others in its group (Olah et al. 2017, "diversity";
    lucid adds up instead of averaging).

    It couples rows: their probes are never split.

    Args:
        layer: whose Gram matrices are compared.
        groups: (B,) int64, equal for pictures that are to differ.
        weight: above 0.

    Returns:
        An objective in [-weight, 0], as Gram matrices never point apart; 0 where a group has one
        picture.
    """

    def score(activations: Mapping[str, Tensor], groups: Tensor) -> Tensor:
        grams = _unit_grams(activations[layer])
        return -weight * _mean_product(grams, grams, groups)

    return Objective((layer,), score, (groups,), groups)


def scaled_diversity(
    objective: Objective, layer: str, groups: Tensor, weight: float = 1.0
) -> Objective:
    """Make `diversity` in units of the present size of an objective that it is climbed with.

    Activations are 1 in one network and 100 in the next; so a weight means the same everywhere. A
    row takes the others as they are, so that one whose objective is 0 is not moved by this either,
    and may be redirected.

    Args:
        objective: of B rows, see `interp.feature.visualize.visualize`.
        layer: whose Gram matrices are compared.
        groups: (B,) int64, equal for pictures that are to differ.
        weight: above 0; at 1, what a picture would lose by being wholly like the others is as much
            as its objective.

    Returns:
        An auxiliary objective of B rows.
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
    return F.normalize(gram_matrix(h / broadcast_rows(max_magnitude(h), h)).flatten(1), dim=1)


def _mean_product(grams: Tensor, others: Tensor, groups: Tensor) -> Tensor:
    """(B,) the mean product of each row of (B, D) with the other rows of its group."""
    pairs = (groups[:, None] == groups[None]).fill_diagonal_(False).to(grams)  # (B, B)
    return (grams @ others.mT * pairs).sum(1) / pairs.sum(1).clamp_min(1)
