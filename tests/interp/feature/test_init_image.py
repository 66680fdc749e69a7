"""Pictures that start at images."""

import pytest
import torch

from interp.feature.alpha import with_alpha
from interp.feature.params.base import Parameterization
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.params.init_image import InitImage
from interp.feature.params.pixels import Pixels
from interp.seeds import generators
from tests.interp.feature.toys_feature import LIKE
from tests.interp.toys_networks import images


@pytest.mark.parametrize(
    "space",
    [
        Fourier((3, 8, 8), LIKE),
        Pixels((3, 8, 8), LIKE, 0.02),
        with_alpha(FourierSpec(), (3, 8, 8), LIKE),
    ],
)
def test_a_climb_can_begin_at_images(space: Parameterization) -> None:
    x = images(3) * 0.9 + 0.05
    started = InitImage(space, x)
    start = started.start(generators(0, 0, 3))
    assert torch.equal(
        start - space.encode(x),
        (space.encode(x) + started.noise * space.start(generators(0, 0, 3))) - space.encode(x),
    )
    assert 0 < (started.image(start)[:, :3] - x).abs().mean() < 0.05
    one = InitImage(space, x[:1]).start(generators(0, 0, 3))
    torch.testing.assert_close(one[0], start[0])
    assert not torch.equal(one[0], one[1])
    with pytest.raises(ValueError, match="3 images"):
        started.start(generators(0, 0, 2))
    with pytest.raises(ValueError, match="cannot begin"):
        InitImage(space, images(3, 9)).start(generators(0, 0, 3))


@pytest.mark.parametrize(
    "space", [Fourier((3, 8, 8), LIKE), with_alpha(FourierSpec(), (3, 8, 8), LIKE)]
)
def test_with_room_images_of_any_contrast_are_given_back(space: Parameterization) -> None:
    x = images(3) * torch.tensor([0.95, 0.2, 0.0], dtype=torch.float64).view(3, 1, 1, 1) + 0.025
    roomy = space.including(x)
    torch.testing.assert_close(roomy.image(roomy.encode(x))[:, :3], x, rtol=0, atol=1e-9)
    assert (space.image(space.encode(x))[0, :3] - x[0]).abs().max() > 0.01, "or it has no cap"
    twice = roomy.image(2 * roomy.encode(x))[:, :3].logit().flatten(1).std(1, unbiased=False)
    own = x.logit().flatten(1).std(1, unbiased=False)
    torch.testing.assert_close(twice[:2], torch.stack([own[0], (2 * own[1]).clamp_max(1.2)]))
    assert twice[2] < 1e-9
