"""Objectives: functions from activations to one score per row, composed with + - and *.

An objective carries its per-row parameters (labels, channels) apart from its function, so that the
rows of many jobs that ask for the same kind of score are scored in one call.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.layer import LayerPath

Score = Callable[..., Tensor]  # (activations by layer, *rows) -> (B,)


@dataclass(frozen=True, eq=False)
class Objective:
    """`score(activations, *rows)` -> (B,), where `activations` maps each of `layers` to (B, ...)
    and rows are (B, ...).

    Args:
        groups: (B,) int64 where a row's score also hangs on other rows, those of the same number,
            which must then be scored together; None where every row stands for itself.
    """

    layers: tuple[str, ...]
    score: Score
    rows: tuple[Tensor, ...] = ()
    groups: Tensor | None = None

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.score(activations, *self.rows)

    @property
    def coupled(self) -> bool:
        """Whether rows hang on each other, so that a probe must not be split."""
        return self.groups is not None

    def take(self, index: Tensor | slice) -> "Objective":
        """The same objective for a choice of rows."""
        groups = None if self.groups is None else self.groups[index]
        return Objective(self.layers, self.score, tuple(r[index] for r in self.rows), groups)

    def kin(self, other: "Objective") -> bool:
        """Whether rows of both can be scored in one call."""
        return (
            self.score == other.score
            and self.layers == other.layers
            and not (self.coupled or other.coupled)
        )

    def __add__(self, other: "Objective") -> "Objective":
        layers = tuple(dict.fromkeys(self.layers + other.layers))
        both = _Sum(self.score, len(self.rows), other.score)
        return Objective(layers, both, self.rows + other.rows, _united(self.groups, other.groups))

    def __mul__(self, weight: float) -> "Objective":
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
        return self * -1.0

    def __sub__(self, other: "Objective") -> "Objective":
        return self + (-other)


@dataclass(frozen=True)
class _Sum:
    """Equal sums are equal values, so that composed objectives of one kind are kin; likewise
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
    factor: Score

    def __call__(self, activations: Mapping[str, Tensor], weights: Tensor, *rows: Tensor) -> Tensor:
        scores = self.factor(activations, *rows)
        return weights.to(scores) * scores


def _united(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Groups in which rows are together that are together in either: those of one, or, where they
    differ, a single group.
    """
    if one is None or other is None:
        return other if one is None else one
    return one if torch.equal(one, other) else torch.zeros_like(one)


def join(objectives: Sequence[Objective]) -> Objective:
    """One objective for the rows of several that share score and layers, in order."""
    first = objectives[0]
    if len(objectives) == 1:
        return first
    if any(o.coupled for o in objectives):  # group 0 of one is not group 0 of another
        return stack(objectives)
    columns = zip(*(o.rows for o in objectives), strict=True)
    return Objective(first.layers, first.score, tuple(torch.cat(column) for column in columns))


def stack(objectives: Sequence[Objective]) -> Objective:
    """One objective for the rows of several of any kind, in order; kin are scored in one call.

    Raises:
        ValueError: an objective has no tensor of rows, so that their number is unknown.
    """
    if any(not o.rows for o in objectives):
        raise ValueError(
            "an objective without rows cannot be stacked: the number of its rows is unknown"
        )
    families: list[list[int]] = []  # numbers of the objectives that are kin
    for number, objective in enumerate(objectives):
        family = next((f for f in families if objectives[f[0]].kin(objective)), None)
        if family is None:
            families.append([number])
        else:
            family.append(number)
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
        _stacked([join([objectives[i] for i in f]) for f in families]),
        (which, place),
        _apart(objectives, counts),
    )


def _stacked(families: Sequence[Objective]) -> Score:
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


def _apart(objectives: Sequence[Objective], counts: Sequence[int]) -> Tensor | None:
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


def _channel(activation: Tensor, units: Tensor, _: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units].reshape(len(rows), -1).mean(1)  # (B, K, ...) -> (B,)


def _neuron(activation: Tensor, units: Tensor, positions: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units, positions[:, 0], positions[:, 1]]  # (B, K, h, w) -> (B,)


def _central(activation: Tensor, units: Tensor, _: Tensor) -> Tensor:
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, units, activation.shape[2] // 2, activation.shape[3] // 2]


def _whole_layer(activation: Tensor, _: Tensor, __: Tensor) -> Tensor:
    return activation.flatten(1).square().mean(1)


Kind = Callable[[Tensor, Tensor, Tensor], Tensor]


def _kind(path: LayerPath) -> Kind:
    if path.unit is None:
        return _whole_layer
    if path.central:
        return _central
    return _channel if path.position is None else _neuron


# one function per choice of layers, so that the objectives of separate requests are kin
@functools.cache
def _activation(kinds: tuple[tuple[str, Kind], ...]) -> Score:
    def score(
        activations: Mapping[str, Tensor], which: Tensor, units: Tensor, positions: Tensor
    ) -> Tensor:
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

    "layer:unit" is the mean over the unit's positions (Olah et al. 2017, "channel"),
    "layer:unit@r,c" one neuron, "layer:unit@center" the one in the middle, "layer" the mean square
    of the whole layer (DeepDream), "logits:class" the logit before the softmax (Simonyan et al.
    2014, eq. 1).
    """
    of_row = [(p.layer, _kind(p)) for p in paths]
    kinds = tuple(sorted(set(of_row), key=lambda kind: (kind[0], kind[1].__name__)))
    which = torch.tensor([kinds.index(kind) for kind in of_row], device=device)
    units = torch.tensor([p.unit or 0 for p in paths], device=device)
    positions = torch.tensor([p.position or (0, 0) for p in paths], device=device)
    layers = tuple(dict.fromkeys(layer for layer, _ in kinds))
    return Objective(layers, _activation(kinds), (which, units, positions))
