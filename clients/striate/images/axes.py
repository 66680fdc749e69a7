"""Which axis of an array of levels holds the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.errors import invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def refuse_channels_first(array: NDArray[np.uint8], field: str) -> None:
    """Refuses levels whose channels stand before the rows, as torchvision.io.read_image gives them.

    Args:
        array: uint8, of three or four axes.
        field: Name of the argument in errors.

    Raises:
        InvalidArgument: The channels stand first; or the first of three axes may be channels as
            well as a few gray images.
    """
    first, last = array.shape[-3], array.shape[-1]
    if last in (1, 3, 4) or (array.ndim == 3 and first not in (2, 3, 4)):
        return
    if array.ndim == 3:
        raise invalid(
            field,
            f"is uint8 {array.shape}, which looks like (C, H, W): write permute(1, 2, 0) of a "
            "tensor or transpose(1, 2, 0) of an array for one image (H, W, C), or [..., None] for "
            f"{first} gray images (N, H, W, 1)",
        )
    if first in (1, 2, 3, 4):
        raise invalid(
            field,
            f"is uint8 {array.shape}, which looks like (N, C, H, W): write permute(0, 2, 3, 1) of "
            "a tensor or transpose(0, 2, 3, 1) of an array for (N, H, W, C)",
        )
