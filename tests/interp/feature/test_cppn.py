"""Pictures as small networks, computed pixel by pixel."""

import math

import numpy as np
import torch

from interp.feature.params.cppn import Cppn, composite_activation
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE, moved


def test_a_cppn_is_a_network_of_coordinates() -> None:
    """Each pixel of each picture computed by itself, with matrices cut out of z one number after
    the other.
    """
    depth, width, shape = 2, 3, (3, 4, 6)
    space = Cppn(shape, LIKE, depth, width)
    z = moved(space, 2)
    picture = space.image(z)
    for row in range(2):
        values = iter((z[row] * 0.025).tolist())
        layers = []
        for out, into in [(width, 2), (width, 2 * width), (3, 2 * width)]:
            weight = np.array([[next(values) for _ in range(into)] for _ in range(out)])
            layers.append((weight, np.array([next(values) for _ in range(out)])))
        for i in range(4):
            for j in range(6):
                h = np.array([(-1 + 2 * i / 3) * 4 / 6, -1 + 2 * j / 5]) * math.sqrt(3)
                for number, (weight, bias) in enumerate(layers):
                    if number:
                        h = np.concatenate(
                            [np.arctan(h) / 0.67, (np.arctan(h) ** 2 - 0.45) / 0.396]
                        )
                    h = weight @ h + bias
                np.testing.assert_allclose(picture[row, :, i, j], 1 / (1 + np.exp(-h)), atol=1e-10)


def test_a_cppn_begins_gray_and_keeps_its_signal() -> None:
    space = Cppn((3, 16, 16), LIKE)
    z = space.start(generators(0, 0, 4))
    assert torch.equal(space.image(z), torch.full((4, 3, 16, 16), 0.5, dtype=torch.float64))
    drawn = composite_activation(
        torch.randn(1, 1, 200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    torch.testing.assert_close(
        drawn.mean((0, 2)), torch.zeros(2, dtype=torch.float64), rtol=0, atol=0.02
    )
    torch.testing.assert_close(
        drawn.std((0, 2)), torch.ones(2, dtype=torch.float64), rtol=0, atol=0.02
    )
