"""What a picture is worth: its objective without the random views that it was optimized under, and
its unit's place in the layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.feature.transform import HELD_OUT_VIEWS, held_out
from interp.layer import LayerPath
from interp.objective import Objective
from interp.probe import Probe, Procedure

_ROWS, _VIEWS = 64, 8  # most rows, and most views of a picture, of a probe for held-out views
_PICTURES = (
    8  # pictures of a probe for whole layers, whose activations are kept until it is answered
)


@dataclass(frozen=True, eq=False)
class Certificate:
    """Measured on the pictures that are returned, one row a picture.

    Attributes:
        activation: (B,) the objective on the picture itself.
        held_out: (B,) its mean under the held-out views, see `interp.feature.transform.held_out`.
        held_out_minimum: (B,) the lowest of those.
        rank: (B,) int64, the unit's place among its layer's units on this picture, by the same
            functional (mean of the channel, neuron, feature or logit): 1 for the most active; what
            ties with it goes before it. 0 where there is no one unit.
        units: (B,) int64, their number; 0 likewise.
        layer_activations: per row (K,) that functional of every unit of the layer, or None
            likewise.
        seed_activations: (B, S) the activations that the further seeds reached.
        attempts: (B,) int64, the optimizations run for the picture, retries included, further seeds
            not.
        seeds: the seed of the one that is returned.
        rates: (B,) float64, its learning rate.
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
    rates: Tensor

    def cpu(self) -> "Certificate":
        """The same on the host."""
        layers = [None if a is None else a.cpu() for a in self.layer_activations]
        return Certificate(
            self.activation.cpu(),
            self.held_out.cpu(),
            self.held_out_minimum.cpu(),
            self.rank.cpu(),
            self.units.cpu(),
            layers,
            self.seed_activations.cpu(),
            self.attempts.cpu(),
            self.seeds,
            self.rates.cpu(),
        )


@dataclass(frozen=True, eq=False)
class Measured:
    """The objective on pictures, (B,) each: as they are, and the mean and the lowest of the
    held-out views.
    """

    activation: Tensor
    held_out: Tensor
    held_out_minimum: Tensor


def measure(pictures: Tensor, objective: Objective) -> Procedure[Measured]:
    """The objective on pictures (B, C, H, W) in [0, 1] and on their held-out views, by forward
    passes alone.

    Several views share a probe, at most `_VIEWS` and `_ROWS` rows; of a coupled objective every
    view has its own.
    """
    rows = len(pictures)
    views: list[Callable[[], Tensor]] = [
        lambda: pictures,
        *(lambda n=n: held_out(pictures, n) for n in range(HELD_OUT_VIEWS)),
    ]
    together = 1 if objective.coupled else max(1, min(_VIEWS, _ROWS // rows))
    scores = []
    for low in range(0, len(views), together):
        some = views[low : low + together]
        asked = objective.take(torch.arange(rows, device=pictures.device).repeat(len(some)))
        answer = yield Probe(
            torch.cat([view() for view in some]),
            asked,
            gradient=False,
            splittable=not objective.coupled,
        )
        assert answer.score is not None
        scores += list(answer.score.view(len(some), rows))
    unmoved, moved = scores[0], torch.stack(scores[1:])  # (B,), (HELD_OUT_VIEWS, B)
    return Measured(unmoved, moved.mean(0), moved.amin(0))


def of_layers(
    pictures: Tensor, units: Sequence[LayerPath | None]
) -> Procedure[list[Tensor | None]]:
    """Per picture of (B, C, H, W) the activations (K,) of all units of its unit's layer; None where
    there is no one unit.

    Of "layer:unit" the mean of each channel, of "layer:unit@row,column" the value of each channel
    there.
    """
    found: list[Tensor | None] = [None] * len(units)
    asked = [
        (row, path) for row, path in enumerate(units) if path is not None and path.unit is not None
    ]
    for low in range(0, len(asked), _PICTURES):
        some = asked[low : low + _PICTURES]
        layers = tuple(dict.fromkeys(path.layer for _, path in some))
        # Of a layer, one unit may have values that are not finite, and no others need suffer from
        # it.
        answer = yield Probe(pictures[[row for row, _ in some]], layers=layers, finite=False)
        for place, (row, path) in enumerate(some):
            found[row] = _of_units(answer.activations[path.layer][place], path)
    return found


def _of_units(activation: Tensor, path: LayerPath) -> Tensor:
    position = path.resolved(activation.shape).position
    if position is not None:
        return activation[:, position[0], position[1]].clone()
    return (
        activation.flatten(1).mean(1) if activation.ndim > 1 else activation.clone()
    )  # (K, h, w) or (K,) -> (K,)


def rank(activations: Tensor, unit: int) -> int:
    """The place of a unit among (K,) activations, 1 for the largest; whatever ties with it goes
    before it.
    """
    return int((activations >= activations[unit]).sum())
