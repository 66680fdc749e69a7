"""How pictures compare with what units reach on a data set."""

import re
from typing import Any, cast

import numpy as np
import pytest

from interp.layer import Form, LayerPath
from service.rpc.wire.pictures.certificate import certificate
from service.visualization.cache import Picture
from service.visualization.comparison import (
    DatasetMaxima,
    LayerMaxima,
    Uncompared,
    relative_rank,
)
from tests.service.visualization.toys_pictures import UNITS, ToyIndex


def _picture(layer: list[float]) -> Picture:
    activations, look = np.array(layer, np.float32), (1.2, 8, 8, 0, 0, 0)
    return Picture(b"", 3.0, 1.5, 0.0, False, 1, 4, activations, (), 1, 0, 0.05, *look)


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


def test_minus_a_unit_is_held_against_the_lowest_and_its_magnitude_against_the_larger() -> None:
    index = ToyIndex(2.0, peak=4.0, lowest=-6.0)
    maxima = LayerMaxima.find(cast(Any, index), "m", "d", "c3", None)
    assert maxima is not None
    lowest, magnitude, neuron = (
        maxima.compare(path, _picture([0.0] * UNITS))
        for path in (
            LayerPath("c3", 1, form="neg"),
            LayerPath("c3", 1, form="abs"),
            LayerPath("c3", 1, (0, 0), form="neg"),
        )
    )
    assert lowest is not None
    assert magnitude is not None
    assert neuron is not None
    assert (lowest.maximum, lowest.ratio, lowest.held_out_ratio) == (6.0, 0.5, 0.25)
    assert (magnitude.maximum, magnitude.ratio) == (6.0, 0.5)
    assert (neuron.maximum, neuron.ratio) == (4.0, 0.75)  # minus the lowest of the toy's peaks
    assert index.asked == [(1, "lowest_mean"), (1, "mean_magnitude"), (1, "min")]
    assert not lowest.no_ratio


@pytest.mark.parametrize(
    ("form", "lowest", "said"),
    [
        ("value", 0.0, "c3:1 is above 0 on no image of 'made-up' .its highest value is -1."),
        ("neg", 0.0, "c3:1 is below 0 on no image .*lowest value is 0.*layer before the rectifier"),
        ("neg", 0.5, "c3:1 is below 0 on no image .*lowest value is 0.5.*ratio to that$"),
        ("abs", 0.0, "c3:1 is 0 on every image of 'made-up'"),
    ],
)
def test_without_a_ratio_a_sentence_says_why(form: Form, lowest: float, said: str) -> None:
    index = ToyIndex({"value": -1.0, "neg": 3.0, "abs": 0.0}[form], lowest=lowest)
    maxima = LayerMaxima.find(cast(Any, index), "m", "d", "c3", None)
    assert maxima is not None
    found = maxima.compare(LayerPath("c3", 1, form=form), _picture([1.0] * UNITS))
    assert found is not None
    assert (found.ratio, found.held_out_ratio, found.relative_rank) == (None, None, None)
    assert re.search(said, found.no_ratio)
    assert found.percentile == 0.75


def test_an_index_of_another_format_is_told_of() -> None:
    maxima = DatasetMaxima.find(cast(Any, ToyIndex(1.0)), "m", "d", ["c3", "old", "c5"], None)
    assert set(maxima.by_layer) == {"c3"}
    told = maxima.compare(LayerPath("old", 1), _picture([1.0] * UNITS))
    assert isinstance(told, Uncompared)
    assert told.reason.endswith("build it again")
    assert maxima.compare(LayerPath("c5", 1), _picture([1.0] * UNITS)) is None
    message = certificate(_picture([1.0] * UNITS), told)
    assert (message.no_ratio, message.HasField("ratio")) == (told.reason, False)
