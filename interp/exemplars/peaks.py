"""What a layer does on each image of a batch, with its positions reduced to a few numbers a
unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from interp.probe import Probe, Procedure


@dataclass(frozen=True, eq=False)
class Peaks:
    """Of each image and unit, over the positions of the unit's map, (B, U) each.

    A position counts along the rows of the map (H, W), the first one if several are equal; it is 0
    for linear layers.

    Attributes:
        maximum, minimum: float32, the highest and the lowest activation; `at_maximum` and
            `at_minimum`, int32: where.
        mean: float32.
        spread: float64, the sum of squared deviations from the mean.
        active: int32, the number of positions above 0.
        positions: H * W, the same for all.
    """

    maximum: Tensor
    at_maximum: Tensor
    minimum: Tensor
    at_minimum: Tensor
    mean: Tensor
    spread: Tensor
    active: Tensor
    positions: int

    @staticmethod
    def of(activation: Tensor) -> "Peaks":
        """Of a layer's activation (B, U, H, W) or (B, U), reduced on its device as it lies in
        memory; the result is on the CPU.
        """
        if (
            activation.itemsize < 4
        ):  # half the precision cannot count positions, nor hold a sum of squares
            activation = activation.float()
        if activation.ndim == 2:
            activation = activation[:, :, None, None]
        if (
            activation.is_contiguous(memory_format=torch.channels_last)
            and not activation.is_contiguous()
        ):
            x, axis = activation.permute(0, 2, 3, 1).flatten(1, 2), 1  # (B, H * W, U)
        else:
            x, axis = activation.flatten(2), 2  # (B, U, H * W)
        (maximum, at_maximum), (minimum, at_minimum) = (
            x.max(axis),
            x.min(axis),
        )  # the first of equal ones
        mean, spread = _moments(x, axis)
        if not spread.isfinite().all():
            mean, spread = _moments(x.double(), axis)
        active = x.clamp(min=0).sign_().sum(axis)
        values = [value.to("cpu", torch.float32) for value in (maximum, minimum, mean)]
        counts = [count.to("cpu", torch.int32) for count in (at_maximum, at_minimum, active)]
        return Peaks(
            values[0],
            counts[0],
            values[1],
            counts[1],
            values[2],
            spread.to("cpu", torch.float64),
            counts[2],
            x.shape[axis],
        )

    @staticmethod
    def join(parts: "Sequence[Peaks]") -> "Peaks":
        """The peaks of one batch after the other; there is at least one."""
        tensors = {
            f.name: torch.cat([getattr(part, f.name) for part in parts])
            for f in fields(Peaks)
            if f.name != "positions"
        }
        return Peaks(**tensors, positions=parts[0].positions)

    @property
    def magnitude(self) -> tuple[Tensor, Tensor]:
        """The largest |h|, float32, and where; ~position, which is negative, where the activation
        there is negative.
        """
        below = -self.minimum > self.maximum
        tie = -self.minimum == self.maximum
        negative = below | (tie & (self.at_minimum < self.at_maximum))
        return torch.maximum(self.maximum, -self.minimum), torch.where(
            negative, ~self.at_minimum, self.at_maximum
        )


def _moments(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The mean along an axis, and the sum of squared deviations from it."""
    mean = x.mean(axis, keepdim=True)
    return mean.squeeze(axis), (x - mean).square_().sum(axis)


def peaks(images: Tensor, layers: Sequence[str]) -> Procedure[dict[str, Peaks]]:
    """The peaks of each layer on images (B, C, H, W) in [0, 1], by one forward pass."""
    answer = yield Probe(images, gradient=False, layers=tuple(layers))
    return {layer: Peaks.of(answer.activations[layer]) for layer in layers}
