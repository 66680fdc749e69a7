"""Which channel, row and column each element of a tensor stands for, followed through a forward
pass.

Every tensor that is computed from an image carries three label tensors of its shape. What moves
elements moves their labels; a convolution or a linear layer gives new ones along the axis of its
outputs; what acts on each element alone keeps them; a product takes those of the axes that it
keeps. So the axis along which a label changes is known also where channels are last, or windows of
an image were taken apart and put together again.
"""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from interp.network.torch_calls import Function, arguments_by_name, function_name, tensors_in

# of channels, rows and columns: each of the tensor's shape, NaN in padding; None where it is not
# known
Labels = tuple[Tensor | None, Tensor | None, Tensor | None]
Source = tuple[Tensor, Labels]
UNKNOWN: Labels = (None, None, None)

_MOVING_NAMES = """
    permute transpose swapaxes swapdims movedim moveaxis view reshape flatten unflatten unsqueeze
    squeeze chunk split tensor_split unbind narrow select index_select __getitem__ expand expand_as
    repeat tile repeat_interleave flip fliplr flipud roll rot90 __get__ pad cat concat concatenate
    stack hstack vstack adjoint t view_as reshape_as
"""
_SLIDING_NAMES = """
    conv2d conv_transpose2d max_pool2d max_pool2d_with_indices avg_pool2d lp_pool2d
    adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool2d_with_indices fractional_max_pool2d
    interpolate upsample upsample_nearest upsample_bilinear grid_sample pixel_shuffle
    pixel_unshuffle
"""
_NORM_NAMES = "batch_norm group_norm instance_norm local_response_norm"
_PRODUCT_NAMES = "matmul __matmul__ __rmatmul__ bmm mm"
_REDUCTION_NAMES = """
    mean sum amax amin max min median std var norm logsumexp prod argmax argmin any all
"""

_MOVING, _SLIDING, _NORMS, _PRODUCTS, _REDUCTIONS = (
    frozenset(names.split())
    for names in (_MOVING_NAMES, _SLIDING_NAMES, _NORM_NAMES, _PRODUCT_NAMES, _REDUCTION_NAMES)
)


class LabelTracer(TorchFunctionMode):
    """While active, follows the labels of every tensor that is computed from an image.

    Use it as a context: `with LabelTracer(image) as tracer: ...`.
    """

    def __init__(self, image: Tensor) -> None:
        """Begin with an image (1, C, H, W), in which every element stands for itself."""
        super().__init__()
        self._labels: MutableMapping[Tensor, Labels] = WeakTensorKeyDictionary()
        self._labels[image] = _map_labels(image.shape)

    def labels(self, tensor: Tensor) -> Labels | None:
        """Return the labels of a tensor; None where its making was not noticed."""
        return self._labels.get(tensor)

    def adopt(self, tensor: Tensor, source: Tensor) -> None:
        """Give a tensor whose making was not noticed the labels of one of the same shape."""
        labels = self.labels(source)
        if labels is not None and tensor.shape == source.shape and self.labels(tensor) is None:
            self._labels[tensor] = labels

    def __torch_function__(
        self,
        func: Function,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and label what it gives; see `TorchFunctionMode`."""
        kwargs = kwargs or {}
        given = [(t, self.labels(t)) for t in tensors_in((args, kwargs))]
        sources = [(t, labels) for t, labels in given if labels is not None]
        result = func(*args, **kwargs)
        if not sources:
            return result
        with torch.no_grad():
            if function_name(func) == "__setitem__" and len(args) == 3:
                self._labels[args[0]] = self._after_assignment(*args)
                return result
            outputs = list(tensors_in(result))
            try:
                found = _propagate(func, args, kwargs, sources, outputs)
            except (RuntimeError, ValueError, TypeError, IndexError, KeyError):
                found = [UNKNOWN] * len(outputs)  # a use of the function that is not foreseen
            self._labels.update(zip(outputs, found, strict=True))
        return result

    def _after_assignment(self, target: Tensor, index: Any, value: Any) -> Labels:
        """The labels of a tensor after `target[index] = value`."""
        old = self.labels(target) or UNKNOWN
        new = (self.labels(value) if isinstance(value, Tensor) else None) or UNKNOWN
        both = zip(old, new, strict=True)
        a, b, c = (_assigned(target, index, former, label) for former, label in both)
        return a, b, c


def main_axis(label: Tensor) -> int | None:
    """Find the axis along which a label changes most, as a negative number.

    Returns:
        None if it is the same everywhere, or changes about as much along another axis.
    """
    for d in range(label.ndim):
        if label.stride(d) == 0:  # expanded: the same all along
            label = label.narrow(d, 0, 1)
    low, high = label.nan_to_num(torch.inf), label.nan_to_num(-torch.inf)
    spans = [
        max(0.0, float((high.amax(d) - low.amin(d)).max())) if label.shape[d] > 1 else 0.0
        for d in range(label.ndim)
    ]
    most, *rest = sorted(spans, reverse=True)
    if not most or (rest and 2 * rest[0] > most):
        return None
    return spans.index(most) - label.ndim


def _numbers(shape: Sequence[int], dim: int) -> Tensor:
    """A label that counts along a dimension, which is negative."""
    counted = torch.arange(shape[dim], dtype=torch.float32)
    return counted.view(-1, *[1] * (-dim - 1)).expand(tuple(shape))


def _map_labels(shape: Sequence[int], rows: int = -2, columns: int = -1) -> Labels:
    """Those of a tensor (..., C, H, W)."""
    return _numbers(shape, -3), _numbers(shape, rows), _numbers(shape, columns)


def _assigned(target: Tensor, index: Any, old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if new is None:
        return old
    label = (
        torch.full(target.shape, torch.nan)
        if old is None
        else old.clone(memory_format=torch.contiguous_format)
    )
    label[_on_host(index)] = new
    return label


def _on_host(value: Any) -> Any:
    """A call's argument with its tensors on the host, where labels are."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, (tuple, list)):
        return type(value)(_on_host(item) for item in value)
    return value


def _propagate(
    func: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sources: list[Source],
    outputs: list[Tensor],
) -> list[Labels]:
    """The labels of a call's outputs."""
    name = function_name(func)
    if not outputs:
        return []
    if name in _MOVING:
        moved = [_moved(func, args, kwargs, sources, role) for role in range(3)]
        return [(a, b, c) for a, b, c in zip(*moved, strict=True)]
    if name in _PRODUCTS:
        operands = args[::-1] if name == "__rmatmul__" else args
        return [_product(operands[0], operands[1], dict_of(sources), outputs[0].shape)]
    one = sources[0]
    rule: dict[str, Callable[[], Labels]] = {
        "linear": lambda: _linear(one[1], outputs[0].shape),
        "multi_head_attention_forward": lambda: _linear(one[1], outputs[0].shape),
        "scaled_dot_product_attention": lambda: _attention(
            args, dict_of(sources), outputs[0].shape
        ),
        "einsum": lambda: _einsum(args, dict_of(sources), outputs[0].shape),
    }
    if name in rule:
        return [rule[name](), *[UNKNOWN] * (len(outputs) - 1)]
    if name in _SLIDING:
        return [_slid(one[1], output.shape) for output in outputs]
    if name in _NORMS:
        return [(_numbers(o.shape, 1 - o.ndim), *_pointwise(sources, o)[1:]) for o in outputs]
    if name in _REDUCTIONS and (len(args) > 1 or kwargs) and len(sources) == 1:
        return [_reduced(one, args, kwargs, output) for output in outputs]
    return [_pointwise(sources, output) for output in outputs]


def dict_of(sources: list[Source]) -> dict[int, Labels]:
    """Labels by the identity of their tensor."""
    return {id(tensor): labels for tensor, labels in sources}


def _moved(
    func: Function, args: Any, kwargs: Any, sources: list[Source], role: int
) -> list[Tensor | None]:
    """One kind of label after a call that only moves elements."""
    labels = {id(t): found[role] for t, found in sources}
    known = any(label is not None for label in labels.values())

    def swapped(value: Any, in_full: bool) -> Any:
        if isinstance(value, Tensor):
            if not value.is_floating_point():
                return value.cpu()
            label = labels.get(id(value))
            if label is not None and not in_full:
                return label
            like = torch.full_like(value, torch.nan, dtype=torch.float32, device="cpu")
            return like if label is None else like.copy_(label)
        if isinstance(value, (tuple, list)):
            return type(value)(swapped(item, in_full) for item in value)
        return value

    pads = arguments_by_name("pad", args, kwargs) if function_name(func) == "pad" else {}

    def called(in_full: bool) -> Any:
        if pads.get("mode", "constant") == "constant" and pads:
            return F.pad(swapped(pads["input"], in_full), pads["pad"], value=torch.nan)
        named = {key: swapped(value, in_full) for key, value in kwargs.items()}
        return func(*swapped(args, in_full), **named)

    try:
        moved = called(in_full=False)
    except RuntimeError:  # an expanded label has not the strides that `view` wants
        moved = called(in_full=True)
    return [tensor if known else None for tensor in tensors_in(moved)]


def _slid(labels: Labels, shape: Sequence[int]) -> Labels:
    """After a window that slides over the last two axes."""
    rows, columns = (None if label is None else main_axis(label) for label in labels[1:])
    return _map_labels(shape, -1, -2) if (rows, columns) == (-1, -2) else _map_labels(shape)


def _without(label: Tensor | None, dim: int, shape: Sequence[int]) -> Tensor | None:
    """A label after a sum over a dimension, which other outputs take; None if it counted along
    that.
    """
    if label is None or main_axis(label) == dim:
        return None
    return label.narrow(dim, 0, 1).expand(tuple(shape))


def _linear(labels: Labels, shape: Sequence[int]) -> Labels:
    """After a linear map along the last axis: it gives new channels there, unless channels run
    along another axis and positions along this one are mixed.
    """
    channels, *space = labels
    elsewhere = channels is not None and main_axis(channels) not in (None, -1)
    mixed = elsewhere and any(s is not None and main_axis(s) == -1 for s in space)
    rows, columns = (
        _numbers(shape, -1)
        if mixed and s is not None and main_axis(s) == -1
        else _without(s, -1, shape)
        for s in space
    )
    return _without(channels, -1, shape) if mixed else _numbers(shape, -1), rows, columns


def _product(a: Tensor, b: Tensor, known: dict[int, Labels], shape: Sequence[int]) -> Labels:
    """After a matrix product: its rows are those of the first factor, its columns those of the
    second.
    """
    left, right = known.get(id(a)), known.get(id(b))
    if right is None and left is not None:  # (..., N, C) times weights
        return _linear(left, shape)
    if left is None and right is not None:  # weights times (..., C, N)
        rows, columns = (_without(label, -2, shape) for label in right[1:])
        return _numbers(shape, -2), rows, columns
    assert left is not None
    assert right is not None
    kept = [
        (_without(first, -1, shape), _without(second, -2, shape))
        for first, second in zip(left, right, strict=True)
    ]
    channels, rows, columns = (_chosen(pair) for pair in (kept[0][::-1], *kept[1:]))
    return channels, rows, columns


def _attention(args: tuple[Any, ...], known: dict[int, Labels], shape: Sequence[int]) -> Labels:
    """Of attention: positions are the query's, channels the value's."""
    query, value = (known.get(id(args[i]), UNKNOWN) for i in (0, 2))
    rows, columns = (_without(label, -1, shape) for label in query[1:])
    return _without(value[0], -2, shape), rows, columns


def _einsum(args: tuple[Any, ...], known: dict[int, Labels], shape: Sequence[int]) -> Labels:
    """Of a sum of products in Einstein's notation; unknown where it has an ellipsis."""
    tensors = list(tensors_in(args[1:]))
    operands, output = str(args[0]).replace(" ", "").split("->")
    letters = operands.split(",")
    if "." in operands:
        return UNKNOWN
    labelled = [(s, known[id(t)]) for s, t in zip(letters, tensors, strict=True) if id(t) in known]
    found = [
        _chosen([_along(labels[role], names, output, shape) for names, labels in order])
        for role, order in enumerate((labelled[::-1], labelled, labelled))
    ]
    if found[0] is None:
        new = set(output) - {letter for names, _ in labelled for letter in names}
        if len(new) == 1:
            found[0] = _numbers(shape, output.index(new.pop()) - len(output))
    return found[0], found[1], found[2]


def _along(label: Tensor | None, names: str, output: str, shape: Sequence[int]) -> Tensor | None:
    """The label of an operand, laid along the output's letters; None if it counted along another
    one.
    """
    if label is None:
        return None
    axis = main_axis(label)
    if axis is not None and names[axis] not in output:
        return None
    for number, letter in enumerate(names):
        if letter not in output:
            label = label.narrow(number, 0, 1)
    kept = "".join(letter for letter in names if letter in output)
    label = label.reshape([label.shape[names.index(letter)] for letter in kept])
    label = label.permute([kept.index(letter) for letter in output if letter in kept])
    sizes = iter(label.shape)
    return label.reshape([next(sizes) if o in kept else 1 for o in output]).expand(tuple(shape))


def _reduced(source: Source, args: Any, kwargs: Any, output: Tensor) -> Labels:
    """After a mean, sum or the like over some dimensions."""
    tensor, labels = source
    dims = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    several = [dims] if isinstance(dims, int) else list(dims)
    numbers = sorted({d % tensor.ndim for d in several}, reverse=True)

    def reduced(label: Tensor | None) -> Tensor | None:
        if label is None:
            return None
        axis = main_axis(label)
        if axis is not None and axis % tensor.ndim in numbers:
            return None
        for number in numbers:
            label = label.narrow(number, 0, 1)
            label = label if output.ndim == tensor.ndim else label.squeeze(number)
        return label

    channels, rows, columns = map(reduced, labels)
    return channels, rows, columns


def _pointwise(sources: list[Source], output: Tensor) -> Labels:
    """After what acts on each element alone: the first labels that fit."""
    fitting = [labels for tensor, labels in sources if _broadcasts(tensor.shape, output.shape)]
    channels, rows, columns = (
        _chosen([None if f[role] is None else f[role].expand(output.shape) for f in fitting])  # type: ignore[union-attr]
        for role in range(3)
    )
    return channels, rows, columns


def _broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    sides = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(a in (1, b) for a, b in sides)


def _chosen(labels: Sequence[Tensor | None]) -> Tensor | None:
    """The first label that counts along an axis; else any."""
    known = [label for label in labels if label is not None]
    if len(known) < 2:
        return known[0] if known else None
    counting = (label for label in known if main_axis(label) is not None)
    return next(counting, known[0] if known else None)
