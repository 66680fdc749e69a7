"""What a network loses with a unit: its logits with the unit, minus those without (Morcos et al.
2018, section 2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.network.network import Network


@dataclass(frozen=True, eq=False)
class AblationEffect:
    """How much a unit adds to the logits, over some images.

    Attributes:
        mean: (classes,) float64, the mean of the logits with the unit minus those without.
        standard_error: (classes,) float64, of that mean; 0 for one image.
    """

    mean: Tensor
    standard_error: Tensor


def ablation_differences(network: Network, images: Tensor, layer: str, unit: int) -> Tensor:
    """Compute how much each logit falls if a unit's activations are set to zero at all positions.

    To be called by the thread that runs the network: a hook lies on it meanwhile.

    Args:
        network: any.
        images: (B, C, H, W) in [0, 1].
        layer: dotted name of a layer, or "logits".
        unit: number of the unit in it, from 0.

    Returns:
        (B, classes) the logits with the unit minus those without.

    Raises:
        UnknownLayer: there is no such layer.
    """

    def zeroed(output: Tensor) -> Tensor:
        output[:, unit] = 0
        return output

    intact, ablated = (
        network.logits_with(images, layer, change) for change in (lambda output: output, zeroed)
    )
    return intact - ablated


def mean_effect(differences: Tensor) -> AblationEffect:
    """Average what `ablation_differences` gives over images.

    Args:
        differences: (N, classes), N at least 1.
    """
    exact = differences.double()
    error = exact.std(0) / len(exact) ** 0.5 if len(exact) > 1 else torch.zeros_like(exact[0])
    return AblationEffect(exact.mean(0), error)
