"""Attribute through a real server process, against the library computed here."""

from typing import Any

import numpy as np
import pytest
import torch

import striate
from interp.attribution.deep_lift import deep_lift
from interp.attribution.grad_cam import check_layer, grad_cam
from interp.attribution.integrated_gradients import integrated_gradients
from interp.attribution.lrp import lrp
from interp.attribution.occlusion import occlusion
from interp.attribution.result import Explainer
from interp.attribution.saliency import saliency
from interp.attribution.smooth_grad import smooth_grad
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from interp.seeds import generators
from striate._api.attributions import AttributionName

Digits = tuple[list[bytes], list[int]]
ROWS = 3


def close(found: Any, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(
        found, expected.numpy(), rtol=1e-3, atol=1e-5 * float(expected.abs().max())
    )


def test_gradients_agree_with_the_library(
    net: striate.Model, local: Network, digits: Digits, pixels: torch.Tensor
) -> None:
    x = pixels[:ROWS]
    classes = local.logits(x).argmax(1).tolist()
    objective = activation([LayerPath(LOGITS, c) for c in classes])
    found = net.attribute(digits[0][:ROWS], steps=20, deterministic=True)
    expected = solve(integrated_gradients(x, objective, 20), local)
    close(found.values, expected.values)
    close(found.scores, expected.score)
    assert found.objectives == tuple(f"logits:{c}" for c in classes)
    assert found.labels == tuple(str(c) for c in classes)
    assert found.deltas is not None
    assert np.abs(found.deltas).max() < 1e-3
    again = net.attribute(digits[0][1:ROWS], steps=20, deterministic=True)
    assert np.abs(again.values - found.values[1:]).max() < 1e-6
    unit = LayerPath("c3", 5, (2, 4))
    named = net.attribute(x.numpy(), "saliency", unit=str(unit))
    close(named.values, solve(saliency(x, activation([unit] * ROWS)), local).values)
    assert (named.objectives[0], named.labels[0], named.deltas) == ("c3:5@2,4", "", None)
    noisy = net.attribute(digits[0][:ROWS], "smooth-grad", classes, samples=6, noise=0.2, seed=3)
    close(
        noisy.values, solve(smooth_grad(x, objective, generators(3, 0, ROWS), 6, 0.2), local).values
    )
    covered = net.attribute(digits[0][:ROWS], "occlusion", classes, window=8, stride=8, baseline=0)
    close(covered.values, solve(occlusion(x, objective, 8, 8, 0.0), local).values)


def test_hooks_agree_with_the_library(
    net: striate.Model, local: Network, digits: Digits, pixels: torch.Tensor
) -> None:
    path = LayerPath("f6", 10)
    layer = check_layer(local, path, "")
    methods: list[tuple[AttributionName, Explainer]] = [
        ("deep-lift", deep_lift(local, path)),
        ("lrp", lrp(local, path)),
        ("grad-cam", grad_cam(local, path, layer)),
    ]
    for name, explain in methods:
        found = net.attribute(digits[0][:2], name, unit="f6:10")
        expected = [explain(x[None], path) for x in pixels[:2]]
        close(found.values, torch.cat([e.values for e in expected]))
        close(found.scores, torch.cat([e.score for e in expected]))
        assert (found.deltas is None) == (name == "grad-cam")
        assert found.layer == (layer if name == "grad-cam" else "")
    target = net.attribute(digits[0][:1], "grad-cam", 7, layer="tanh1")
    assert (target.layer, target.objectives) == ("tanh1", ("logits:7",))


def test_pictures(net: striate.Model, digits: Digits) -> None:
    found = net.attribute(digits[0][:1], "deep-lift", opacity=1)
    heat = np.asarray(found.heat_maps[0], np.int64)
    assert heat.shape == (32, 32, 3)
    assert np.array_equal(np.asarray(found.overlays[0]), heat)
    shares = found.values[0].sum(0)
    strong = np.abs(shares) > np.abs(shares).max() / 3
    redder = heat[..., 0] > heat[..., 2]
    assert strong.sum() > 3
    assert np.array_equal(redder[strong], shares[strong] > 0)
    clear = np.asarray(
        net.attribute(digits[0][:1], "deep-lift", opacity=0).overlays[0].convert("L")
    )
    assert np.array_equal(
        clear,
        np.asarray(net.attribute(digits[0][:1], "saliency", opacity=0).overlays[0].convert("L")),
    )


def test_errors_name_what_is_wrong(net: striate.Model, digits: Digits) -> None:
    image = digits[0][:1]
    with pytest.raises(
        striate.FailedPrecondition,
        match="guided backprop does not apply to LeNet5: it has no rectifiers",
    ):
        net.attribute(image, "guided-backprop")
    with pytest.raises(striate.LayerNotFound, match="c3"):
        net.attribute(image, unit="c33:1")
    for options, said in (
        ({"unit": "c3:16"}, "must be from 0 to 15"),
        ({"unit": "c3"}, "layer:unit"),
        ({"method": "grad-cam", "layer": "f6"}, "not computed from"),
        ({"method": "grad-cam", "unit": "c1:0", "layer": "c3"}, "not computed from"),
        ({"method": "occlusion", "window": 4, "stride": 5}, "stride"),
        ({"steps": 1001}, "steps"),
    ):
        with pytest.raises(striate.InvalidArgument, match=said):
            net.attribute(image, **options)
