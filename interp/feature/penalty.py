"""What keeps pictures plain: penalties g(x), and operators between steps (Yosinski et al. 2015,
section 3).

A penalty maps images (B, C, H, W) and the present size (B,) of their scores to a term (B,) that is
added to the score, so it is never above 0. Terms are means over pixels, so that a weight means the
same at every size. An operator maps images after a step, counted from 1, to those from which to go
on. Images of 2 or 4 channels have alpha as the last, which penalties and clipping leave alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interp.resample import gaussian, replicate

Penalty = Callable[[Tensor, Tensor], Tensor]
Operator = Callable[[Tensor, int], Tensor]

GRAY = 0.5
_TRUNCATE = 4.0  # sigmas


def _colours(images: Tensor) -> Tensor:
    """Images without their alpha channel."""
    return images[:, : (images.shape[1] - 1) // 2 * 2 + 1]


def l1(weight: float) -> Penalty:
    """Minus `weight` times the mean of |x - 1/2|."""
    return lambda images, _: -weight * (_colours(images) - GRAY).abs().flatten(1).mean(1)


def l2(weight: float) -> Penalty:
    """Minus `weight` times the mean of (x - 1/2)^2 (Simonyan et al. 2014, equation 1)."""
    return lambda images, _: -weight * (_colours(images) - GRAY).square().flatten(1).mean(1)


def total_variation(weight: float) -> Penalty:
    """Minus `weight` times the mean absolute difference of neighbours, side by side and one above
    the other.

    Mahendran & Vedaldi 2015, section 2.2, with beta = 1, and each of the two differences by itself.
    """

    def penalty(images: Tensor, _: Tensor) -> Tensor:
        steps = torch.cat([_colours(images).diff(dim=axis).abs().flatten(1) for axis in (2, 3)], 1)
        return -weight * steps.mean(1)

    return penalty


def together(penalties: Sequence[Penalty]) -> Penalty:
    """The sum of at least one penalty."""

    def penalty(images: Tensor, size: Tensor) -> Tensor:
        return torch.stack([term(images, size) for term in penalties]).sum(0)

    return penalty


def blur(sigma: float, every: int = 4) -> Operator:
    """A Gaussian blur after every so many steps; `sigma` is its standard deviation as a share of
    the shorter side.
    """

    def operator(images: Tensor, step: int) -> Tensor:
        return (
            images
            if step % every
            else gaussian(images, sigma * min(images.shape[2:]), _TRUNCATE, replicate)
        )

    return operator


def clip(share: float, every: int = 4) -> Operator:
    """After every so many steps the `share` of pixels whose colour is nearest to gray becomes gray;
    of equals the first ones.
    """

    def operator(images: Tensor, step: int) -> Tensor:
        if step % every:
            return images
        colours = _colours(images).flatten(2)
        norms = (colours - GRAY).square().sum(1)  # (B, H * W)
        small = norms.sort(stable=True, dim=1)[1][:, : round(share * norms.shape[1])]
        return (
            images.flatten(2)
            .scatter(2, small[:, None].expand(-1, colours.shape[1], -1), GRAY)
            .view_as(images)
        )

    return operator


def in_turn(operators: Sequence[Operator]) -> Operator:
    """One operator after the other."""

    def operator(images: Tensor, step: int) -> Tensor:
        for one in operators:
            images = one(images, step)
        return images

    return operator
