"""Feature visualization: the picture on which a unit is most active."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from interp.ascent import Ascent, Probe, Procedure, ascend
from interp.layer import LayerPath
from interp.objective import activation
from interp.seeds import generators
from interp.space import Fourier
from interp.step import adam
from interp.transform import Jiggle, Transform

_VIEWS = Jiggle()


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the units see, one row a unit."""

    images: Tensor  # (B, C, H, W) in [0, 1]
    activation: Tensor  # (B,) of the objective on these images, without transforms
    dead: Tensor  # (B,) bool: no step had a gradient


def visualize(
    paths: Sequence[LayerPath],
    shape: tuple[int, int, int],
    like: Tensor,
    *,
    steps: int = 256,
    rate: float = 0.05,
    seed: int = 0,
    transform: Transform = _VIEWS,
) -> Procedure[Pictures]:
    """Activation maximization (Erhan et al. 2009) in colour-decorrelated Fourier space, under random views (Olah et al. 2017).

    Args:
        paths: one objective a picture, of one network; see `interp.objective.activation`.
        shape: (C, H, W) of the pictures.
        like: a tensor of the network's dtype and device.
        rate: Adam's learning rate.
        seed: picture i draws its randomness from (seed, i), whatever the others are.
    """
    objective = activation(paths, like.device)
    climb = Ascent(Fourier(shape, like), objective, adam(rate), steps, transform, redirect=True)
    summit = yield from ascend(climb, generators(seed, 0, len(paths)))
    answer = yield Probe(summit.images, objective, gradient=False)
    assert answer.score is not None
    return Pictures(summit.images, answer.score, ~summit.moved)
