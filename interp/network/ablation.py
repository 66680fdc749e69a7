"""What a network loses with a unit: its logits with the unit, minus those without (Morcos et al.
2018, section 2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.network.network import Network


@dataclass(frozen=True, eq=False)
class Ablation:
    """Of every class over some images: the mean fall of its logit, and the standard error of that
    mean (0 for one image).
    """

    mean: Tensor  # (classes,)
    standard_error: Tensor  # (classes,)


def falls(network: Network, images: Tensor, layer: str, unit: int) -> Tensor:
    """(B, classes) logits of images (B, C, H, W) minus those with the unit's activations set to
    zero at all positions.

    For the thread that runs the network: a hook lies on it meanwhile.

    Raises:
        UnknownLayer: there is no such layer.
    """

    def zeroed(output: Tensor) -> Tensor:
        output[:, unit] = 0
        return output

    with_it, without = (
        network.logits_with(images, layer, change) for change in (lambda output: output, zeroed)
    )
    return with_it - without


def summary(differences: Tensor) -> Ablation:
    """Mean and its standard error over images, of (N, classes)."""
    exact = differences.double()
    error = exact.std(0) / len(exact) ** 0.5 if len(exact) > 1 else torch.zeros_like(exact[0])
    return Ablation(exact.mean(0), error)
