"""Layers that a network calls as functions, with weights of its own, as modules with the same
weights: batch norms inside modules that also rectify, convolutions with standardized weights,
scales and shifts.
"""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from interp.attribution.model_copy.constants import constant_of
from interp.network.shared_copy import shared_copy

_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_DIFFERENCES = {operator.sub, operator.isub, torch.sub, "sub", "sub_"}
_QUOTIENTS = {operator.truediv, operator.itruediv, torch.div, "div", "div_"}


class Affine(nn.Module):
    """x * scale + shift, each of them a constant that broadcasts to x."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        """Take the constants.

        Args:
            scale, shift: of shapes that broadcast to the input's.
        """
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return x * scale + shift, of the shape of x."""
        return x * self.scale + self.shift


def functional_layer(node: fx.Node) -> tuple[nn.Module, fx.Node] | None:
    """Find the layer that a node calls as a function.

    Args:
        node: a call of a function or of a tensor's method; a `ShapeRecorder` has run it.

    Returns:
        the layer as a module, and the node of its only input; None if the node calls none, or one
        whose weights depend on the image.
    """
    target: Any = node.target
    make = _LAYERS.get(target) if node.op == "call_function" else None
    try:
        if make is not None:
            return make(node)
        return _affine(node, target)
    except LookupError:
        return None


def _arguments(node: fx.Node, function: Callable[..., Any], names: str) -> tuple[fx.Node, Any]:
    """The input of a call, and its other arguments by name, which are constants."""
    given = dict(zip(names.split(), node.args, strict=False)) | dict(node.kwargs)
    x = given.pop("input")
    if not isinstance(x, fx.Node) or "constant" in x.meta:
        raise LookupError(f"{function} is given no image")
    return x, {name: _constants_of(value) for name, value in given.items()}


def _constants_of(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(constant_of(item) for item in value)
    return constant_of(value)


def _batch_norm(node: fx.Node) -> tuple[nn.Module, fx.Node] | None:
    names = " ".join(inspect.signature(F.batch_norm).parameters)
    x, given = _arguments(node, F.batch_norm, names)
    mean, var = given["running_mean"], given["running_var"]
    if mean is None or var is None or given.get("training") or len(x.meta["shape"]) != 4:
        return None
    norm = nn.BatchNorm2d(len(mean), eps=given.get("eps", 1e-5)).to(mean).eval()
    norm.running_mean, norm.running_var = mean, var
    weight, bias = given.get("weight"), given.get("bias")
    norm.weight = _fixed(torch.ones_like(mean) if weight is None else weight)
    norm.bias = _fixed(torch.zeros_like(mean) if bias is None else bias)
    return norm, x


def _convolution(node: fx.Node) -> tuple[nn.Module, fx.Node] | None:
    x, given = _arguments(node, F.conv2d, "input weight bias stride padding dilation groups")
    weight, bias, groups = given.pop("weight"), given.pop("bias", None), given.get("groups", 1)
    if len(x.meta["shape"]) != 4:
        return None
    with torch.device("meta"):
        channels = weight.shape[1] * groups, weight.shape[0]
        layer = nn.Conv2d(*channels, tuple(weight.shape[2:]), bias=bias is not None, **given)
    layer.weight, layer.bias = _fixed(weight), None if bias is None else _fixed(bias)
    return layer.eval(), x


def _linear(node: fx.Node) -> tuple[nn.Module, fx.Node] | None:
    x, given = _arguments(node, F.linear, "input weight bias")
    weight, bias = given["weight"], given.get("bias")
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = _fixed(weight)
    if bias is not None:
        layer.bias = _fixed(bias)
    return layer.eval(), x


def _fixed(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


_LAYERS: dict[Any, Callable[[fx.Node], tuple[nn.Module, fx.Node] | None]] = {
    F.batch_norm: _batch_norm,
    F.conv2d: _convolution,
    F.linear: _linear,
}


def _affine(node: fx.Node, target: Any) -> tuple[nn.Module, fx.Node] | None:
    """A scale or shift by a constant tensor."""
    if len(node.args) != 2 or node.kwargs:
        return None
    first, second = node.args
    swapped = isinstance(first, fx.Node) and "constant" in first.meta
    x, other = (second, first) if swapped else (first, second)
    if not isinstance(x, fx.Node) or not isinstance(other, fx.Node) or "constant" in x.meta:
        return None
    value = constant_of(other)
    if not isinstance(value, Tensor) or node.meta.get("shape") != x.meta.get("shape"):
        return None
    one, zero = torch.ones_like(value), torch.zeros_like(value)
    if target in _PRODUCTS:
        return Affine(value, zero), x
    if target in _SUMS:
        return Affine(one, value), x
    if target in _DIFFERENCES:
        return (Affine(-one, value) if swapped else Affine(one, -value)), x
    if target in _QUOTIENTS and not swapped:
        return Affine(1 / value, zero), x
    return None


def with_follower(conv: nn.Conv2d, follower: nn.Module) -> nn.Conv2d | None:
    """Fold what follows a convolution into it.

    Args:
        conv: is not changed.
        follower: takes the convolution's output.

    Returns:
        the convolution that does both; None if the follower is neither a batch norm nor an `Affine`
        of channels.
    """
    if type(follower) is nn.BatchNorm2d:
        fused: nn.Conv2d = nn.utils.fuse_conv_bn_eval(conv, follower)
        return fused
    if type(follower) is not Affine:
        return None
    one = torch.ones(1, conv.out_channels, 1, 1).to(conv.weight)
    scale, shift = one * follower.scale, one * follower.shift
    if scale.shape != one.shape or shift.shape != one.shape:
        return None
    twin = shared_copy(conv)
    assert isinstance(twin, nn.Conv2d)
    bias = torch.zeros_like(shift.flatten()) if conv.bias is None else conv.bias.detach()
    twin.weight = _fixed(conv.weight.detach() * scale.view(-1, 1, 1, 1))
    twin.bias = _fixed(bias * scale.flatten() + shift.flatten())
    return twin
