"""Input times gradient (Shrikumar et al. 2016, "Not just a black box")."""

from torch import Tensor

from interp.attribution.result import Attribution
from interp.attribution.variations import grad_of, score_of
from interp.objective import Objective
from interp.probe import Probe, Procedure


def input_x_gradient(x: Tensor, objective: Objective) -> Procedure[Attribution]:
    """Multiply every pixel by its gradient (Shrikumar et al. 2016).

    Args:
        x: images (B, C, H, W) in [0, 1].
        objective: of B rows, what is explained.

    Returns:
        values (B, C, H, W) in units of the score.
    """
    answer = yield Probe(x, objective)
    return Attribution(x.to(grad_of(answer)) * grad_of(answer), score_of(answer))
