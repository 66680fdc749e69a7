"""The backward pass of relevance: a rewritten network whose layers pass relevance back in place of
gradients.
"""

from typing import Any

import torch
from captum.attr._utils.custom_modules import Addition_Module
from torch import Tensor, fx, nn

from interp.attribution.model_copy.functional_layers import Affine
from interp.attribution.relevance.composites import LayerRules
from interp.attribution.relevance.rules import Rule, stabilized

_WEIGHTED = (nn.Conv2d, nn.Linear)
_AVERAGES = (nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Upsample, Affine)


def with_relevance(traced: fx.GraphModule, rules: LayerRules) -> fx.GraphModule:
    """Let a network's gradients be relevances.

    Whatever only moves elements, and max pools, pass relevance on as they do gradients.

    Args:
        traced: a rewritten network, a copy, whose modules are replaced.
        rules: of its layers.

    Returns:
        it: the gradient of its output with respect to its input, by an output's relevance, is the
        input's relevance.
    """
    first = next((leaf for leaf in _leaves(traced) if isinstance(leaf, _WEIGHTED)), None)
    wrapped: dict[nn.Module, nn.Module] = {}
    for leaf in _leaves(traced):
        if isinstance(leaf, _WEIGHTED):
            rule = rules.convolution if isinstance(leaf, nn.Conv2d) else rules.linear
            wrapped[leaf] = _Layer(leaf, rules.first if leaf is first and rules.first else rule)
        elif isinstance(leaf, _AVERAGES):
            wrapped[leaf] = _Layer(leaf, rules.unweighted)
        elif isinstance(leaf, Addition_Module):
            wrapped[leaf] = _Addition(rules.unweighted.epsilon)
        elif isinstance(leaf, nn.ReLU | nn.Tanh):
            wrapped[leaf] = _Layer(leaf, _passed)
    for parent in list(traced.modules()):
        for name, part in list(parent._modules.items()):
            if part in wrapped:
                parent._modules[name] = wrapped[part]
    return traced


def _leaves(traced: fx.GraphModule) -> list[nn.Module]:
    """The modules without parts, in the order in which they are called."""
    called = [
        traced.get_submodule(str(n.target)) for n in traced.graph.nodes if n.op == "call_module"
    ]
    parts = [leaf for module in called for leaf in module.modules() if not list(leaf.children())]
    return list(dict.fromkeys(parts))


def _passed(layer: nn.Module, x: Tensor, relevance: Tensor) -> Tensor:
    """The rule of rectifiers: each input gets what its output has."""
    return relevance


class _Layer(nn.Module):
    """A layer whose gradient is its rule's relevance."""

    def __init__(self, layer: nn.Module, rule: Rule) -> None:
        super().__init__()
        self.layer, self.rule = layer, rule

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = _LayerFunction.apply(x, self.layer, self.rule)
        return output


class _LayerFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module, rule: Rule) -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer, ctx.rule = layer, rule
        output: Tensor = layer(x)
        return output

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None]:
        return ctx.rule(ctx.layer, ctx.saved_tensors[0], relevance), None, None


class _Addition(nn.Module):
    """A sum whose terms get their shares of its relevance."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        output: Tensor = _AdditionFunction.apply(x, y, self.epsilon)
        return output


class _AdditionFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.epsilon = epsilon
        return x + y

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        share = relevance / stabilized(x + y, ctx.epsilon)
        return (x * share).sum_to_size(x.shape), (y * share).sum_to_size(y.shape), None
