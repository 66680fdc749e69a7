"""What a traced network computes without looking at the image: standardized weights, scales of
frozen batch norms, extents. It is worked out once, and stands in the graph as a constant.
"""

import operator
from typing import Any

import torch
from torch import Tensor, fx


class ShapeRecorder(fx.Interpreter):
    """Runs a traced module and notes at every node that gives a tensor its shape, as
    `meta["shape"]`, and at every one that the images do not change its value, as
    `meta["constant"]`. The batch's extent is no constant.
    """

    def run_node(self, n: fx.Node) -> Any:
        """Run a node as the base class does, and note what it gives."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        if isinstance(result, Tensor | int | float) and _is_constant(n):
            n.meta["constant"] = result
        return result


def _is_constant(node: fx.Node) -> bool:
    if node.op == "get_attr":
        return True
    if node.op not in ("call_function", "call_method") or not node.all_input_nodes:
        return False
    return all("constant" in a.meta for a in node.all_input_nodes) or _is_extent(node)


def _is_extent(node: fx.Node) -> bool:
    """Whether a node asks for a tensor's number of axes, or another extent than the batch's."""
    source, *rest = node.args
    if node.target == "dim" or (node.target is getattr and rest == ["ndim"]):
        return True
    if not rest or not isinstance(source, fx.Node) or not isinstance(rest[0], int):
        return False
    if node.target == "size":
        shape = source.meta.get("shape", ())
    elif node.target is operator.getitem and _is_shape(source):
        shape = source.all_input_nodes[0].meta.get("shape", ())
    else:
        return False
    return bool(shape) and rest[0] % len(shape) != 0


def _is_shape(node: fx.Node) -> bool:
    asked = node.args[1:]
    return (node.target == "size" and not asked) or (node.target is getattr and asked == ("shape",))


def fold_constants(traced: fx.GraphModule) -> None:
    """Put values in the place of what computes them.

    Args:
        traced: is changed; a `ShapeRecorder` has run it.
    """
    graph = traced.graph
    for number, node in enumerate(list(graph.nodes)):
        if "constant" not in node.meta or node.op == "get_attr":
            continue
        value = node.meta["constant"]
        if isinstance(value, Tensor):
            traced.register_buffer(f"constant_{number}", value.detach())
            with graph.inserting_before(node):
                fixed = graph.get_attr(f"constant_{number}")
            fixed.meta |= {"constant": value.detach(), "shape": tuple(value.shape)}
            node.replace_all_uses_with(fixed)
        else:
            for user in list(node.users):
                _put(user, node, value)
    for node in list(graph.nodes):  # what is asserted of constants holds, and reads nothing
        if node.target is torch._assert and node.args[0] is True:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    traced.recompile()


def _put(user: fx.Node, node: fx.Node, value: Any) -> None:
    def swapped(a: fx.Node) -> Any:
        return value if a is node else a

    user.args = fx.node.map_arg(user.args, swapped)
    user.kwargs = fx.node.map_arg(user.kwargs, swapped)


def constant_of(value: Any) -> Any:
    """Return the value of an argument that is a constant, as a tensor without gradients where it is
    one.

    Raises:
        LookupError: the argument depends on the image.
    """
    if not isinstance(value, fx.Node):
        return value
    if "constant" not in value.meta:
        raise LookupError(f"{value} depends on the image")
    found = value.meta["constant"]
    return found.detach() if isinstance(found, torch.Tensor) else found
