"""Tuning curves from request to response, on the embedded networks in this process."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch

from interp.layer import UnknownLayer
from service.models.zoo import UnknownModel
from service.rpc.handlers.tuning import TuningHandler
from service.rpc.validation import InvalidField
from striate.v1 import filters_pb2 as pb
from tests.service.rpc.handlers.toys_hosted import CIFAR, DIGITS, Hosted, array, pixels
from tests.service.rpc.toys_studio import CALL


def tuning(hosted: Hosted, model: str = CIFAR, **fields: Any) -> pb.MeasureTuningResponse:
    """MeasureTuning's response."""
    handler = TuningHandler(hosted.zoo, hosted.compute)
    return asyncio.run(handler.measure_tuning(pb.MeasureTuningRequest(model=model, **fields), CALL))


def test_tuning_of_every_kind_of_layer(hosted: Hosted) -> None:
    network = hosted.zoo.get(CIFAR).network
    found = tuning(hosted, orientations=4, wavelengths=[4, 8], phases=4, contrast=0.5)
    assert (found.layer, list(found.orientations), list(found.wavelengths)) == (
        "conv1",
        [0, 45, 90, 135],
        [4, 8],
    )
    responses = array(found.responses)
    assert responses.shape == (32, 2, 4)
    column = np.arange(32) - 15.5
    waves = [0.5 + 0.25 * np.cos(2 * np.pi * column / 8 + phase * np.pi / 2) for phase in range(4)]
    x = torch.from_numpy(
        np.stack([np.broadcast_to(wave, (3, 32, 32)) for wave in waves])
    ).float()  # vertical bars
    maps = network.activations(x, ["conv1"])["conv1"][
        :, :, 3:-3, 3:-3
    ]  # 7 x 7 windows that see no padding
    np.testing.assert_allclose(responses[:, 1, 2], maps.amax(0).mean((1, 2)), rtol=1e-4, atol=1e-4)
    assert [one.response for one in found.units] == pytest.approx(responses.max((1, 2)).tolist())
    assert pixels(found.png).shape == (4 * 148, 8 * 132, 3)
    deep = tuning(hosted, DIGITS, layer="c3", orientations=4)
    assert array(deep.responses).shape == (16, 6, 4)
    assert deep.wavelengths[0] == pytest.approx(2.5)
    assert (
        len(tuning(hosted, layer="layer2", phases=1, wavelengths=[8], orientations=4).units) == 128
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layer": "fc"}, "layer"),
        ({"layer": "logits"}, "layer"),
        ({"layer": "conv1:3"}, "layer"),
        ({"layer": "x y"}, "layer"),
        ({"orientations": 3}, "orientations"),
        ({"orientations": 73}, "orientations"),
        ({"wavelengths": [4] * 17}, "wavelengths"),
        ({"wavelengths": [4, 1.9]}, r"wavelengths\[1\]"),
        ({"wavelengths": [33]}, r"wavelengths\[0\]"),
        ({"wavelengths": [float("nan")]}, r"wavelengths\[0\]"),
        ({"phases": 17}, "phases"),
        ({"contrast": 1.5}, "contrast"),
        ({"contrast": -0.5}, "contrast"),
        ({"contrast": float("nan")}, "contrast"),
        ({"priority": 9}, "priority"),
    ],
)
def test_tuning_out_of_range(hosted: Hosted, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidField, match=f"^{problem}: "):
        tuning(hosted, **settings)


def test_unknown_names(hosted: Hosted) -> None:
    with pytest.raises(UnknownLayer):
        tuning(hosted, layer="conv9")
    with pytest.raises(UnknownModel):
        tuning(hosted, "cifar10")
