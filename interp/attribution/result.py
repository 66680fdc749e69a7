"""What an attribution method returns, and the error of one that does not apply."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from interp.layer import LayerPath


@dataclass(frozen=True, eq=False)
class Attribution:
    """The attributions of a batch of images, one row an image.

    Attributes:
        values: (B, C, H, W) every pixel's share, or (B, 1, H, W) where all its channels have one.
            In units of the score, or for a method that returns a slope in those per unit of pixel
            value.
        score: (B,) the activation of the class or unit that was explained.
        delta: (B,) the sum of the values minus what they should add up to, in units of the score;
            None where the method promises no sum.
    """

    values: Tensor
    score: Tensor
    delta: Tensor | None = None


# (one image (1, C, H, W) in [0, 1], a unit of the layer) -> its attribution
Explainer = Callable[[Tensor, LayerPath], Attribution]


class MethodNotApplicable(RuntimeError):
    """A method cannot be right on a network, for a reason that the message names."""
