"""Which units of a layer an attack on the class takes along."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.attack.base import attack
from interp.attack.pgd import pgd
from interp.probe import Probe, Procedure

ROWS = 32  # images attacked, and looked at, at a time
# What counts as float noise: of a unit's largest magnitude, and of the mean spread of the layer
_OF_MAGNITUDE, _OF_SPREAD = 1e-5, 1e-2


@dataclass(frozen=True, eq=False)
class UnitFlips:
    """Of every unit of a layer: how an attack changes its largest activation over positions.

    Attributes:
        share: (K,) of the images, on which it is taken across its median over the clean images, and
            by more than float noise.
        shift: (K,) its mean change in standard deviations over the clean images; 0 where it is
            constant but for float noise.
    """

    share: Tensor
    shift: Tensor

    @property
    def order(self) -> list[int]:
        """The units, those first that flip most often; of equals, the first."""
        return sorted(range(len(self.share)), key=lambda unit: (-float(self.share[unit]), unit))


def activations_under_attack(
    x: Tensor, layer: str, epsilon: float, steps: int
) -> Procedure[tuple[Tensor, Tensor]]:
    """Find the largest activation of every unit on clean images, and on them after PGD (Madry et
    al. 2018, section 2.1).

    PGD in Linf from the images themselves raises the cross-entropy of the network's own predictions
    for all of `steps`; it keeps its last iterate, so that every image is attacked as hard as the
    next.

    Args:
        x: images (B, C, H, W) in [0, 1].
        layer: one whose output is (units,) or (units, rows, columns), or "logits".
        epsilon: radius in pixel units.
        steps: gradient steps, at least 1.

    Returns:
        A procedure whose result is the activations (B, K) on the clean and on the attacked images.
    """
    method = pgd(steps=steps, random_start=False, keep_best=False, stop_when_fooled=False)
    clean, attacked = [], []
    for low in range(0, len(x), ROWS):
        part = x[low : low + ROWS]
        clean.append((yield from _largest(part, layer)))
        found = yield from attack(part, None, method, epsilon=epsilon, first_row=low)
        attacked.append((yield from _largest(found.images, layer)))
    return torch.cat(clean), torch.cat(attacked)


def _largest(images: Tensor, layer: str) -> Procedure[Tensor]:
    """(B, K)"""
    answer = yield Probe(images, gradient=False, layers=(layer,))
    return (
        answer.activations[layer].flatten(2).amax(2)
        if answer.activations[layer].ndim > 2
        else answer.activations[layer]
    )


def unit_flips(clean: Tensor, attacked: Tensor) -> UnitFlips:
    """Compare the largest activations of units.

    Float noise is what is not above 1e-5 of the unit's largest magnitude, or a hundredth of the
    mean standard deviation of the layer's units: the sign and scale of what constant units do mean
    nothing.

    Args:
        clean: (N, K) on clean images.
        attacked: (N, K) on the same images, attacked.
    """
    before, after = clean.double(), attacked.double()
    median = before.quantile(0.5, dim=0)
    spread = before.std(0, correction=0)
    change = (after - before).mean(0)
    noise = _noise(before, after, spread)
    crossed = ((before > median) != (after > median)) & ((after - before).abs() > noise)
    return UnitFlips(
        crossed.double().mean(0),
        torch.where(spread > noise, change / spread.clamp_min(1e-300), torch.zeros_like(change)),
    )


def _noise(before: Tensor, after: Tensor, spread: Tensor) -> Tensor:
    """(K,) float64: what of a unit's activation is no more than float noise."""
    own = _OF_MAGNITUDE * torch.maximum(before.abs().amax(0), after.abs().amax(0))
    return own.clamp_min(_OF_SPREAD * float(spread.mean()))
