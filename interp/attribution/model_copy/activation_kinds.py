"""Activation functions by the way in which captum's methods treat them, and modules of the types by
which captum tells them apart.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

Kind = Literal["relu", "tanh", "sigmoid"]

_RELU_LIKE: set[Any] = {
    F.relu,
    F.relu_,
    torch.relu,
    torch.relu_,
    "relu",
    "relu_",
    nn.ReLU,
    F.relu6,
    nn.ReLU6,
}
# Of one input and one output, and zero at zero.
_TANH_LIKE: set[Any] = {
    torch.tanh,
    F.tanh,
    "tanh",
    nn.Tanh,
    F.silu,
    nn.SiLU,
    F.hardswish,
    nn.Hardswish,
    F.gelu,
    nn.GELU,
    F.leaky_relu,
    nn.LeakyReLU,
    F.elu,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    F.mish,
    nn.Mish,
    nn.Softsign,
}
# Of one input and one output, but not zero at zero.
_SIGMOID_LIKE: set[Any] = {
    torch.sigmoid,
    F.sigmoid,
    "sigmoid",
    nn.Sigmoid,
    F.hardsigmoid,
    nn.Hardsigmoid,
    F.softplus,
    nn.Softplus,
}
_MODULES: dict[Kind, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_kind(target: Any) -> Kind | None:
    """Return how captum must treat an activation function; None for other steps.

    Args:
        target: a function, the name of a tensor's method, or the class of a module.
    """
    if target in _RELU_LIKE:
        return "relu"
    if target in _TANH_LIKE:
        return "tanh"
    return "sigmoid" if target in _SIGMOID_LIKE else None


def activation_module(kind: Kind, function: Callable[[Tensor], Tensor]) -> nn.Module:
    """Make a module of the type by which captum recognizes a kind of activation function.

    Args:
        kind: how captum must treat it.
        function: what the module computes, instead of what its type says.
    """
    module = _MODULES[kind]()
    module.forward = function
    return module


def node_function(node: fx.Node) -> Callable[[Tensor], Tensor]:
    """Return what a node does with its only tensor input, never in place.

    Args:
        node: a call of a function or of a tensor's method.
    """
    target: Any = node.target
    is_method, args = node.op == "call_method", node.args
    target = target.removesuffix("_") if is_method else target
    options = {k: v for k, v in node.kwargs.items() if k != "inplace"}

    def run(x: Tensor) -> Tensor:
        values, named = fx.node.map_arg((args, options), lambda _: x)
        result: Tensor = (
            getattr(x, target)(*values[1:], **named) if is_method else target(*values, **named)
        )
        return result

    return run
