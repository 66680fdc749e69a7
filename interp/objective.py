"""Objectives: functions from activations to one score per row, composed with + - and *.

An objective carries its per-row parameters (labels, channels) apart from its function, so that the rows of many jobs that
ask for the same kind of score are scored in one call.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.layer import LOGITS, LayerPath

Score = Callable[..., Tensor]  # (activations by layer, *rows) -> (B,)

DLR_SPREAD = 1e-12  # the least divisor of the DLR losses, for logits that tie


@dataclass(frozen=True, eq=False)
class Objective:
    """`score(activations, *rows)` -> (B,), where `activations` maps each of `layers` to (B, ...) and rows are (B, ...)."""

    layers: tuple[str, ...]
    score: Score
    rows: tuple[Tensor, ...] = ()

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.score(activations, *self.rows)

    def take(self, index: Tensor | slice) -> "Objective":
        """The same objective for a choice of rows."""
        return Objective(self.layers, self.score, tuple(r[index] for r in self.rows))

    def kin(self, other: "Objective") -> bool:
        """Whether rows of both can be scored in one call."""
        return self.score is other.score and self.layers == other.layers

    def __add__(self, other: "Objective") -> "Objective":
        split = len(self.rows)

        def score(activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
            return self.score(activations, *rows[:split]) + other.score(activations, *rows[split:])

        return Objective(tuple(dict.fromkeys(self.layers + other.layers)), score, self.rows + other.rows)

    def __mul__(self, weight: float) -> "Objective":
        def score(activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
            return weight * self.score(activations, *rows)

        return Objective(self.layers, score, self.rows)

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        return self * -1.0

    def __sub__(self, other: "Objective") -> "Objective":
        return self + (-other)


def join(objectives: Sequence[Objective]) -> Objective:
    """One objective for the rows of several that are `kin`, in order."""
    first = objectives[0]
    columns = zip(*(o.rows for o in objectives), strict=True)
    return Objective(first.layers, first.score, tuple(torch.cat(column) for column in columns))


def _cross_entropy(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    return F.cross_entropy(activations[LOGITS], labels, reduction="none")


def cross_entropy(labels: Tensor) -> Objective:
    """-log p(label) per row: what an untargeted attack raises. `labels` (B,) int64."""
    return Objective((LOGITS,), _cross_entropy, (labels,))


def _target_probability(activations: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    return -F.cross_entropy(activations[LOGITS], targets, reduction="none")


def target_likelihood(targets: Tensor) -> Objective:
    """log p(target) per row, minus the cross-entropy of the target: what a targeted attack raises. `targets` (B,) int64."""
    return Objective((LOGITS,), _target_probability, (targets,))


def _margin(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    logits = activations[LOGITS]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None]).squeeze(1)


def margin(labels: Tensor) -> Objective:
    """Largest other logit minus the label's, per row; above 0 means misclassified (Carlini & Wagner 2017, section IV.A)."""
    return Objective((LOGITS,), _margin, (labels,))


def _target_margin(activations: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    return -_margin(activations, targets)


def target_margin(targets: Tensor) -> Objective:
    """The target's logit minus the largest other, per row; above 0 means taken for the target. `targets` (B,) int64."""
    return Objective((LOGITS,), _target_margin, (targets,))


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _largest(activations: Mapping[str, Tensor], count: int) -> Tensor:
    """(B, count) the largest logits in falling order, whose differences the DLR losses divide by.

    Raises:
        ValueError: the network has fewer classes.
    """
    logits = activations[LOGITS]
    if logits.shape[1] < count:
        raise ValueError(f"this DLR loss needs a network of at least {count} classes; this one has {logits.shape[1]}")
    return logits.topk(count, 1)[0]


def _dlr(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    first, _, third = _largest(activations, 3).unbind(1)
    return _margin(activations, labels) / (first - third).clamp_min(DLR_SPREAD)


def dlr(labels: Tensor) -> Objective:
    """The difference of logits ratio per row (Croce & Hein 2020, equation 6), which no scaling or shift of logits changes.

    (largest other logit - the label's) / (largest - third largest), the divisor at least `DLR_SPREAD`: at least -1, and above
    0 exactly for what is misclassified. `labels` (B,) int64.

    Raises (when scored):
        ValueError: the network has fewer than 3 classes.
    """
    return Objective((LOGITS,), _dlr, (labels,))


def _dlr_targeted(activations: Mapping[str, Tensor], labels: Tensor, targets: Tensor) -> Tensor:
    first, _, third, fourth = _largest(activations, 4).unbind(1)
    gain = _at(activations[LOGITS], targets) - _at(activations[LOGITS], labels)
    return gain / (first - (third + fourth) / 2).clamp_min(DLR_SPREAD)


def dlr_targeted(labels: Tensor, targets: Tensor) -> Objective:
    """The targeted difference of logits ratio per row (Croce & Hein 2020, equation 7), raised to lead from label to target.

    (target's logit - the label's) / (largest - mean of third and fourth largest), the divisor at least `DLR_SPREAD`.
    `labels` and `targets` (B,) int64.

    Raises (when scored):
        ValueError: the network has fewer than 4 classes.
    """
    return Objective((LOGITS,), _dlr_targeted, (labels, targets))


def _channel(activation: Tensor, units: Tensor, _: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units].reshape(len(rows), -1).mean(1)  # (B, K, ...) -> (B,)


def _neuron(activation: Tensor, units: Tensor, positions: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units, positions[:, 0], positions[:, 1]]  # (B, K, h, w) -> (B,)


def _whole_layer(activation: Tensor, _: Tensor, __: Tensor) -> Tensor:
    return activation.flatten(1).square().mean(1)


Kind = Callable[[Tensor, Tensor, Tensor], Tensor]


def _kind(path: LayerPath) -> Kind:
    if path.unit is None:
        return _whole_layer
    return _channel if path.position is None else _neuron


@functools.cache  # one function per choice of layers, so that the objectives of separate requests are kin
def _activation(kinds: tuple[tuple[str, Kind], ...]) -> Score:
    def score(activations: Mapping[str, Tensor], which: Tensor, units: Tensor, positions: Tensor) -> Tensor:
        if len(kinds) == 1:
            ((layer, kind),) = kinds
            return kind(activations[layer], units, positions)
        scores = activations[kinds[0][0]].new_zeros(len(which))
        for number, (layer, kind) in enumerate(kinds):
            (rows,) = (which == number).nonzero(as_tuple=True)
            if len(rows):
                part = kind(activations[layer][rows], units[rows], positions[rows])
                scores = scores.index_put((rows,), part)
        return scores

    return score


def activation(paths: Sequence[LayerPath], device: torch.device | str = "cpu") -> Objective:
    """The activation of one unit per row; `paths` has one entry a row, of one layer or several.

    "layer:unit" is the mean over the unit's positions (Olah et al. 2017, "channel"), "layer:unit@r,c" one neuron, "layer"
    the mean square of the whole layer (DeepDream), "logits:class" the logit before the softmax (Simonyan et al. 2014, eq. 1).
    """
    of_row = [(p.layer, _kind(p)) for p in paths]
    kinds = tuple(sorted(set(of_row), key=lambda kind: (kind[0], kind[1].__name__)))
    which = torch.tensor([kinds.index(kind) for kind in of_row], device=device)
    units = torch.tensor([p.unit or 0 for p in paths], device=device)
    positions = torch.tensor([p.position or (0, 0) for p in paths], device=device)
    layers = tuple(dict.fromkeys(layer for layer, _ in kinds))
    return Objective(layers, _activation(kinds), (which, units, positions))
