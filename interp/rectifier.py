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


def _relu(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _apply(x, torch.inf)


def _relu6(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _apply(x, 6.0)


def _apply(x: Tensor, ceiling: float) -> Tensor:
    return _Redirected.apply(x, ceiling)  # type: ignore[no-untyped-call,no-any-return]


_REPLACED: dict[Callable[..., Any], Callable[..., Tensor]] = {
    **dict.fromkeys([F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu_], _relu),  # type: ignore[attr-defined]
    F.relu6: _relu6,
}


class RedirectedRectifiers(TorchFunctionMode):
    """While active, every ReLU and ReLU6 that runs passes redirected gradients, also those that are called as functions."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.hardtanh and (kwargs.get("min_val", 0.0), kwargs.get("max_val", 6.0)) == (0.0, 6.0) and len(args) == 1:
            return _relu6(args[0])
        return _REPLACED.get(func, func)(*args, **kwargs)
