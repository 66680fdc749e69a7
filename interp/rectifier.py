"""Redirected rectifiers: a gradient for units that no input pixel moves at the start.

A unit whose rectifiers are all shut has no gradient, and ascent cannot start (lucid calls the remedy "redirected ReLU").
Here a shut rectifier passes back whatever would open it, and the network falls back on this only for rows whose true
gradient is zero everywhere.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Redirected(torch.autograd.Function):
    """max(x, 0), or min(max(x, 0), ceiling), that lets through the gradients which would bring x back into the open range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ceiling = ceiling
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        pushes_further_shut = ((x <= 0) & (grad < 0)) | ((x >= ctx.ceiling) & (grad > 0))  # ascent moves x along grad
        return grad.masked_fill(pushes_further_shut, 0), None


def _rectified(x: Tensor, ceiling: float, inplace: bool) -> Tensor:
    opened: Tensor = _Redirected.apply(x.clone() if inplace else x, ceiling)
    return x.copy_(opened) if inplace else opened  # whoever rectifies in place may go on with x itself


def _relu(x: Tensor, inplace: bool = False) -> Tensor:
    return _rectified(x, torch.inf, inplace)


def _relu_in_place(x: Tensor) -> Tensor:
    return _rectified(x, torch.inf, inplace=True)


def _relu6(x: Tensor, inplace: bool = False) -> Tensor:
    return _rectified(x, 6.0, inplace)


def _hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
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
    """While active, every ReLU and ReLU6 that runs passes redirected gradients, also those that are called as functions."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _REPLACED and not args:
            args = (kwargs.pop("input"),)
        replacement: Callable[..., Any] = _REPLACED.get(func, func)
        return replacement(*args, **kwargs)
