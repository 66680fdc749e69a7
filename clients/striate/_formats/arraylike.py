"""Arrays of any library, tensors among them, as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate.errors import invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_numpy(item: Any, field: str) -> NDArray[Any]:
    """Makes a numpy array of whatever holds numbers.

    A tensor leaves its graph and its device; bfloat16, which numpy lacks, becomes float32.

    Args:
        item: A numpy array, a tensor of torch, JAX or another library, or a sequence of numbers.
        field: Name of the argument in errors.

    Returns:
        The array; it may share the item's memory.

    Raises:
        InvalidArgument: It cannot be turned into an array, or some of its entries are masked.
    """
    import numpy as np

    if isinstance(item, np.ma.MaskedArray) and np.ma.is_masked(item):
        raise invalid(field, "has masked entries, which have no value: fill them, .filled(value)")
    try:
        if type(item).__module__.split(".")[0] == "torch" or hasattr(item, "requires_grad"):
            item = _plain_tensor(item)
        array = np.asarray(item)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    # libraries refuse in many ways: sparse, quantized, meta and foreign devices
    except Exception as error:
        raise invalid(
            field,
            f"a {type(item).__name__} cannot be read as an array ({error}); pass a numpy array",
        ) from error


def _plain_tensor(tensor: Any) -> Any:
    """The tensor outside its graph, on the CPU, and of a type that numpy has."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg()
