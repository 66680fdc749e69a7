"""Calls of torch's functions: their names and arguments, and the window that a convolution or pool
slides over its input.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Function = Callable[..., Any]
Pair = tuple[int, int]  # of rows and of columns

_PARAMETERS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "max_pool2d_with_indices": ("input", "kernel_size", "stride", "padding", "dilation"),
    "lp_pool2d": ("input", "norm_type", "kernel_size", "stride"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d_with_indices": ("input", "output_size"),
    "pad": ("input", "pad", "mode"),
    "cat": ("tensors", "dim"),
    "layer_norm": ("input", "normalized_shape"),
    **dict.fromkeys(
        ("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "sort", "argsort"),
        ("input", "dim"),
    ),
    "normalize": ("input", "p", "dim"),
}


@dataclass(frozen=True)
class Window:
    """What a convolution or pool slides over its input, each (rows, columns).

    Attributes:
        kernel: extents in elements, before dilation.
        stride: elements between windows.
        padding: elements before the first one.
        dilation: elements between those of the kernel.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


def window_of(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window | None:
    """Return the window that a call slides over its input.

    Args:
        func, args, kwargs: the call.

    Returns:
        None if it is no convolution or pool in two dimensions.
    """
    name = function_name(func)
    pools = ("avg_pool2d", "max_pool2d", "lp_pool2d")
    if name != "conv2d" and name.removesuffix("_with_indices") not in pools:
        return None
    given = arguments_by_name(name, args, kwargs)
    kernel = as_pair(given["weight"].shape[2:] if name == "conv2d" else given["kernel_size"])
    stride = given.get("stride")
    if stride is None or stride == []:
        stride = 1 if name == "conv2d" else kernel
    dilation, padding = as_pair(given.get("dilation", 1)), given.get("padding", 0)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    return Window(kernel, as_pair(stride), as_pair(padding), dilation)


def has_parameters(name: str) -> bool:
    """Whether `arguments_by_name` knows a function."""
    return name in _PARAMETERS


def arguments_by_name(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of its function's first parameters.

    Args:
        name: of a function of which `has_parameters`.
        args, kwargs: the call's; positional ones beyond the known parameters are left out.
    """
    return dict(zip(_PARAMETERS[name], args, strict=False)) | kwargs


def function_name(func: Function) -> str:
    """Return the name of a function of torch; "" if it has none."""
    name = getattr(func, "__name__", "")
    return "max_pool2d" if name == "_max_pool2d" else name


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, and in the tuples, lists and dictionaries within it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))


def as_pair(value: Any) -> Pair:
    """Return a number twice, or the first and the last of several numbers."""
    if isinstance(value, int):
        return value, value
    several = [int(v) for v in value]
    return several[0], several[-1]
