"""Norms that do something beside their affine map, such as timm's `BatchNormAct2d`, which also
rectifies: taken apart into the map of each channel, which can be folded away, and the rest.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from interp.network.shaped_trace import ShapedTracer
from interp.network.shared_copy import shared_copy
from interp.network.symbolic_trace import PrivateTracer, Turn

_STATISTICS = ("running_mean", "running_var", "eps")
_AFFINE = {operator.mul, operator.add, operator.sub, torch.mul, torch.add, torch.sub}


@dataclass(frozen=True, eq=False)
class CompoundNorm:
    """A norm that was taken apart.

    Attributes:
        scale, shift: (C,), the affine map of each channel.
        rest: what follows the map, with the norm's own parts by their names.
    """

    scale: Tensor
    shift: Tensor
    rest: nn.Module


def is_compound_norm(part: nn.Module) -> bool:
    """Whether a module is a norm by statistics of its own that is none of torch's."""
    of_torch = type(part).__module__.startswith("torch.nn.")
    return not of_torch and all(hasattr(part, name) for name in _STATISTICS)


class NormTracer(ShapedTracer):
    """Traces a network whose norms are calls of modules, whatever is inside them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is not looked into."""
        return is_compound_norm(m) or super().is_leaf_module(m, module_qualified_name)


def take_apart(norm: nn.Module, turn: Turn) -> CompoundNorm | None:
    """Take a norm apart.

    Args:
        norm: one that `is_compound_norm`, in eval mode; it is not changed.
        turn: see `interp.network.symbolic_trace`.

    Returns:
        its parts; None if it does not begin with an affine map of each channel.

    Raises:
        Exception: whatever tracing raises for a module whose way depends on its input.
    """
    twin = shared_copy(norm)
    graph = PrivateTracer(turn).trace(twin)
    (x,) = (node for node in graph.nodes if node.op == "placeholder")
    end = _end_of_map(graph, x)
    if end is None:
        return None
    mapped = _map_alone(graph, end)
    channels = len(getattr(norm, "running_mean"))  # noqa: B009 - of any class that has it
    like = next(t for t in (*norm.parameters(), *norm.buffers()) if t.is_floating_point())
    with torch.no_grad():
        run: Callable[[Tensor], Tensor] = fx.GraphModule(twin, mapped)
        zeros = torch.zeros(1, channels, 1, 1, dtype=like.dtype, device=like.device)
        shift, raised = run(zeros).flatten(), run(zeros + 1).flatten()
    end.replace_all_uses_with(x)
    rest = fx.GraphModule(twin, graph)
    rest.graph.eliminate_dead_code()
    rest.recompile()
    return CompoundNorm(raised - shift, shift, rest.eval())


def _end_of_map(graph: fx.Graph, x: fx.Node) -> fx.Node | None:
    """The last node of the affine map that a graph begins with."""
    end = x
    for node in graph.nodes:
        if end not in node.all_input_nodes:
            continue
        is_step = node.target in _AFFINE or (end is x and node.target is F.batch_norm)
        if node.op == "call_function" and is_step and node.args.count(end) == 1:
            end = node
        elif end is not x:
            break
    return None if end is x else end


def _map_alone(graph: fx.Graph, end: fx.Node) -> fx.Graph:
    alone, copies = fx.Graph(), dict[fx.Node, Any]()
    for node in graph.nodes:
        if node.op != "output":
            copies[node] = alone.node_copy(node, copies.__getitem__)
        if node is end:
            break
    alone.output(copies[end])
    return alone
