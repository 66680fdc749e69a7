"""Saliency maps (Simonyan et al. 2014, "Deep inside convolutional networks")."""

from torch import Tensor

from interp.attribution.result import Attribution
from interp.attribution.variations import grad_of, score_of
from interp.objective import Objective
from interp.probe import Probe, Procedure


def saliency(x: Tensor, objective: Objective) -> Procedure[Attribution]:
    """Take the magnitude of the gradient, per channel (Simonyan et al. 2014, section 3).

    Args:
        x: images (B, C, H, W) in [0, 1].
        objective: of B rows, what is explained.

    Returns:
        values (B, C, H, W) of at least 0, in units of the score per unit of pixel value.
    """
    answer = yield Probe(x, objective)
    return Attribution(grad_of(answer).abs(), score_of(answer))
