"""How far to go along a gradient: each function gives a step rule, which is started at z and then
maps points and their gradients to moves.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from interp.norms import norm

Move = Callable[[Tensor, Tensor], Tensor]  # (z, gradient) -> what to add to z, of the same shape
Step = Callable[[Tensor], Move]


def sign(alpha: Tensor | float) -> Step:
    """Step by alpha times the sign of the gradient: the steepest step under Linf.

    Args:
        alpha: step size in units of z, broadcastable to z.
    """
    return lambda start: lambda z, grad: alpha * grad.sign()


def unit(alpha: Tensor | float) -> Step:
    """Step by alpha along the gradient, whose length does not matter: the steepest step under L2.

    A zero gradient gives no move. Entries that are not numbers count as zero, as for `sign`: one of
    them would make the whole image none.

    Args:
        alpha: length of the step in units of z, broadcastable to (B, 1, 1, 1).
    """

    def move(z: Tensor, grad: Tensor) -> Tensor:
        grad = grad.nan_to_num()
        # squares of tiny gradients would vanish
        grad = grad / norm(grad, torch.inf).clamp_min(torch.finfo(grad.dtype).tiny)
        return alpha * grad / norm(grad, 2).clamp_min(torch.finfo(grad.dtype).tiny)

    return lambda start: move


def sparse(alpha: Tensor | float, share: Tensor | float = 0.2) -> Step:
    """Step by alpha, spread evenly, with the gradient's signs, over the share of pixels where it is
    largest: a steep step under L1.

    The very steepest moves one pixel, which the box soon stops; L1-APGD (Croce & Hein 2021, "Mind
    the box") takes several and begins with a fifth of all. Pixels without gradient do not move. At
    least one pixel moves, and all that tie with the last of them.

    Args:
        alpha: L1 length of the step in units of z, broadcastable to (B, 1, 1, 1).
        share: of the pixels, in (0, 1], broadcastable to (B, 1, 1, 1).
    """

    def move(z: Tensor, grad: Tensor) -> Tensor:
        grad = grad.nan_to_num()
        size = grad.abs().flatten(1)  # (B, n)
        count = (
            (torch.as_tensor(share, device=grad.device).reshape(-1, 1) * size.shape[1])
            .round()
            .long()
            .clamp(1, size.shape[1])
        )
        least = size.sort(1, descending=True)[0].gather(1, count.expand(len(size), 1) - 1)
        direction = torch.where(size >= least, grad.sign().flatten(1), 0.0).view_as(grad)
        return alpha * direction / norm(direction, 1).clamp_min(1)

    return lambda start: move


def momentum(rule: Step, decay: float = 1.0) -> Step:
    """Step along a decaying sum of gradients, each first brought to an L1 norm of 1 (Dong et al.
    2018, equation 6).

    With `sign` this is MI-FGSM, with `unit` its L2 form.

    Args:
        rule: how to step along the sum.
        decay: their mu, at least 0.
    """

    def start(z: Tensor) -> Move:
        total, go = torch.zeros_like(z), rule(z)

        def move(z: Tensor, grad: Tensor) -> Tensor:
            tiny = torch.finfo(grad.dtype).tiny
            grad = grad.nan_to_num()
            # or the sum of huge gradients would overflow
            grad = grad / norm(grad, torch.inf).clamp_min(tiny)
            total.mul_(decay).add_(grad / norm(grad, 1).clamp_min(tiny))
            return go(z, total)

        return move

    return start


def adam(
    rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    tiny: float = 1e-8,
    relative: bool = False,
    shared: float = 0.0,
) -> Step:
    """Step by Adam (Kingma & Ba 2015, algorithm 1), uphill.

    Args:
        rate: step size, their alpha.
        beta1, beta2: decay of the means of the gradient and of its square, in [0, 1).
        tiny: what is added to the divisor, their epsilon.
        relative: what is added is `tiny` times the row's largest divisor. Then the unit in which a
            score is measured does not matter, be it so small that all gradients are below `tiny`.
        shared: how far the coordinates of a row share a divisor, 0 to 1: 0 for Adam itself, 1 for
            the root of the row's mean square in place of each coordinate's, between for their
            geometric mean of these weights. What has a small gradient then moves less.
    """

    def start(z: Tensor) -> Move:
        m, v, t = torch.zeros_like(z), torch.zeros_like(z), 0
        rest = tuple(range(1, z.ndim))

        def move(z: Tensor, grad: Tensor) -> Tensor:
            nonlocal t
            t += 1
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            square = v / (1 - beta2**t)
            divisor = square.sqrt()
            if shared:
                row = square.mean(rest, keepdim=True).sqrt()
                divisor = divisor ** (1 - shared) * row**shared
            least = (
                tiny * divisor.amax(rest, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny / tiny)
                if relative
                else tiny
            )
            return rate * (m / (1 - beta1**t)) / (divisor + least)

        return move

    return start
