"""Symbolic traces of networks whose way depends on the shapes of their tensors, such as padding
that is worked out from an image's size: every step's shape is known while it is traced.

Beside the trace runs a pass of tensors without contents (torch's fake tensors). Extents are plain
numbers there, but for the batch's, which stays a step of the graph. The graph is then for images of
one size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from interp.network.symbolic_trace import ALONE, PrivateTracer, Turn, not_traced

_UNKNOWN = object()
_SAME_FOR_ALL = ("ndim", "dtype", "device", "is_cuda", "layout")


class ShapedTracer(PrivateTracer):
    """Traces a module for images of one size."""

    def __init__(self, example: Tensor, turn: Turn = ALONE) -> None:
        """Make a tracer.

        Args:
            example: (B, C, H, W), what the module is given; only its shape and type count.
            turn: held while it traces, see `interp.network.symbolic_trace`.
        """
        super().__init__(turn)
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._example = self._mode.from_tensor(example.detach())
        self._values: dict[fx.Node, Any] = {}

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the proxy of a node, which knows the shape of what the node gives."""
        if node not in self._values:
            self._values[node] = self._value(node)
        return _ShapedProxy(node, self, self._values[node])

    def _value(self, node: fx.Node) -> Any:
        """What a node gives, without contents; `_UNKNOWN` where that cannot be told."""
        if node.op == "placeholder":
            return self._example
        if any(self._values.get(n, _UNKNOWN) is _UNKNOWN for n in node.all_input_nodes):
            return _UNKNOWN
        try:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
            with self._apart():
                return self._run(node, args, kwargs)
        except Exception:  # noqa: BLE001 - where contents decide, fake tensors raise anything
            return _UNKNOWN

    def _run(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        target: Any = node.target
        if node.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        if node.op == "call_function":
            return target(*args, **kwargs)
        if node.op == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        found: Any = self.root
        for name in str(target).split("."):
            found = getattr(found, name)
        return self._mode.from_tensor(found.detach()) if isinstance(found, Tensor) else found

    @contextmanager
    def _apart(self) -> Iterator[None]:
        with not_traced(), self._mode, torch.no_grad():
            yield


class _ShapedProxy(fx.Proxy):
    """A proxy that tells extents as numbers."""

    def __init__(self, node: fx.Node, tracer: ShapedTracer, value: Any) -> None:
        super().__init__(node, tracer)
        self._value = value

    def __getattr__(self, k: str) -> Any:
        if isinstance(self._value, FakeTensor):
            if k == "shape":
                return self._extents()
            if k in _SAME_FOR_ALL:
                return getattr(self._value, k)
            if k in ("size", "dim"):
                return getattr(self, f"_{k}")
        return super().__getattr__(k)

    def _extents(self) -> tuple[Any, ...]:
        shape = tuple(self._value.shape)
        asked: Any = super().__getattr__("shape")
        return (asked[0], *shape[1:]) if shape else ()

    def _size(self, dim: int | None = None) -> Any:
        extents = self._extents()
        return extents if dim is None else extents[dim]

    def _dim(self) -> int:
        return int(self._value.ndim)
