"""Objectives: functions from activations to one score per row, composed with + - and *.

An objective carries its per-row parameters (labels, channels) apart from its function, so that the
rows of many jobs that ask for the same kind of score are scored in one call.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.layer import Form, LayerPath

Score = Callable[..., Tensor]  # (activations by layer, *rows) -> (B,)


@dataclass(frozen=True, eq=False)
class Objective:
    """A score of every row of a batch: a function of activations, and its per-row parameters.

    Objectives add, subtract, and multiply with numbers.

    Attributes:
        layers: dotted names of the layers whose activations are scored; "logits" among them.
        score: called as score(activations, *rows), where `activations` maps each of `layers` to
            (B, ...), returns (B,).
        rows: tensors (B, ...), the rows' own parameters.
        groups: (B,) int64 where a row's score also depends on other rows, those of the same number,
            which must then be scored together; None where every row stands for itself.
    """

    layers: tuple[str, ...]
    score: Score
    rows: tuple[Tensor, ...] = ()
    groups: Tensor | None = None

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Return the scores (B,) of activations, layer -> (B, ...)."""
        return self.score(activations, *self.rows)

    @property
    def coupled(self) -> bool:
        """Whether scores of rows depend on other rows, so that a probe must not be split."""
        return self.groups is not None

    def take(self, index: Tensor | slice) -> "Objective":
        """Return the same objective for a choice of rows.

        Args:
            index: their numbers, in any order and number, or a slice.
        """
        groups = None if self.groups is None else self.groups[index]
        return Objective(self.layers, self.score, tuple(r[index] for r in self.rows), groups)

    def is_batchable_with(self, other: "Objective") -> bool:
        """Whether rows of this and of another objective can be scored in one call."""
        return (
            self.score == other.score
            and self.layers == other.layers
            and not (self.coupled or other.coupled)
        )

    def __add__(self, other: "Objective") -> "Objective":
        """Return the sum of two objectives of the same number of rows."""
        layers = tuple(dict.fromkeys(self.layers + other.layers))
        both = _Sum(self.score, len(self.rows), other.score)
        return Objective(
            layers, both, self.rows + other.rows, _merged_groups(self.groups, other.groups)
        )

    def __mul__(self, weight: float) -> "Objective":
        """Return the objective times a number."""
        if not self.rows:
            return Objective(
                self.layers, lambda activations: weight * self.score(activations), (), self.groups
            )
        weights = torch.full(
            (len(self.rows[0]),), weight, dtype=torch.float64, device=self.rows[0].device
        )
        return Objective(self.layers, _Product(self.score), (weights, *self.rows), self.groups)

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        """Return the objective of the opposite sign."""
        return self * -1.0

    def __sub__(self, other: "Objective") -> "Objective":
        """Return the difference of two objectives of the same number of rows."""
        return self + (-other)


@dataclass(frozen=True)
class _Sum:
    """Equal sums are equal values, so that composed objectives of one kind are batchable; likewise
    `_Product`.
    """

    one: Score
    split: int  # rows of the first
    other: Score

    def __call__(self, activations: Mapping[str, Tensor], *rows: Tensor) -> Tensor:
        return self.one(activations, *rows[: self.split]) + self.other(
            activations, *rows[self.split :]
        )


@dataclass(frozen=True)
class _Product:
    """A score times each row's weight."""

    factor: Score

    def __call__(self, activations: Mapping[str, Tensor], weights: Tensor, *rows: Tensor) -> Tensor:
        scores = self.factor(activations, *rows)
        return weights.to(scores) * scores


def _merged_groups(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Groups in which rows are together that are together in either: those of one objective, or,
    where both have groups and differ, a single group.
    """
    if one is None or other is None:
        return other if one is None else one
    return one if torch.equal(one, other) else torch.zeros_like(one)


def _channel(activation: Tensor, units: Tensor, _: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units].reshape(len(rows), -1).mean(1)  # (B, K, ...) -> (B,)


def _neuron(activation: Tensor, units: Tensor, positions: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units, positions[:, 0], positions[:, 1]]  # (B, K, h, w) -> (B,)


def _central_neuron(activation: Tensor, units: Tensor, _: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units, activation.shape[2] // 2, activation.shape[3] // 2]


def _layer_energy(activation: Tensor, _: Tensor, __: Tensor) -> Tensor:
    return activation.flatten(1).square().mean(1)


_FORMS: tuple[Form, ...] = ("value", "neg", "abs")


def _formed(scores: Tensor, forms: Tensor) -> Tensor:
    """Scores (B,), minus them or their magnitudes, by numbers in `_FORMS` (B,). At 0, where a
    magnitude has a kink, it climbs as the score itself does, so that a shut unit can be opened.
    """
    is_negative = (forms == 1) | ((forms == 2) & (scores.detach() < 0))
    return torch.where(is_negative, 0 - scores, scores)  # no -0 of a shut unit


Scoring = Callable[[Tensor, Tensor, Tensor], Tensor]


def _scoring(path: LayerPath) -> Scoring:
    if path.unit is None:
        return _layer_energy
    if path.central:
        return _central_neuron
    return _channel if path.position is None else _neuron


# one function per choice of layers, so that the objectives of separate requests are batchable
@functools.cache
def _activation(kinds: tuple[tuple[str, Scoring], ...]) -> Score:
    def score(
        activations: Mapping[str, Tensor],
        which: Tensor,
        units: Tensor,
        positions: Tensor,
        forms: Tensor,
    ) -> Tensor:
        if len(kinds) == 1:
            ((layer, kind),) = kinds
            return _formed(kind(activations[layer], units, positions), forms)
        scores = activations[kinds[0][0]].new_zeros(len(which))
        for number, (layer, kind) in enumerate(kinds):
            (rows,) = (which == number).nonzero(as_tuple=True)
            if len(rows):
                part = kind(activations[layer][rows], units[rows], positions[rows])
                scores = scores.index_put((rows,), part)
        return _formed(scores, forms)

    return score


def activation(paths: Sequence[LayerPath], device: torch.device | str = "cpu") -> Objective:
    """Make the objective of one unit's activation a row.

    "layer:unit" is the mean over the unit's positions (Olah et al. 2017, "channel"),
    "layer:unit@r,c" one neuron, "layer:unit@center" the one in the middle, "layer" the mean square
    of the whole layer (DeepDream), "logits:class" the logit before the softmax (Simonyan et al.
    2014, eq. 1). "neg(...)" of a unit or neuron is minus its activation, "abs(...)" the magnitude
    of its activation: of the mean over positions, not the mean of magnitudes.

    Args:
        paths: one a row, of one layer or several.
        device: where the rows' parameters are kept.
    """
    of_row = [(p.layer, _scoring(p)) for p in paths]
    kinds = tuple(sorted(set(of_row), key=lambda kind: (kind[0], kind[1].__name__)))
    which = torch.tensor([kinds.index(kind) for kind in of_row], device=device)
    units = torch.tensor([p.unit or 0 for p in paths], device=device)
    positions = torch.tensor([p.position or (0, 0) for p in paths], device=device)
    forms = torch.tensor([_FORMS.index(p.form) for p in paths], device=device)
    layers = tuple(dict.fromkeys(layer for layer, _ in kinds))
    return Objective(layers, _activation(kinds), (which, units, positions, forms))
