"""The spaces of pictures: what each can draw, what it begins at, and that no row depends on
another.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from interp.feature.alpha import with_alpha
from interp.feature.params.base import SIGMOID_MARGIN, Parameterization
from interp.feature.params.cppn import Cppn, CppnSpec
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.params.init_image import InitImage
from interp.feature.params.maco import Maco
from interp.feature.params.pixels import Pixels
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE, magnitude, moved, rectangle
from tests.interp.toys_networks import images

SHAPES = [(3, 8, 8), (1, 9, 7), (3, 6, 11)]


Make = Callable[[tuple[int, int, int], Tensor], Parameterization]


PARAMETERIZATIONS: dict[str, Make] = {
    "fourier": Fourier,
    "flat fourier": lambda shape, like: Fourier(shape, like, decay=0.0),
    "pixels": Pixels,
    "cppn": lambda shape, like: Cppn(shape, like, depth=3, width=5),
    "maco": lambda shape, like: Maco(shape, like, magnitude(shape)),
    "alpha": lambda shape, like: with_alpha(FourierSpec(), shape, like),
    "alpha cppn": lambda shape, like: with_alpha(CppnSpec(2, 4), shape, like),
    "started": lambda shape, like: InitImage(Fourier(shape, like), rectangle(1, shape) * 0.2 + 0.4),
}


every_parameterization = pytest.mark.parametrize("name", PARAMETERIZATIONS)


every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
@every_parameterization
def test_pictures_lie_in_the_box_and_gradients_reach_z(
    name: str, shape: tuple[int, int, int]
) -> None:
    space = PARAMETERIZATIONS[name](shape, LIKE)
    z = moved(space, 2)
    assert z.shape[1:] == space.z_shape
    picture = space.image(z)
    assert picture.shape == (2, *space.shape)
    assert picture.dtype == torch.float64
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 1e-3
    assert torch.equal(space.project(z), z)
    assert torch.autograd.gradcheck(space.image, (z[:1].clone().requires_grad_(),), fast_mode=True)


@every_parameterization
def test_seeds_repeat_and_rows_are_apart(name: str) -> None:
    space = PARAMETERIZATIONS[name]((3, 8, 8), torch.zeros(()))
    whole = space.start(generators(5, 0, 3))
    assert torch.equal(space.start(generators(5, 0, 3)), whole)
    assert torch.equal(space.start(generators(5, 2, 1))[0], whole[2])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(space.start(generators(6, 0, 3)), whole)
    precise = PARAMETERIZATIONS[name]((3, 8, 8), LIKE)
    z = moved(precise, 3)
    for row in range(3):
        torch.testing.assert_close(
            precise.image(z[row : row + 1])[0], precise.image(z)[row], rtol=0, atol=1e-12
        )


@every_shape
@pytest.mark.parametrize("name", ["fourier", "flat fourier", "pixels", "alpha", "started"])
def test_encoding_is_the_inverse_of_drawing(name: str, shape: tuple[int, int, int]) -> None:
    space = PARAMETERIZATIONS[name](shape, LIKE)
    x = rectangle(2, space.shape) * (1 - 2 * SIGMOID_MARGIN) + SIGMOID_MARGIN
    space = space.including(x)
    torch.testing.assert_close(space.image(space.encode(x)), x, rtol=0, atol=1e-12)
    extreme = x.round()
    space = space.including(extreme)
    assert (space.image(space.encode(extreme)) - extreme).abs().max() < SIGMOID_MARGIN * (1 + 1e-9)
    shown = space.image(space.encode(extreme)) * 255
    assert torch.equal(shown.round(), extreme * 255)  # the 8-bit picture is the same


@pytest.mark.parametrize("name", ["cppn", "maco"])
def test_some_parameterizations_cannot_start_at_an_image(name: str) -> None:
    space = PARAMETERIZATIONS[name]((3, 8, 8), LIKE)
    with pytest.raises(ValueError, match="cannot begin at an image"):
        InitImage(space, images(1)).start(generators(0, 0, 1))
