"""How far to go along a gradient: each function gives a step rule, which is started at z and then maps gradients to moves."""

from collections.abc import Callable

import torch
from torch import Tensor

from interp.ball import norm

Move = Callable[[Tensor], Tensor]  # gradient -> what to add to z, of the same shape
Step = Callable[[Tensor], Move]


def sign(alpha: Tensor | float) -> Step:
    """alpha times the sign of the gradient: the steepest step under Linf; alpha is broadcastable to z."""
    return lambda z: lambda grad: alpha * grad.sign()


def unit(alpha: Tensor | float) -> Step:
    """alpha along the gradient, whose length does not matter: the steepest step under L2. A zero gradient gives no move."""

    def move(grad: Tensor) -> Tensor:
        grad = grad / norm(grad, torch.inf).clamp_min(torch.finfo(grad.dtype).tiny)  # squares of tiny gradients would vanish
        return alpha * grad / norm(grad, 2).clamp_min(torch.finfo(grad.dtype).tiny)

    return lambda z: move


def adam(rate: float, beta1: float = 0.9, beta2: float = 0.999, tiny: float = 1e-8) -> Step:
    """Adam (Kingma & Ba 2015, algorithm 1), uphill."""

    def start(z: Tensor) -> Move:
        m, v, t = torch.zeros_like(z), torch.zeros_like(z), 0

        def move(grad: Tensor) -> Tensor:
            nonlocal t
            t += 1
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            return rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + tiny)

        return move

    return start
