"""Pictures under given magnitudes."""

import numpy as np
import pytest
import torch

from interp.feature.params.maco import Maco
from tests.interp.feature.toys_feature import LIKE, magnitude, moved

SHAPES = [(3, 8, 8), (1, 9, 7), (3, 6, 11)]


every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
def test_pictures_of_maco_have_exactly_the_magnitudes_of_the_data(
    shape: tuple[int, int, int],
) -> None:
    wanted = magnitude(shape)
    space = Maco(shape, LIKE, wanted)
    plane = space.image(moved(space, 3)).logit()
    if shape[0] == 3:
        root = np.array(
            [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]
        )  # published with lucid
        root /= np.linalg.norm(root, axis=0).max()
        plane = torch.from_numpy(np.einsum("cr,brhw->bchw", np.linalg.inv(root), plane.numpy()))
    found = np.abs(np.fft.rfft2(plane.numpy()))
    wanted[:, 0, 0] = 0
    scale = found[0].max() / wanted.max().item()
    np.testing.assert_allclose(
        found, np.broadcast_to(wanted.numpy() * scale, found.shape), atol=1e-9 * found.max()
    )
    np.testing.assert_allclose(plane.numpy().reshape(3, -1).std(1), 1, rtol=1e-6)
    np.testing.assert_allclose(plane.numpy().reshape(3, -1).mean(1), 0, atol=1e-9)


def test_magnitudes_must_fit() -> None:
    with pytest.raises(ValueError, match="magnitudes"):
        Maco((3, 8, 8), LIKE, magnitude((3, 8, 6)))
