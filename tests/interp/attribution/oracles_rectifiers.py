"""Rectifiers with another backward pass: guided backprop and DeepLift by their definitions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from interp.layer import LayerPath
from interp.network.network import Network
from tests.interp.attribution.toys_attribution import Unit


class Rectifying(TorchFunctionMode):
    """Every ReLU, called as a module, as a function or in place, by another function."""

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rectify = rectify

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_):
            return self.rectify(args[0].clone())
        return func(*args, **(kwargs or {}))


class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.clamp_min(0) * (ctx.saved_tensors[0] > 0)


class Rescaled(torch.autograd.Function):
    """Image and baseline are the two rows of a batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        rise, run = (x.clamp_min(0)[:1] - x.clamp_min(0)[1:]), x[:1] - x[1:]
        return grad * torch.where(run.abs() < 1e-10, (x > 0).to(x), rise / run)


def by_definition(function: Any, network: Network, path: LayerPath, x: Tensor) -> Tensor:
    """The gradient of a unit's score for the first of images x with respect to all of them, with
    rectifiers of another backward pass.
    """
    z = x.clone().requires_grad_()
    with Rectifying(function.apply):
        (grad,) = torch.autograd.grad(Unit(network, path)(z)[:1].sum(), z)
    return grad
