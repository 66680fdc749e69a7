"""What a unit does over a whole data set, in numbers."""

import re

import numpy as np

import striate
from tests.client.fakes.fakes_exemplars import COUNTS
from tests.client.fakes.fakes_server import DATASET_SIZE, DIGEST, Fake


def test_statistics_of_a_unit(fake: Fake, net: striate.Model) -> None:
    found = net.statistics("stem:1", dataset="digits")
    assert isinstance(found, striate.UnitStatistics)
    request = fake.requests("GetUnitStatistics")[-1]
    assert (request.model, request.unit, request.dataset) == ("tiny", "stem:1", "digits")
    assert (found.unit, found.images, found.minimum, found.maximum, found.maximum_mean) == (
        "stem:1",
        DATASET_SIZE,
        -1.5,
        3,
        2.5,
    )
    assert (
        found.mean,
        found.variance,
        found.active_share,
        found.active_images,
        found.sparsity,
    ) == (0.25, 0.125, 0.5, 0.75, 0.375)
    assert found.quantiles == {0.1: 1, 0.5: 2}
    counts, edges = found.histogram
    np.testing.assert_array_equal(counts, COUNTS)
    np.testing.assert_allclose(edges, [-0.5, 0.5, 1.5, 2.5])
    assert found.provenance.model_digest == DIGEST


def test_a_histogram_is_drawn(net: striate.Model) -> None:
    found = net.statistics("stem:1", dataset="digits")
    shown = found._repr_html_()
    bars = re.findall(r'<rect x="(.*?)" y="(.*?)" width=".*?" height="(.*?)"', shown)
    x, y, height = np.array(bars, dtype=float).T
    np.testing.assert_allclose(x / 320 * 3, [0, 2], atol=0.01)
    np.testing.assert_allclose(height / 80 * 100, [100, 50], atol=0.01)
    np.testing.assert_allclose(y + height, 80)
    assert re.findall(r">(-?[\d.]+)</text>", shown) == ["-0.5", "2.5"]


def test_statistics_of_a_layer(net: striate.Model) -> None:
    found = net.statistics("stem", dataset="digits")
    assert isinstance(found, striate.LayerStatistics)
    assert [(unit.unit, unit.maximum) for unit in found] == [("stem:0", 3), ("stem:1", 4)]
    assert (found.images, found.provenance.model_digest) == (DATASET_SIZE, DIGEST)
    assert found._repr_html_().count("<tr>") == 3
