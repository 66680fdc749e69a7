"""What a layer does on each image of a batch, with its positions reduced to a few numbers a
unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from interp.probe import Probe, Procedure


@dataclass(frozen=True, eq=False)
class ActivationSummary:
    """The extrema and moments of each unit on each image, over the positions of the unit's map.

    All tensors are (B, U), on the CPU. A position counts along the rows of the map (H, W), the
    first one if several are equal; it is 0 for linear layers.

    Attributes:
        maximum, minimum: float32, the highest and the lowest activation.
        at_maximum, at_minimum: int32, the positions where they are.
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
    def of(activation: Tensor) -> "ActivationSummary":
        """Summarize a layer's activation, on its device and as it lies in memory.

        Args:
            activation: (B, U, H, W) or (B, U).
        """
        x, axis = _flat(activation)
        maximum, at_maximum = x.max(axis)  # the first of equal ones
        minimum, at_minimum = x.min(axis)
        mean, spread = _moments(x, axis)
        if not spread.isfinite().all():
            mean, spread = _moments(x.double(), axis)
        active = x.clamp(min=0).sign_().sum(axis)
        values = [value.to("cpu", torch.float32) for value in (maximum, minimum, mean)]
        counts = [count.to("cpu", torch.int32) for count in (at_maximum, at_minimum, active)]
        return ActivationSummary(
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
    def join(parts: "Sequence[ActivationSummary]") -> "ActivationSummary":
        """Join the summaries of batches, one after the other.

        Args:
            parts: at least one, of maps of one size.

        Returns:
            The summary of all images.
        """
        tensors = {
            f.name: torch.cat([getattr(part, f.name) for part in parts])
            for f in fields(ActivationSummary)
            if f.name != "positions"
        }
        return ActivationSummary(**tensors, positions=parts[0].positions)

    @property
    def finite(self) -> Tensor:
        """Whether each image has numbers alone, in 32 bits too, (B,) bool."""
        values = torch.stack([self.mean, self.maximum, self.minimum])
        return values.isfinite().all(2).all(0)

    def rows(self, rows: Sequence[int]) -> "ActivationSummary":
        """The summary of some of the images.

        Args:
            rows: of the images, from 0.

        Returns:
            Their summary, in this order.
        """
        tensors = {
            f.name: getattr(self, f.name)[list(rows)]
            for f in fields(ActivationSummary)
            if f.name != "positions"
        }
        return ActivationSummary(**tensors, positions=self.positions)

    @property
    def magnitude(self) -> tuple[Tensor, Tensor]:
        """The largest absolute activation, (B, U) float32, and where it is, (B, U) int32:
        ~position, which is negative, where the activation there is negative.
        """
        below = -self.minimum > self.maximum
        tie = -self.minimum == self.maximum
        negative = below | (tie & (self.at_minimum < self.at_maximum))
        return torch.maximum(self.maximum, -self.minimum), torch.where(
            negative, ~self.at_minimum, self.at_maximum
        )


def _flat(activation: Tensor) -> tuple[Tensor, int]:
    """The activation with its positions along one axis, without a copy, and that axis."""
    if activation.itemsize < 4:  # half the precision cannot count positions, nor hold squares
        activation = activation.float()
    if activation.ndim == 2:
        activation = activation[:, :, None, None]
    channels_last = activation.is_contiguous(memory_format=torch.channels_last)
    if channels_last and not activation.is_contiguous():
        return activation.permute(0, 2, 3, 1).flatten(1, 2), 1  # (B, H * W, U)
    return activation.flatten(2), 2  # (B, U, H * W)


def _moments(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The mean along an axis, and the sum of squared deviations from it."""
    mean = x.mean(axis, keepdim=True)
    return mean.squeeze(axis), (x - mean).square_().sum(axis)


def summarize_activations(
    images: Tensor, layers: Sequence[str]
) -> Procedure[dict[str, ActivationSummary]]:
    """Summarize what some layers do on images, by one forward pass.

    Args:
        images: (B, C, H, W) in [0, 1].
        layers: dotted names, or "logits".

    Returns:
        layer -> its summary, which holds what are no numbers where the network gives such.
    """
    answer = yield Probe(images, gradient=False, layers=tuple(layers), finite=False)
    return {layer: ActivationSummary.of(answer.activations[layer]) for layer in layers}
