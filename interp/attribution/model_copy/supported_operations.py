"""Which operations of a rewritten network a method supports: what is not listed is refused, not
taken on trust.
"""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr._utils.custom_modules import Addition_Module
from torch import fx, nn

from interp.attribution.model_copy.functional_layers import Affine

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
    nn.Upsample,
    nn.ZeroPad2d,
    Addition_Module,
    Affine,
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
    Affine,
)
_RESCALED = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d)
_CLIPPING = (nn.Hardtanh, nn.Threshold)  # rectifiers by another name


_SHOWN = 3  # classes that a refusal names for a step

# Why a step cannot be treated, where that is not its name alone.
_REASONS: tuple[tuple[set[str], str], ...] = (
    (
        {"mul", "mul_", "imul", "matmul", "bmm", "einsum", "scaled_dot_product_attention"}
        | {"truediv", "div", "div_"},
        "how a product of two activations, such as a gate or attention, is shared out among them "
        "is not defined",
    ),
    (
        {"layer_norm", "group_norm", "instance_norm", "rms_norm", "rsqrt", "var", "std"}
        | {"LayerNorm", "GroupNorm", "InstanceNorm2d", "RMSNorm", "normalize"},
        "a norm by statistics of the image itself is no linear step",
    ),
    ({"softmax", "Softmax"}, "a softmax is not of one input and one output"),
)


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
    return _unsupported(
        traced, (*of_torch, Addition_Module, Affine), _PASSING | _LINEAR | _PRODUCTS
    )


def _unsupported(
    traced: fx.GraphModule, modules: tuple[type[nn.Module], ...], functions: set[Any]
) -> str:
    """The names of what the network calls beside these, each with the classes of its modules that
    do, and why that cannot be treated, as a clause.
    """
    found: dict[str, dict[str, None]] = {}  # the name of a step -> the classes, in order
    for node in traced.graph.nodes:
        if node.op == "call_module":
            for leaf in traced.get_submodule(str(node.target)).modules():
                if not list(leaf.children()) and type(leaf) not in modules:
                    found.setdefault(type(leaf).__name__, {}).update(_places(node))
        elif node.op in ("call_function", "call_method"):
            name = str(getattr(node.target, "__name__", node.target))
            if "shape" in node.meta and node.target not in functions:
                found.setdefault(name, {}).update(_places(node))
    if not found:
        return ""
    steps = [f"{name}{_in_classes(list(found[name]))}" for name in sorted(found)]
    reasons = [why for names, why in _REASONS if not names.isdisjoint(found)]
    return f"it cannot treat {', '.join(steps)}" + "".join(f"; {why}" for why in reasons)


def _places(node: fx.Node) -> dict[str, None]:
    """The class of the innermost module of the network's own that a node belongs to."""
    stack = node.meta.get("nn_module_stack") or {}
    kinds = [kind for _, kind in stack.values() if isinstance(kind, type)]
    own = [kind for kind in kinds if not kind.__module__.startswith("torch.nn")]
    return {own[-1].__name__: None} if own else {}


def _in_classes(classes: list[str]) -> str:
    shown = ", ".join(classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
    return f" (in {shown})" if classes else ""
