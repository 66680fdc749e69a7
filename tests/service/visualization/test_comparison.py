"""How pictures compare with what units reach on a data set."""

from typing import Any, cast

import numpy as np

from interp.layer import LayerPath
from service.visualization.cache import Picture
from service.visualization.comparison import LayerMaxima, relative_rank
from tests.service.visualization.toys_pictures import UNITS, ToyIndex


def _picture(layer: list[float]) -> Picture:
    return Picture(b"", 3.0, 1.5, 0.0, False, 1, 4, np.array(layer, np.float32), (), 1, 0, 0.05)


def test_a_neuron_is_held_against_maxima_and_a_channel_against_means() -> None:
    index = ToyIndex(2.0, peak=4.0)
    maxima = LayerMaxima.find(cast(Any, index), "m", "d", "c3", None)
    assert maxima is not None
    means, neuron = (
        maxima.compare(path, _picture([0.0] * UNITS))
        for path in (LayerPath("c3", 1), LayerPath("c3", 1, (0, 0)))
    )
    assert means is not None
    assert neuron is not None
    assert (means.ratio, means.held_out_ratio) == (1.5, 0.75)
    assert (neuron.ratio, neuron.held_out_ratio) == (0.75, 0.375)
    assert index.asked == [(1, "mean"), (1, "max")]
    assert LayerMaxima.find(cast(Any, index), "m", "d", "c5", None) is None


def test_a_maximum_that_is_not_above_0_has_no_ratio() -> None:
    maxima = LayerMaxima.find(cast(Any, ToyIndex(0.0)), "m", "d", "c3", None)
    assert maxima is not None
    comparison = maxima.compare(LayerPath("c3", 1), _picture([1.0] * UNITS))
    assert comparison is not None
    assert (comparison.ratio, comparison.relative_rank, comparison.percentile) == (None, None, 0.75)


def test_relative_ranks() -> None:
    activations, maxima = (
        np.array([4, 3, 2, 1, -1], np.float32),
        np.array([8, 1, 1, 0, -5], np.float32),
    )
    # Ratios 0.5, 3, 2, above any (never active on the data), below any.
    assert [relative_rank(activations, maxima, unit) for unit in range(5)] == [4, 2, 3, None, None]
    assert relative_rank(np.zeros(0, np.float32), maxima, 0) is None
    assert relative_rank(np.ones(2, np.float32), np.ones(2, np.float32), 0) == 2  # ties go before
