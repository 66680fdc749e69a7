"""A network rewritten so that hooks see all of it: every rectifier, sum and pool a module of its
own, and nothing done in place.

captum's methods hook modules. They overlook rectifiers and sums that are called as functions, take
the gradient of a tensor that several modules read for that of one of them, and lose what
overlapping max pools share. Here each of these is put right, on a copy.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr._utils.custom_modules import Addition_Module
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from interp.attribution.model_copy.activation_kinds import (
    activation_kind,
    activation_module,
    node_function,
)
from interp.attribution.model_copy.constants import fold_constants
from interp.attribution.model_copy.functional_layers import functional_layer, with_follower
from interp.attribution.model_copy.hooked_copy import copy_without_in_place
from interp.attribution.model_copy.pool_modules import (
    NonOverlappingMaxPool2d,
    pool_module,
    windows_overlap,
)
from interp.network.shaped_trace import ShapedTracer
from interp.network.symbolic_trace import ALONE, Turn

_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_ARITHMETIC = {
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    torch.add,
    torch.sub,
    torch.mul,
    "add",
    "sub",
    "mul",
    "div",
    "add_",
    "sub_",
    "mul_",
    "div_",
}
_DROPOUTS = {F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout}


class _ModuleOutputTracer(ShapedTracer):
    """Keeps which node is the output of which module: the last, for one called several times."""

    proxy_buffer_attributes = True  # what is computed from buffers and extents stands in the graph

    def __init__(self, example: Tensor, turn: Turn) -> None:
        super().__init__(example, turn)
        self.outputs: dict[str, fx.Node] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a module as the base class does, and note the node of its output."""
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[self.path_of_module(m)] = output.node
        return output


def trace_until(
    module: nn.Module, layer: str | None, example: Tensor, turn: Turn = ALONE
) -> fx.GraphModule:
    """Trace a copy of a module that ends with the output of a layer.

    Args:
        module: is not changed.
        layer: dotted name; None: the module's own output.
        example: images of the size that the trace is for.
        turn: held while the module is traced, see `interp.network.symbolic_trace`.

    Raises:
        Exception: whatever tracing raises for a module whose way depends on its input.
        KeyError: the layer is not to be found in the trace.
    """
    twin = copy_without_in_place(module)
    tracer = _ModuleOutputTracer(example, turn)
    graph = tracer.trace(twin)
    traced = fx.GraphModule(twin, graph)
    if layer is not None:
        (output,) = (node for node in graph.nodes if node.op == "output")
        output.args = (tracer.outputs[layer],)
    graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


class Rewriter:
    """Rewrites a traced module, as soon as it is made."""

    def __init__(self, traced: fx.GraphModule, fuse: bool = False) -> None:
        """Rewrite a module.

        Args:
            traced: its parts are changed and used, so it must be a copy; a `ShapeRecorder` has run
                it.
            fuse: fold batch norms into the convolutions before them (Jacob et al. 2018, section
                3.2).
        """
        self.traced, self.graph = traced, traced.graph
        self._added = 0
        fold_constants(traced)
        self._rewrite_functional_layers()
        if fuse:
            self._fuse_norms()
        for node in list(self.graph.nodes):
            if node.op == "call_module":
                self._rewrite_module(node, traced.get_submodule(str(node.target)))
            elif node.op in ("call_function", "call_method") and "shape" in node.meta:
                self._rewrite_call(node, node.target)
        self._separate_calls()
        traced.delete_all_unused_submodules()
        self.graph.lint()
        traced.recompile()

    def _rewrite_functional_layers(self) -> None:
        for node in list(self.graph.nodes):
            is_call = node.op in ("call_function", "call_method") and "shape" in node.meta
            found = functional_layer(node) if is_call else None
            if found is not None:
                self._call_new_module(node, *found)

    def _fuse_norms(self) -> None:
        """Fold batch norms, and scales and shifts of channels, into the convolutions before."""
        for node in list(self.graph.nodes):
            source = node.args[0] if node.args else None
            if not (isinstance(source, fx.Node) and self._calls(source, nn.Conv2d)):
                continue
            calls = [n for n in self.graph.nodes if n.op == node.op and n.target == source.target]
            if len(source.users) > 1 or len(calls) > 1:
                continue
            follower = self._module_of(node)
            conv: Any = self._module_of(source)
            fused = None if follower is None else with_follower(conv, follower)
            if fused is not None:
                self._call_new_module(source, fused, source.args[0])
                node.replace_all_uses_with(source)
                self.graph.erase_node(node)

    def _module_of(self, node: fx.Node) -> nn.Module | None:
        return self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _calls(self, node: fx.Node, kind: type[nn.Module]) -> bool:
        """Whether a node calls a module of exactly this class."""
        return type(self._module_of(node)) is kind

    def _rewrite_module(self, node: fx.Node, part: nn.Module) -> None:
        if isinstance(part, nn.Identity | _DropoutNd):
            self._pass_through(node)
        elif isinstance(part, nn.Flatten):
            arguments = (node.args[0], part.start_dim, part.end_dim)
            node.op, node.target, node.args = "call_function", torch.flatten, arguments
        elif kind := activation_kind(type(part)):
            self._call_new_module(node, activation_module(kind, part.forward), node.args[0])

    def _rewrite_call(self, node: fx.Node, target: Any) -> None:
        inputs = [a for a in node.args if isinstance(a, fx.Node) and "shape" in a.meta]
        single = len(node.all_input_nodes) == 1
        if single and (kind := activation_kind(target)):
            module = activation_module(kind, node_function(node))
            self._call_new_module(node, module, node.all_input_nodes[0])
        elif target in _ADDITIONS and len(inputs) == len(node.args) == 2 and not node.kwargs:
            self._call_new_module(node, Addition_Module(), *node.args)
        elif single and len(inputs) == 1 and target in _ARITHMETIC and len(node.args) == 2:
            # with a constant, so that it is of one input and one output
            self._call_new_module(node, activation_module("tanh", node_function(node)), inputs[0])
        elif target in _DROPOUTS:
            self._pass_through(node)
        elif (pool := pool_module(node)) is not None:
            self._call_new_module(node, pool, inputs[0])

    def _call_new_module(self, node: fx.Node, part: nn.Module, *inputs: Any) -> None:
        """Let the node call a module of its own."""
        self._added += 1
        name = f"rewritten_{self._added}"
        self.traced.add_submodule(name, part)
        node.op, node.target, node.args, node.kwargs = "call_module", name, inputs, {}

    def _pass_through(self, node: fx.Node) -> None:
        """What does nothing in eval mode becomes a copy of its input."""
        node.op, node.target, node.args, node.kwargs = "call_method", "clone", (node.args[0],), {}

    def _separate_calls(self) -> None:
        """Every call gets a module of its own, and every module inputs that nobody else reads."""
        called: set[str] = set()
        for node in list(self.graph.nodes):
            if node.op != "call_module":
                continue
            part = self.traced.get_submodule(str(node.target))
            if isinstance(part, nn.MaxPool2d) and windows_overlap(part):
                self._call_new_module(node, NonOverlappingMaxPool2d(part), node.args[0])
            elif str(node.target) in called:
                self._call_new_module(node, copy_without_in_place(part), *node.args)
            called.add(str(node.target))
            with self.graph.inserting_before(node):
                node.args = fx.node.map_arg(
                    node.args, lambda a: self.graph.call_method("clone", (a,))
                )
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        with self.graph.inserting_before(output):
            output.args = (self.graph.call_method("clone", (output.args[0],)),)
