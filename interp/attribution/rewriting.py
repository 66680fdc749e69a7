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

from interp.attribution.copies import shared_copy
from interp.attribution.pools import ApartPool, as_module, overlap

RECTIFIERS = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_", nn.ReLU, F.relu6, nn.ReLU6}
# Steps of one input and one output, zero at zero; the next are not.
BENDS = {
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
}
BENDS |= {F.elu, nn.ELU, nn.CELU, nn.SELU, F.mish, nn.Mish, nn.Softsign}
GATES = {
    torch.sigmoid,
    F.sigmoid,
    "sigmoid",
    nn.Sigmoid,
    F.hardsigmoid,
    nn.Hardsigmoid,
    F.softplus,
    nn.Softplus,
}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
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
}
_DROPOUTS = {F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout}
_CARRIERS: dict[str, type[nn.Module]] = {"rectifier": nn.ReLU, "bend": nn.Tanh, "gate": nn.Sigmoid}


class Shapes(fx.Interpreter):
    """Runs a traced module and notes at every node that gives a tensor its shape."""

    def run_node(self, n: fx.Node) -> Any:
        """As its base class does."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


class _Tracer(fx.Tracer):
    """Keeps which node is the output of which module: the last, for one called several times."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """As its base class does."""
        name = self.path_of_module(m)
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[name] = output.node
        return output


def truncated(module: nn.Module, layer: str | None) -> fx.GraphModule:
    """A traced copy of a module that ends with the output of a layer; None: its own.

    Raises:
        Exception: whatever tracing raises for a module whose way depends on its input.
        KeyError: the layer is not to be found in the trace.
    """
    twin = shared_copy(module)
    tracer = _Tracer()
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
    """Rewrites a traced module.

    Args:
        traced: its parts are changed and used, so it must be a copy; `Shapes` has run it.
        fuse: fold batch norms into the convolutions before them (Jacob et al. 2018, section 3.2).
    """

    def __init__(self, traced: fx.GraphModule, fuse: bool = False) -> None:
        self.traced, self.graph = traced, traced.graph
        self._made = 0
        if fuse:
            self._fuse()
        for node in list(self.graph.nodes):
            self._rewrite(node)
        self._part()
        traced.delete_all_unused_submodules()
        self.graph.lint()
        traced.recompile()

    def _fuse(self) -> None:
        for node in self.graph.nodes:
            source = node.args[0] if node.args else None
            if not (
                _calls(self.traced, node, nn.BatchNorm2d)
                and isinstance(source, fx.Node)
                and _calls(self.traced, source, nn.Conv2d)
            ):
                continue
            calls = [
                other
                for other in self.graph.nodes
                if other.op == "call_module" and other.target == source.target
            ]
            if len(source.users) == 1 and len(calls) == 1:
                conv: Any = self.traced.get_submodule(str(source.target))
                norm: Any = self.traced.get_submodule(str(node.target))
                self._module(source, nn.utils.fuse_conv_bn_eval(conv, norm), source.args[0])
                self._idle(node)

    def _rewrite(self, node: fx.Node) -> None:
        if node.op == "call_module":
            self._rewrite_module(node, self.traced.get_submodule(str(node.target)))
        elif node.op in ("call_function", "call_method") and "shape" in node.meta:
            self._rewrite_call(node, node.target)

    def _rewrite_module(self, node: fx.Node, part: nn.Module) -> None:
        if isinstance(part, nn.Identity | _DropoutNd):
            self._idle(node)
        elif isinstance(part, nn.Flatten):
            node.op, node.target, node.args = (
                "call_function",
                torch.flatten,
                (node.args[0], part.start_dim, part.end_dim),
            )
        elif kind := _kind(type(part)):
            self._module(node, _carrier(kind, part.forward), node.args[0])

    def _rewrite_call(self, node: fx.Node, target: Any) -> None:
        inputs = [a for a in node.args if isinstance(a, fx.Node) and "shape" in a.meta]
        single = len(node.all_input_nodes) == 1
        if single and (kind := _kind(target)):
            self._module(node, _carrier(kind, _call(node)), node.all_input_nodes[0])
        elif target in _SUMS and len(inputs) == len(node.args) == 2 and not node.kwargs:
            self._module(node, Addition_Module(), *node.args)
        elif single and len(inputs) == 1 and target in _ARITHMETIC and len(node.args) == 2:
            self._module(
                node, _carrier("bend", _call(node)), inputs[0]
            )  # with a constant: of one input, too
        elif target in _DROPOUTS:
            self._idle(node)
        elif (pool := as_module(node)) is not None:
            self._module(node, pool, inputs[0])

    def _module(self, node: fx.Node, part: nn.Module, *inputs: Any) -> None:
        """Let the node call a module of its own."""
        self._made += 1
        name = f"rewritten_{self._made}"
        self.traced.add_submodule(name, part)
        node.op, node.target, node.args, node.kwargs = "call_module", name, inputs, {}

    def _idle(self, node: fx.Node) -> None:
        """What does nothing in eval mode becomes a copy of its input."""
        node.op, node.target, node.args, node.kwargs = "call_method", "clone", (node.args[0],), {}

    def _part(self) -> None:
        """Every call gets a module of its own, and every module inputs that nobody else reads."""
        called: set[str] = set()
        for node in list(self.graph.nodes):
            if node.op != "call_module":
                continue
            part = self.traced.get_submodule(str(node.target))
            if isinstance(part, nn.MaxPool2d) and overlap(part):
                self._module(node, ApartPool(part), node.args[0])
            elif str(node.target) in called:
                self._module(node, shared_copy(part), *node.args)
            called.add(str(node.target))
            with self.graph.inserting_before(node):
                node.args = fx.node.map_arg(
                    node.args, lambda a: self.graph.call_method("clone", (a,))
                )
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        with self.graph.inserting_before(output):
            output.args = (self.graph.call_method("clone", (output.args[0],)),)


def _calls(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and type(traced.get_submodule(str(node.target))) is kind


def _kind(target: Any) -> str | None:
    """Which of `_CARRIERS` carries a step of one input and one output; None for other steps."""
    return (
        "rectifier"
        if target in RECTIFIERS
        else "bend"
        if target in BENDS
        else "gate"
        if target in GATES
        else None
    )


def _carrier(kind: str, function: Callable[[Tensor], Tensor]) -> nn.Module:
    """A module of the type by which captum tells how to treat such steps, which computes
    `function`.
    """
    carrier = _CARRIERS[kind]()
    carrier.forward = function
    return carrier


def _call(node: fx.Node) -> Callable[[Tensor], Tensor]:
    """What a node does with its only input."""
    target: Any = node.target
    is_method, args, options = (
        node.op == "call_method",
        node.args,
        {k: v for k, v in node.kwargs.items() if k != "inplace"},
    )

    def run(x: Tensor) -> Tensor:
        values, named = fx.node.map_arg((args, options), lambda _: x)
        result: Tensor = (
            getattr(x, target)(*values[1:], **named) if is_method else target(*values, **named)
        )
        return result

    return run
