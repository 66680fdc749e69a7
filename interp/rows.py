"""Probes cut into rows and answers joined again: how drivers share, split and pad passes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp.ascent import Answer, Probe


def cut(probe: Probe, low: int, high: int) -> Probe:
    """The rows low to high - 1 of a probe; the probe itself if those are all."""
    if low == 0 and high >= len(probe.images):
        return probe
    objective = probe.objective.take(slice(low, high)) if probe.objective else None
    return Probe(
        probe.images[low:high], objective, probe.gradient, probe.logits, probe.layers, probe.redirect, probe.splittable, probe.progress
    )


def pad(probe: Probe, rows: int) -> Probe:
    """The first row of a probe, `rows` times over: company that fills a chunk."""
    images = probe.images[:1].expand(rows, -1, -1, -1)
    objective = probe.objective.take(torch.zeros(rows, dtype=torch.long)) if probe.objective else None
    return Probe(images, objective, probe.gradient, probe.logits, probe.layers)


def join(answers: Sequence[Answer]) -> Answer:
    """The answer to a whole probe from those to its consecutive parts."""
    if len(answers) == 1:
        return answers[0]
    return Answer(
        _joined([a.score for a in answers]),
        _joined([a.grad for a in answers]),
        _joined([a.logits for a in answers]),
        {name: torch.cat([a.activations[name] for a in answers]) for name in answers[0].activations},
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    return torch.cat(present) if present else None
