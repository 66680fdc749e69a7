"""Accuracy over epsilon."""

import math

import numpy as np
import pytest

import striate
from striate import images
from striate.v1 import attack_pb2 as pb
from tests.client.fakes.fakes_robustness import minimal
from tests.client.fakes.fakes_server import Fake, adversarial

IMAGES = np.random.default_rng(4).integers(0, 256, (21, 4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("budget", [60 * 2**20, 8 * (4 * 5 * 3 * 4 + 64)])
def test_a_curve_is_joined_over_parts(
    fake: Fake, net: striate.Model, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(images.batch, "_BUDGET", budget)
    epsilons = [1 / 255, 2 / 255, 0.1]
    curve = net.epsilon_curve(
        IMAGES,
        1,
        epsilons=epsilons,
        norm="l2",
        steps=5,
        bisections=3,
        fab_steps=4,
        random_start=True,
        loss="margin",
        seed=6,
    )
    request = fake.requests("Attack")[0]
    search = request.epsilon_search
    assert (request.norm, search.steps, search.bisections, search.random_start, search.loss) == (
        pb.NORM_L2,
        5,
        3,
        True,
        pb.LOSS_MARGIN,
    )
    assert list(search.epsilons) == epsilons
    assert search.fab_steps == 4
    least = [minimal(row, epsilons) for row in range(21)]
    np.testing.assert_array_equal(curve.epsilons, epsilons)
    expected = [np.mean([one is None or one > epsilon for one in least]) for epsilon in epsilons]
    np.testing.assert_allclose(curve.robust_accuracy, expected, rtol=0, atol=0)
    np.testing.assert_array_equal(
        curve.minimal_epsilons,
        [math.nan if one is None else one for one in least],
    )
    np.testing.assert_array_equal(
        curve.images, np.stack([adversarial(6, row) for row in range(21)])
    )
    assert (len(curve), curve.image.size) == (3, curve.attack.image.size)
    assert isinstance(curve.attack.attack, striate.EpsilonSearch)
    kept = curve.summary()
    assert kept["minimal_epsilons"] == least
    assert (kept["epsilons"], kept["curve"]) == (epsilons, curve.robust_accuracy.tolist())


def test_a_curve_is_drawn(net: striate.Model) -> None:
    html = net.epsilon_curve(IMAGES, 1, epsilons=[4 / 255, 8 / 255])._repr_html_()
    assert "<svg" in html
    assert "8/255" in html
    assert html.count("<tr>") == 3
    points = [
        tuple(map(float, point.split(",")))
        for point in html.split('points="')[1].split('"')[0].split()
    ]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert len(points) == 3


def test_a_server_without_a_curve_is_noticed(
    net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.client.fakes.fakes_robustness.minimal", lambda row, epsilons: None)
    assert net.epsilon_curve(IMAGES, epsilons=[0.1]).robust_accuracy.tolist() == [1.0]
    result = net.attack(IMAGES)
    search = striate.EpsilonSearch((0.1,))
    for part in (
        pb.AttackResponse(),
        pb.AttackResponse(curve=[pb.CurvePoint(epsilon=0.1, robust=1, images=20)]),
    ):
        with pytest.raises(striate.Internal, match="curve"):
            striate.EpsilonCurve.read([part], result, search)
