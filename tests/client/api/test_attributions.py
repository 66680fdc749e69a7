"""Model.attribute and `striate attribute` against the fake server."""

from typing import Any

import numpy as np
import pytest

import striate
from striate.v1 import attribution_pb2 as pb
from tests.client.fakes.fakes_server import CLASSES, SHAPE, Fake


def test_settings_travel_and_results_come_back(fake: Fake, net: striate.Model) -> None:
    images = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    found = net.attribute(
        images,
        target=["cat", 1, "cat"],
        steps=7,
        baseline=0.25,
        seed=5,
        opacity=0,
        deterministic=True,
        priority="batch",
    )
    (request,) = fake.requests("Attribute")
    assert (request.method, request.steps, request.baseline) == (
        pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
        7,
        0.25,
    )
    assert (list(request.classes), request.seed, request.deterministic) == ([0, 1, 0], 5, True)
    assert request.HasField("overlay_opacity")
    assert request.overlay_opacity == 0
    assert found.values.shape == (3, *SHAPE)
    assert found.objectives == ("logits:0", "logits:1", "logits:0")
    assert found.labels == (CLASSES[0], CLASSES[1], CLASSES[0])
    assert found.deltas is not None
    np.testing.assert_allclose(found.deltas, [0, 0.01, 0.02])
    assert [np.asarray(picture)[0, 0, 0] for picture in found.overlays] == [0, 1, 2]
    assert "sports-car: 0.5" in found._repr_html_()


def test_unset_settings_stay_unset(fake: Fake, net: striate.Model) -> None:
    found = net.attribute(np.zeros((1, *SHAPE), np.float32), "grad-cam", unit="stem:1@0,1")
    (request,) = fake.requests("Attribute")
    assert not request.HasField("baseline")
    assert (
        request.steps,
        request.samples,
        request.noise,
        request.window,
        request.stride,
        request.layer,
    ) == (0, 0, 0, 0, 0, "")
    assert (request.unit, list(request.classes)) == ("stem:1@0,1", [])
    assert found.values.shape == (1, 1, *SHAPE[1:])
    assert (found.layer, found.deltas, found.labels) == ("stem", None, ("",))


def test_rules_of_relevance_travel(fake: Fake, net: striate.Model) -> None:
    x = np.zeros((1, *SHAPE), np.float32)
    net.attribute(x, "lrp", composite="epsilon-gamma-box", epsilon=1e-3, gamma=0.0)
    net.attribute(x, "lrp", composite="alpha-beta", alpha=1.5)
    box, beta = fake.requests("Attribute")
    assert (box.composite, box.epsilon) == (pb.LRP_COMPOSITE_EPSILON_GAMMA_BOX, 1e-3)
    assert box.HasField("gamma")
    assert box.gamma == 0
    assert (beta.composite, beta.alpha) == (pb.LRP_COMPOSITE_ALPHA_BETA, 1.5)
    assert not beta.HasField("gamma")


def test_many_images_go_in_parts_with_their_absolute_numbers(
    fake: Fake, net: striate.Model
) -> None:
    found = net.attribute(np.zeros((150, *SHAPE), np.float32), "smooth-grad", target=2)
    requests = fake.requests("Attribute")
    assert [(r.first_image, len(r.classes)) for r in requests] == [(0, 64), (64, 64), (128, 22)]
    assert found.values[:, 0, 0, 0].tolist() == list(range(150))
    assert (
        len({seen.metadata["x-request-id"] for seen in fake.calls if seen.method == "Attribute"})
        == 3
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"method": "gradcam"}, "method"),
        ({"target": 1, "unit": "stem:1"}, "unit"),
        ({"target": 4}, "target"),
        ({"steps": 0}, "steps"),
        ({"composite": "zplus"}, "composite"),
        ({"alpha": 0.5}, "alpha"),
        ({"noise": 0}, "noise"),
        ({"baseline": 1.5}, "baseline"),
        ({"opacity": -0.1}, "opacity"),
        ({"window": 0}, "window"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named(
    fake: Fake, net: striate.Model, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(striate.InvalidArgument, match=field):
        net.attribute(np.zeros((1, *SHAPE), np.float32), **options)
    assert not fake.requests("Attribute")
