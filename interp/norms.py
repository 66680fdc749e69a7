"""The p-norms of the rows of a batch, which step rules and threat models share."""

import torch
from torch import Tensor


def norm(delta: Tensor, p: float) -> Tensor:
    """Compute the p-norm of each row of a batch of images or of changes to images.

    Args:
        delta: (B, C, H, W), in any floating dtype.
        p: `math.inf`, 2 or 1 (or any other order that `torch.linalg.vector_norm` knows).

    Returns:
        (B, 1, 1, 1) lengths in the dtype and unit of `delta`.
    """
    length: Tensor = torch.linalg.vector_norm(delta, p, dim=(1, 2, 3), keepdim=True)
    return length
