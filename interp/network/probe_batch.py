"""Several probes as one batch: their scores in one vector, and its results as their answers."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from interp.layer import LOGITS
from interp.objective_batch import join
from interp.probe import Answer, Probe


def layers_of(probes: Sequence[Probe]) -> set[str]:
    """Collect the layers whose outputs the probes ask for or score; "logits" among them."""
    layers = {name for p in probes for name in p.layers}
    layers |= {name for p in probes if p.objective for name in p.objective.layers}
    return layers | {LOGITS} if any(p.logits for p in probes) else layers


def scores_of(probes: Sequence[Probe], activations: dict[str, Tensor]) -> Tensor:
    """Score the rows of all probes.

    Neighbours whose objectives are batchable are scored in one call.

    Args:
        probes: B rows in all.
        activations: layer -> (B, ...), at least one layer.

    Returns:
        (B,), zero for the rows of probes without objective.
    """
    parts, low, anything = [], 0, next(iter(activations.values()))
    for score, group in groupby(
        probes, key=lambda p: p.objective and (p.objective.score, p.objective.layers)
    ):
        run = list(group)
        high = low + sum(len(p.images) for p in run)
        if score is None:
            parts.append(anything.new_zeros(high - low))
        else:
            objective = join([p.objective for p in run if p.objective])
            rows = {name: activations[name][low:high] for name in objective.layers}
            parts.append(objective(rows))
        low = high
    return torch.cat(parts)


def split_answers(
    probes: Sequence[Probe], activations: dict[str, Tensor], scores: Tensor, grad: Tensor | None
) -> list[Answer]:
    """Split what a batch gave into one answer a probe.

    Args:
        probes: B rows in all.
        activations: layer -> (B, ...).
        scores: (B,).
        grad: (B, C, H, W), or None if nobody asked for it.
    """
    answers, low = [], 0
    detached = {name: a.detach() for name, a in activations.items()}
    for probe in probes:
        rows = slice(low, low + len(probe.images))
        answers.append(
            Answer(
                score=scores.detach()[rows] if probe.objective else None,
                grad=grad[rows] if grad is not None else None,
                logits=detached[LOGITS][rows] if probe.logits else None,
                activations={name: detached[name][rows] for name in probe.layers},
            )
        )
        low = rows.stop
    return answers
