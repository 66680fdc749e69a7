"""Objectives of several jobs joined into one, so that their rows are scored in one call."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from interp.objective import Objective, Score


def join(objectives: Sequence[Objective]) -> Objective:
    """Join objectives that share score and layers.

    Args:
        objectives: at least one.

    Returns:
        one objective of the rows of all, in order.
    """
    first = objectives[0]
    if len(objectives) == 1:
        return first
    if any(o.coupled for o in objectives):  # group 0 of one is not group 0 of another
        return stack(objectives)
    columns = zip(*(o.rows for o in objectives), strict=True)
    return Objective(first.layers, first.score, tuple(torch.cat(column) for column in columns))


def stack(objectives: Sequence[Objective]) -> Objective:
    """Join objectives of any kind; batchable ones are scored in one call.

    Args:
        objectives: at least one.

    Returns:
        one objective of the rows of all, in order.

    Raises:
        ValueError: an objective has no tensor of rows, so that their number is unknown.
    """
    if any(not o.rows for o in objectives):
        raise ValueError(
            "an objective without rows cannot be stacked: the number of its rows is unknown"
        )
    families = _families(objectives)
    if len(families) == 1:
        return join([objectives[i] for i in families[0]])
    counts, device = [len(o.rows[0]) for o in objectives], objectives[0].rows[0].device
    which, place = torch.empty(2, sum(counts), dtype=torch.long, device=device)
    starts = np.cumsum([0, *counts])
    for name, family in enumerate(families):
        members = torch.cat([torch.arange(starts[i], starts[i + 1], device=device) for i in family])
        which[members], place[members] = name, torch.arange(len(members), device=device)
    layers = tuple(dict.fromkeys(layer for o in objectives for layer in o.layers))
    return Objective(
        layers,
        _stacked_score([join([objectives[i] for i in f]) for f in families]),
        (which, place),
        _separate_groups(objectives, counts),
    )


def _families(objectives: Sequence[Objective]) -> list[list[int]]:
    """The numbers of the objectives, batchable ones together."""
    families: list[list[int]] = []
    for number, objective in enumerate(objectives):
        family = next((f for f in families if objectives[f[0]].is_batchable_with(objective)), None)
        if family is None:
            families.append([number])
        else:
            family.append(number)
    return families


def _stacked_score(families: Sequence[Objective]) -> Score:
    """The score of rows of several families: of each row the family's number and its row there."""

    def score(activations: Mapping[str, Tensor], which: Tensor, place: Tensor) -> Tensor:
        scores = next(iter(activations.values())).new_zeros(len(which))
        for number, family in enumerate(families):
            (rows,) = (which == number).nonzero(as_tuple=True)
            if len(rows):
                part = family.take(place[rows])(
                    {layer: activations[layer][rows] for layer in family.layers}
                )
                scores = scores.index_put((rows,), part.to(scores))
        return scores

    return score


def _separate_groups(objectives: Sequence[Objective], counts: Sequence[int]) -> Tensor | None:
    """The groups of all rows, none shared between two objectives; a row that stands for itself is
    its own group.
    """
    if not any(o.coupled for o in objectives):
        return None
    parts, low = [], 0
    for objective, count in zip(objectives, counts, strict=True):
        groups = objective.groups
        alone = torch.arange(count, device=objective.rows[0].device)
        parts.append(
            low + (alone if groups is None else torch.unique(groups, return_inverse=True)[1])
        )
        low += count
    return torch.cat(parts)
