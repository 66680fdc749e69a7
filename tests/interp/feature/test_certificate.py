"""Certificates against numbers computed by hand."""

import pytest
import torch

from interp.feature.certificate import measure, measure_layers, unit_rank
from interp.feature.transform import HELD_OUT_VIEWS, held_out_view
from interp.feature.visualize import visualize
from interp.layer import LayerPath
from interp.objective import activation
from interp.probe import solve
from tests.interp.feature.toys_feature import LIKE, QUICK, draw, scores
from tests.interp.toys_networks import Counting, images, linear, tricky


def test_the_certificate_of_a_linear_network_is_computed_by_hand() -> None:
    weight = torch.randn(
        5, 3 * 8 * 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    network = linear(weight, torch.arange(5.0), (3, 8, 8))
    found = draw(network, [LayerPath("logits", 3), LayerPath("logits", 0)], [(0, 0), (0, 1)])
    certificate = found.certificate
    for row, unit in enumerate((3, 0)):
        picture = found.images[row : row + 1]
        values = (weight @ picture.flatten() + torch.arange(5)).tolist()
        views = [
            (weight[unit] @ held_out_view(picture, number).flatten()).item() + unit
            for number in range(16)
        ]
        assert certificate.activation[row].item() == pytest.approx(values[unit], rel=1e-12)
        assert certificate.held_out[row].item() == pytest.approx(sum(views) / 16, rel=1e-12)
        assert certificate.held_out_minimum[row].item() == pytest.approx(min(views), rel=1e-12)
        assert certificate.rank[row].item() == 1 + sorted(values, reverse=True).index(values[unit])
        assert certificate.units[row].item() == 5
        in_layer = certificate.layer_activations[row]
        assert in_layer is not None
        assert in_layer.tolist() == pytest.approx(values, rel=1e-12)
    assert torch.equal(found.activation, certificate.activation)
    assert certificate.attempts.tolist() == [1, 1]
    assert certificate.seeds == [0, 0]
    assert certificate.learning_rates.tolist() == [0.1, 0.1]
    assert certificate.seed_activations.shape == (2, 0)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_however_views_share_probes_they_are_measured_one_by_one(rows: int) -> None:
    network, x = tricky(), images(rows)
    objective = activation([LayerPath("down", row % 12) for row in range(rows)])
    counting = Counting(network)
    found = solve(measure(x, objective), counting)
    views = torch.stack(
        [scores(network, held_out_view(x, number), objective) for number in range(HELD_OUT_VIEWS)]
    )
    torch.testing.assert_close(found.activation, scores(network, x, objective), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.held_out, views.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.held_out_minimum, views.amin(0), rtol=0, atol=1e-12)
    assert sum(len(p.images) for p in counting.probes) == 17 * rows
    assert max(len(p.images) for p in counting.probes) <= min(64, 8 * rows)
    assert not any(p.differentiates for p in counting.probes)


def test_a_place_in_the_layer_is_by_the_same_functional() -> None:
    network, x = tricky(), images(5)
    middle = LayerPath("stem", 3, central=True)
    units = [
        LayerPath("down", 3),
        LayerPath("stem", 2, (1, 6)),
        LayerPath("logits", 4),
        middle,
        LayerPath("down"),
    ]
    maps = network.activations(x, ["down", "stem", "logits"])
    found = solve(measure_layers(x, units), network)
    expected = [
        maps["down"][0].mean((1, 2)),
        maps["stem"][1, :, 1, 6],
        maps["logits"][2],
        maps["stem"][3, :, 4, 4],
    ]
    for values, wanted, unit in zip(found, expected, (3, 2, 4, 3), strict=False):
        assert values is not None
        torch.testing.assert_close(values, wanted, rtol=0, atol=1e-12)
        assert unit_rank(values, unit) == 1 + sum(other > wanted[unit] for other in wanted.tolist())
    assert found[4] is None
    assert (
        unit_rank(torch.zeros(6), 2) == 6
    )  # a unit in a layer that is shut is not the first of it


def test_the_layer_of_a_central_neuron_is_measured_at_the_centre() -> None:
    network, x = tricky(), images(1)
    stem = network.activations(x, ["stem"])["stem"]
    (values,) = solve(measure_layers(x, [LayerPath("stem", 2, central=True)]), network)
    assert values is not None
    assert torch.equal(values, stem[0, :, stem.shape[2] // 2, stem.shape[3] // 2])


def test_without_one_unit_the_rank_is_unknown() -> None:
    network = tricky()
    found = solve(
        visualize(activation([LayerPath("down", 1)] * 2), [(0, 0), (0, 1)], LIKE, QUICK), network
    )
    assert found.certificate.rank.tolist() == found.certificate.units.tolist() == [0, 0]
    assert found.certificate.layer_activations == [None, None]
