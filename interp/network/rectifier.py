"""Redirected rectifiers: a gradient for units that no input pixel moves at the start.

A unit whose rectifiers are all shut has no gradient, and ascent cannot start (lucid calls the
remedy "redirected ReLU"). Here a shut rectifier passes back whatever would open it, and the network
falls back on this only for rows whose true gradient is zero everywhere. What it passes back is
damped: of all ways to the pixels those through the fewest shut rectifiers then decide. For a unit
that is itself shut, in a network whose other rectifiers are partly open, that is nearly the
gradient of the value that its own rectifier cuts off; undamped, the many ways through the shut ones
of all layers drown it out, and the ascent ends in noise.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

DAMPING = 0.01  # factor of a gradient for every shut rectifier on its way


class _RedirectedRelu(torch.autograd.Function):
    """max(x, 0), or min(max(x, 0), ceiling), that lets through, damped, the gradients which would
    bring x back into the open range.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ceiling = ceiling
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        below, above = x <= 0, x >= ctx.ceiling
        pushes_further_shut = (below & (grad < 0)) | (
            above & (grad > 0)
        )  # ascent moves x along grad
        return torch.where(below | above, DAMPING * grad, grad).masked_fill(
            pushes_further_shut, 0
        ), None


def _rectified(x: Tensor, ceiling: float, inplace: bool) -> Tensor:
    rectified: Tensor = _RedirectedRelu.apply(x.clone() if inplace else x, ceiling)
    return (
        x.copy_(rectified) if inplace else rectified
    )  # whoever rectifies in place may go on with x itself


def _relu(x: Tensor, inplace: bool = False) -> Tensor:
    return _rectified(x, torch.inf, inplace)


def _relu_in_place(x: Tensor) -> Tensor:
    return _rectified(x, torch.inf, inplace=True)


def _relu6(x: Tensor, inplace: bool = False) -> Tensor:
    return _rectified(x, 6.0, inplace)


def _hardtanh(
    x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    if (min_val, max_val) == (0.0, 6.0):  # what nn.ReLU6 calls
        return _rectified(x, 6.0, inplace)
    return F.hardtanh(x, min_val, max_val, inplace)


_REPLACED: dict[Callable[..., Any], Callable[..., Tensor]] = {
    **dict.fromkeys([F.relu, torch.relu, Tensor.relu], _relu),
    **dict.fromkeys([F.relu_, torch.relu_, Tensor.relu_], _relu_in_place),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
}


class RedirectedRectifiers(TorchFunctionMode):
    """While active, every ReLU and ReLU6 that runs passes redirected gradients, also those that are
    called as functions.

    Use it as a context: `with RedirectedRectifiers(): ...`.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or what stands for it; see `TorchFunctionMode`."""
        kwargs = dict(kwargs or {})
        if func in _REPLACED and not args:
            args = (kwargs.pop("input"),)
        replacement: Callable[..., Any] = _REPLACED.get(func, func)
        return replacement(*args, **kwargs)
