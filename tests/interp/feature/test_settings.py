"""What settings of pictures come to: parameterization, random views, penalties, operators."""

import pytest
import torch

from interp.feature.alpha import Alpha, OpacityPenalty, RandomBackground
from interp.feature.operator import ClipSmallNorm, GaussianBlur
from interp.feature.params.cppn import CppnSpec
from interp.feature.params.fourier import Fourier, FourierSpec
from interp.feature.params.maco import MACO_TRANSFORMS, MacoSpec
from interp.feature.params.pixels import PixelsSpec
from interp.feature.penalty import L1Penalty, PenaltySum
from interp.feature.settings import PictureSettings
from interp.feature.spatial import Jitter, RandomAffine
from interp.feature.transform import Compose
from tests.interp.feature.toys_feature import LIKE, magnitude, rectangle

SHAPE = (3, 8, 8)


def test_the_defaults_are_spectra_of_photographs_under_random_views() -> None:
    plain = PictureSettings(SHAPE)
    assert isinstance(plain.build(LIKE), Fourier)
    assert plain.transform == RandomAffine()
    assert plain.penalty is None
    assert plain.operator is None
    assert not plain.transparent


def test_transforms_are_composed_and_none_are_none() -> None:
    x = rectangle(2, SHAPE)
    assert PictureSettings(SHAPE, transforms=()).transform(x, []) is x
    assert PictureSettings(SHAPE, transforms=(Jitter(0.1),)).transform == Jitter(0.1)
    maco = PictureSettings(SHAPE, parameterization=MacoSpec("d"))
    assert maco.transform == Compose(MACO_TRANSFORMS)


def test_alpha_is_over_random_backgrounds_and_must_be_paid_for() -> None:
    made = PictureSettings(SHAPE, alpha=True, penalties=(L1Penalty(2.0),), transforms=())
    alpha = made.build(LIKE)
    assert isinstance(alpha, Alpha)
    assert alpha.shape == (4, 8, 8)
    assert made.transform == RandomBackground()
    assert made.penalty == PenaltySum((L1Penalty(2.0), OpacityPenalty()))
    assert made.transparent


def test_operators_are_applied_in_order() -> None:
    x, blur, clip = rectangle(2, SHAPE), GaussianBlur(0.1, 1), ClipSmallNorm(0.5, 1)
    operator = PictureSettings(SHAPE, operators=(blur, clip)).operator
    assert operator is not None
    assert torch.equal(operator(x, 1), clip(blur(x, 1), 1))


def test_maco_shows_its_attention_unless_it_is_to_be_opaque() -> None:
    assert PictureSettings(SHAPE, parameterization=MacoSpec("d", transparency=75)).transparent
    assert not PictureSettings(SHAPE, parameterization=MacoSpec("d", transparency=0)).transparent
    with pytest.raises(ValueError, match="spectrum of data set 'd' is not known"):
        PictureSettings(SHAPE, parameterization=MacoSpec("d")).build(LIKE)
    spec = MacoSpec("d", magnitude=magnitude(SHAPE))
    assert PictureSettings(SHAPE, parameterization=spec).build(LIKE).shape == SHAPE


def test_settings_are_told_apart_by_their_text() -> None:
    """Which names kept pictures."""
    texts = [
        repr(PictureSettings(SHAPE, parameterization=spec))
        for spec in (FourierSpec(), FourierSpec(2.0), PixelsSpec(), CppnSpec(), CppnSpec(3))
    ]
    assert len(set(texts)) == len(texts)
    spec = MacoSpec("d", magnitude=magnitude(SHAPE))
    assert "tensor" not in repr(PictureSettings(SHAPE, parameterization=spec))
