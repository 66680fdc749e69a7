"""Which steps of a rewritten network a method treats as it should: what is not listed is refused,
not taken on trust.
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


def for_lrp(traced: fx.GraphModule) -> str:
    """Which steps layer-wise relevance propagation has no rule for; "" if none, as in the other
    two.
    """
    return _others(traced, _LRP_MODULES, _PASSING)


def for_deep_lift(traced: fx.GraphModule) -> str:
    """Which steps are neither linear nor of one input and one output."""
    return _others(traced, (*_LINEAR_MODULES, *_RESCALED), _PASSING | _LINEAR)


def for_guided_backprop(traced: fx.GraphModule) -> str:
    """Which steps might hide a rectifier, or that there is none to guide."""
    parts = [type(part) for part in traced.modules()]
    if nn.ReLU not in parts:
        return "it has no rectifiers there, so guided backprop would be the gradient"
    plain = tuple(
        {kind for kind in parts if kind.__module__.startswith("torch.nn") and kind not in _CLIPPING}
    )
    return _others(traced, (*plain, Addition_Module), _PASSING | _LINEAR | _PRODUCTS)


def _others(
    traced: fx.GraphModule, modules: tuple[type[nn.Module], ...], functions: set[Any]
) -> str:
    """What the network does beside these, in words."""
    found = [
        type(leaf).__name__
        for node in traced.graph.nodes
        if node.op == "call_module"
        for leaf in traced.get_submodule(str(node.target)).modules()
        if not list(leaf.children()) and type(leaf) not in modules
    ]
    found += [
        str(getattr(node.target, "__name__", node.target))
        for node in traced.graph.nodes
        if node.op in ("call_function", "call_method")
        and "shape" in node.meta
        and node.target not in functions
    ]
    return f"it cannot treat {', '.join(sorted(set(found)))}" if found else ""
