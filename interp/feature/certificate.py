"""What a picture is worth: its objective without the random views that it was optimized under, and
its unit's place in the layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interp.feature.appearance import Appearance
from interp.feature.transform import HELD_OUT_VIEWS, held_out_view
from interp.layer import LayerPath
from interp.objective import Objective
from interp.probe import Probe, Procedure

# Most rows, and most views of a picture, of a probe for held-out views.
_MAX_ROWS, _MAX_VIEWS = 64, 8
# Pictures of a probe for whole layers, whose activations are kept until it is answered.
_LAYER_ROWS = 8


@dataclass(frozen=True, eq=False)
class Certificate:
    """Measured on the pictures that are returned, one row a picture.

    Attributes:
        activation: (B,) the objective on the picture itself.
        held_out: (B,) its mean under the held-out views, see
            `interp.feature.transform.held_out_view`.
        held_out_minimum: (B,) the lowest of those.
        rank: (B,) int64, the unit's place among its layer's units on this picture, by the same
            functional (mean of the channel, neuron, feature or logit, minus it or its magnitude):
            1 for the most active; what ties with it goes before it. 0 where there is no one unit.
        units: (B,) int64, their number; 0 likewise.
        layer_activations: per row (K,) that functional of every unit of the layer, or None
            likewise.
        seed_activations: (B, S) the activations that the further seeds reached.
        attempts: (B,) int64, the optimizations run for the picture, retries included, further seeds
            not.
        seeds: the seed of the one that is returned.
        learning_rates: (B,) float64, its learning rate.
        contrasts: the contrast that it was allowed, see `interp.feature.params.base`; 0 for any.
        size: (height, width) at which the network was shown the pictures, in pixels.
        appearance: how they look at that size.
    """

    activation: Tensor
    held_out: Tensor
    held_out_minimum: Tensor
    rank: Tensor
    units: Tensor
    layer_activations: list[Tensor | None]
    seed_activations: Tensor
    attempts: Tensor
    seeds: list[int]
    learning_rates: Tensor
    contrasts: list[float]
    size: tuple[int, int]
    appearance: Appearance

    def cpu(self) -> "Certificate":
        """Return the same on the host."""
        layers = [None if values is None else values.cpu() for values in self.layer_activations]
        copied: dict[str, Any] = {
            name: value.cpu() for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, layer_activations=layers, appearance=self.appearance.cpu(), **copied)


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """The objective on pictures.

    Attributes:
        activation: (B,) on the pictures as they are.
        held_out: (B,) the mean over the held-out views.
        held_out_minimum: (B,) the lowest of those.
    """

    activation: Tensor
    held_out: Tensor
    held_out_minimum: Tensor


def measure(pictures: Tensor, objective: Objective) -> Procedure[HeldOutScores]:
    """Measure an objective on pictures and on their held-out views, by forward passes alone.

    Several views share a probe, at most `_MAX_VIEWS` and `_MAX_ROWS` rows; of a coupled objective
    every view has its own.

    Args:
        pictures: (B, C, H, W) in [0, 1].
        objective: of B rows.

    Returns:
        The scores of each picture.
    """
    rows = len(pictures)
    views: list[Callable[[], Tensor]] = [
        lambda: pictures,
        *(lambda n=n: held_out_view(pictures, n) for n in range(HELD_OUT_VIEWS)),
    ]
    per_probe = 1 if objective.coupled else max(1, min(_MAX_VIEWS, _MAX_ROWS // rows))
    scores = []
    for low in range(0, len(views), per_probe):
        batch = views[low : low + per_probe]
        index = torch.arange(rows, device=pictures.device).repeat(len(batch))
        answer = yield Probe(
            torch.cat([view() for view in batch]),
            objective.take(index),
            gradient=False,
            splittable=not objective.coupled,
        )
        assert answer.score is not None
        scores += list(answer.score.view(len(batch), rows))
    held_out = torch.stack(scores[1:])  # (HELD_OUT_VIEWS, B)
    return HeldOutScores(scores[0], held_out.mean(0), held_out.amin(0))


def measure_layers(
    pictures: Tensor, units: Sequence[LayerPath | None]
) -> Procedure[list[Tensor | None]]:
    """Measure all units of each picture's layer.

    Args:
        pictures: (B, C, H, W) in [0, 1].
        units: the unit of each picture, or None where there is no one unit.

    Returns:
        Per picture the activations (K,), of "layer:unit" the mean of each channel, of
        "layer:unit@row,column" the value of each channel there, of "neg(...)" minus these, of
        "abs(...)" their magnitudes; None where there is no one unit.
    """
    found: list[Tensor | None] = [None] * len(units)
    measured = [(i, path) for i, path in enumerate(units) if path and path.unit is not None]
    for low in range(0, len(measured), _LAYER_ROWS):
        batch = measured[low : low + _LAYER_ROWS]
        layers = tuple(dict.fromkeys(path.layer for _, path in batch))
        # One unit of a layer may have values that are not finite, and no others need suffer
        # from it.
        answer = yield Probe(pictures[[row for row, _ in batch]], layers=layers, finite=False)
        for place, (row, path) in enumerate(batch):
            found[row] = _unit_activations(answer.activations[path.layer][place], path)
    return found


def _unit_activations(activation: Tensor, path: LayerPath) -> Tensor:
    """(K,) of one picture's layer output (K, h, w) or (K,), by the functional of the path."""
    position = path.resolved(activation.shape).position
    if position is not None:
        values = activation[:, position[0], position[1]].clone()
    else:
        values = activation.flatten(1).mean(1) if activation.ndim > 1 else activation.clone()
    if path.form == "value":
        return values
    return 0 - values if path.form == "neg" else values.abs()


def unit_rank(activations: Tensor, unit: int) -> int:
    """Return the place of a unit in its layer; whatever ties with it goes before it.

    Args:
        activations: (K,) of all units.
        unit: from 0.

    Returns:
        1 for the largest, up to K.
    """
    return int((activations >= activations[unit]).sum())
