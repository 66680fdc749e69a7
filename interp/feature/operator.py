"""Operators on pictures between the steps of a climb, which keep them plain (Yosinski et al. 2015,
section 3).

An operator maps images after a step, counted from 1, to those from which the climb goes on: the
very same images where there is nothing to do. Images of 2 or 4 channels have alpha as the last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from interp.feature.penalty import GRAY, without_alpha
from interp.resample import gaussian_blur, replicate

# (images (B, C, H, W) in [0, 1], step from 1) -> images (B, C, H, W)
Operator = Callable[[Tensor, int], Tensor]

_TRUNCATE = 4.0  # sigmas


@dataclass(frozen=True)
class GaussianBlur:
    """Blurs pictures after every so many steps, alpha included.

    Args:
        sigma: standard deviation of the Gaussian, as a share of the shorter side, 0 to 0.1.
        every: steps from one time to the next, at least 1.
    """

    sigma: float
    every: int = 4

    def __call__(self, images: Tensor, step: int) -> Tensor:
        """Return the images (B, C, H, W) from which the climb goes on after `step`."""
        if step % self.every:
            return images
        return gaussian_blur(images, self.sigma * min(images.shape[2:]), _TRUNCATE, replicate)


@dataclass(frozen=True)
class ClipSmallNorm:
    """Makes the pixels gray whose colour is nearest to gray, after every so many steps; alpha is
    left alone.

    Args:
        share: the share of pixels that become gray, 0 to 1; of equals the first ones.
        every: steps from one time to the next, at least 1.
    """

    share: float
    every: int = 4

    def __call__(self, images: Tensor, step: int) -> Tensor:
        """Return the images (B, C, H, W) from which the climb goes on after `step`."""
        if step % self.every:
            return images
        colours = without_alpha(images).flatten(2)
        norms = (colours - GRAY).square().sum(1)  # (B, H * W)
        smallest = norms.sort(stable=True, dim=1)[1][:, : round(self.share * norms.shape[1])]
        index = smallest[:, None].expand(-1, colours.shape[1], -1)
        return images.flatten(2).scatter(2, index, GRAY).view_as(images)


@dataclass(frozen=True)
class OperatorChain:
    """Applies operators one after the other.

    Args:
        operators: any number of them.
    """

    operators: Sequence[Operator]

    def __call__(self, images: Tensor, step: int) -> Tensor:
        """Return the images (B, C, H, W) from which the climb goes on after `step`."""
        for operator in self.operators:
            images = operator(images, step)
        return images
