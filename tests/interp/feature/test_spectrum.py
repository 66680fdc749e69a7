"""Mean magnitude spectra."""

import numpy as np
import pytest
import torch

from interp.feature.params.colour import correlation, decorrelated, mixed
from interp.feature.params.spectrum import Spectrum
from tests.interp.feature.toys_feature import LIKE, rectangle


def test_a_spectrum_is_the_mean_of_magnitudes_and_shards_merge() -> None:
    x = rectangle(7, (3, 6, 5))
    whole, first, second = Spectrum((3, 6, 5)), Spectrum((3, 6, 5)), Spectrum((3, 6, 5))
    whole.update(x)
    first.update(x[:3])
    second.update(x[3:5])
    second.update(x[5:])
    second.merge(first)
    assert second.images == whole.images == 7
    torch.testing.assert_close(second.magnitude, whole.magnitude, rtol=0, atol=1e-12)
    by_hand = np.abs(np.fft.rfft2(decorrelated(x).numpy())).mean(0)
    np.testing.assert_allclose(whole.magnitude, by_hand, rtol=1e-12)
    torch.testing.assert_close(mixed(decorrelated(x), correlation(LIKE)), x, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="no images"):
        _ = Spectrum((3, 6, 5)).magnitude
    with pytest.raises(ValueError, match="in a spectrum"):
        whole.update(rectangle(1, (3, 5, 6)))
    with pytest.raises(ValueError, match="one of images"):
        whole.merge(Spectrum((1, 6, 5)))
