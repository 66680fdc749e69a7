"""What an attribution method finds."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from interp.layer import LayerPath


@dataclass(frozen=True, eq=False)
class Attributed:
    """One row an image.

    Attributes:
        values: (B, C, H, W) every pixel's share, or (B, 1, H, W) where all its channels have one.
        score: (B,) what was explained: the activation of the class or unit.
        delta: (B,) the sum of the values minus what they should add up to; None where the method
            promises no sum.
    """

    values: Tensor
    score: Tensor
    delta: Tensor | None = None


Explain = Callable[
    [Tensor, LayerPath], Attributed
]  # one image (1, C, H, W) in [0, 1], and which unit of the layer


class Unexplainable(RuntimeError):
    """A method cannot be right on this network, for a reason that the message names."""
