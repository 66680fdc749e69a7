"""Which operations of a rewritten network a method supports: what is not listed is refused, not
taken on trust.
"""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr._utils.custom_modules import Addition_Module
from torch import fx, nn

_PASSING: set[Any] = {
    torch.flatten,
    torch.cat,
    torch.concat,
    torch.stack,
    torch.squeeze,
    torch.unsqueeze,
    torch.chunk,
    torch.split,
}
_PASSING |= {
    torch.permute,
    torch.transpose,
    operator.getitem,
    F.pad,
    "flatten",
    "view",
    "reshape",
    "clone",
    "contiguous",
    "permute",
}
_PASSING |= {"transpose", "squeeze", "unsqueeze", "chunk", "split", "unflatten"}
_LINEAR: set[Any] = {
    torch.mean,
    torch.sum,
    "mean",
    "sum",
    operator.neg,
    operator.sub,
    torch.sub,
    F.interpolate,
}
_PRODUCTS: set[Any] = {
    operator.mul,
    operator.imul,
    torch.mul,
    operator.matmul,
    torch.matmul,
    "mul",
    "mul_",
    "matmul",
    operator.truediv,
}

_LRP_MODULES = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool2d,
    Addition_Module,
    nn.ReLU,
    nn.Tanh,
)
_LINEAR_MODULES = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.ZeroPad2d,
    nn.Upsample,
    Addition_Module,
)
_RESCALED = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d)
_CLIPPING = (nn.Hardtanh, nn.Threshold)  # rectifiers by another name


def unsupported_by_lrp(traced: fx.GraphModule) -> str:
    """Say which operations layer-wise relevance propagation has no rule for.

    Args:
        traced: a rewritten network, with the shapes of its tensors.

    Returns:
        a clause for an error; "" if there are none.
    """
    return _unsupported(traced, _LRP_MODULES, _PASSING)


def unsupported_by_deep_lift(traced: fx.GraphModule) -> str:
    """Say which operations are neither linear nor of one input and one output.

    Args:
        traced: a rewritten network, with the shapes of its tensors.

    Returns:
        a clause for an error; "" if there are none.
    """
    return _unsupported(traced, (*_LINEAR_MODULES, *_RESCALED), _PASSING | _LINEAR)


def unsupported_by_guided_backprop(traced: fx.GraphModule) -> str:
    """Say which operations might hide a rectifier, or that there is none to guide.

    Args:
        traced: a rewritten network, with the shapes of its tensors.

    Returns:
        a clause for an error; "" if there is nothing to say.
    """
    kinds = [type(part) for part in traced.modules()]
    if nn.ReLU not in kinds:
        return "it has no rectifiers there, so guided backprop would be the gradient"
    of_torch = tuple(
        {kind for kind in kinds if kind.__module__.startswith("torch.nn") and kind not in _CLIPPING}
    )
    return _unsupported(traced, (*of_torch, Addition_Module), _PASSING | _LINEAR | _PRODUCTS)


def _unsupported(
    traced: fx.GraphModule, modules: tuple[type[nn.Module], ...], functions: set[Any]
) -> str:
    """The names of what the network calls beside these, as a clause."""
    names = [
        type(leaf).__name__
        for node in traced.graph.nodes
        if node.op == "call_module"
        for leaf in traced.get_submodule(str(node.target)).modules()
        if not list(leaf.children()) and type(leaf) not in modules
    ]
    names += [
        str(getattr(node.target, "__name__", node.target))
        for node in traced.graph.nodes
        if node.op in ("call_function", "call_method")
        and "shape" in node.meta
        and node.target not in functions
    ]
    return f"it cannot treat {', '.join(sorted(set(names)))}" if names else ""
