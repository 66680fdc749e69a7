"""Activations from request to response, on the embedded networks in this process."""

import asyncio
from typing import Any

import numpy as np
import pytest

from interp.layer import UnknownLayer
from service.models.zoo import UnknownModel
from service.rpc.handlers.activations import ActivationHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from striate.v1 import filters_pb2 as pb
from striate.v1 import types_pb2
from tests.service.rpc.handlers.toys_hosted import CIFAR, DIGITS, Hosted, array, noise_image, pixels
from tests.service.rpc.toys_studio import CALL


def activations(hosted: Hosted, model: str = CIFAR, **fields: Any) -> pb.GetActivationsResponse:
    """GetActivations's response."""
    handler = ActivationHandler(hosted.zoo, hosted.compute)
    return asyncio.run(
        handler.get_activations(pb.GetActivationsRequest(model=model, **fields), CALL)
    )


def test_activations_of_a_map_and_of_logits(hosted: Hosted) -> None:
    model = hosted.zoo.get(CIFAR)
    x = wire_images.decode_batch(noise_image(), model.preprocessing)
    maps = model.network.activations(x, ["conv1", "logits"])
    found = activations(hosted, image=noise_image(), layer="conv1")
    best = maps["conv1"][0].flatten(1).amax(1)
    order = sorted(range(32), key=lambda unit: -best[unit].item())
    assert (found.layer, [one.unit for one in found.units]) == ("conv1", order[:16])
    np.testing.assert_allclose(
        array(found.activations),
        maps["conv1"][0, order[:16]],
        rtol=1e-4,
        atol=1e-5,
    )
    top = found.units[0]
    assert maps["conv1"][0, top.unit, top.row, top.column].item() == pytest.approx(
        top.value, rel=1e-5
    )
    assert pixels(found.png).shape == (4 * 65 + 1, 4 * 65 + 1, 3)
    whole = activations(
        hosted,
        image=noise_image(),
        layer="conv1",
        k=4096,
        all_units=True,
        order=pb.ACTIVATION_ORDER_MAGNITUDE,
    )
    np.testing.assert_allclose(array(whole.activations), maps["conv1"][0], rtol=1e-4, atol=1e-5)
    assert len(whole.units) == 32
    assert whole.units[0].value == pytest.approx(maps["conv1"].abs().max().item(), rel=1e-5)
    logits = activations(
        hosted, image=noise_image(), layer="logits", k=3, order=pb.ACTIVATION_ORDER_MEAN
    )
    expected = maps["logits"][0].topk(3)
    assert [one.label for one in logits.units] == [model.classes[i] for i in expected.indices]
    assert [one.value for one in logits.units] == pytest.approx(expected.values.tolist(), rel=1e-4)
    assert array(logits.activations).shape == (3,)
    assert activations(hosted, DIGITS, image=noise_image(1), layer="c1").units[0].label == ""


TORN = types_pb2.Tensor(dtype=types_pb2.DATA_TYPE_FLOAT32, shape=[1], data=b"abc")
TWO = types_pb2.ImageBatch(encoded=[*noise_image().encoded, *noise_image().encoded])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image": None}, "image"),
        ({"image": TWO}, r"image \(their number\)"),
        ({"image": types_pb2.ImageBatch(encoded=[b"no picture"])}, r"image.encoded\[0\]"),
        (
            {"image": types_pb2.ImageBatch(tensor=TORN)},
            "image.tensor",
        ),
        ({"layer": ""}, "layer"),
        ({"layer": "conv1:2"}, "layer"),
        ({"k": 4097}, "k"),
        ({"order": 9}, "order"),
    ],
)
def test_activations_out_of_range(hosted: Hosted, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        activations(hosted, **dict[str, Any](image=noise_image(), layer="conv1") | settings)


def test_maps_too_large_for_an_answer_are_refused(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_images, "MOST_BYTES", 32 * 32 * 7 * 16)
    assert len(activations(hosted, image=noise_image(), layer="conv1").units) == 16
    for field, settings in (("k", {"k": 17}), ("all_units", {"all_units": True})):
        with pytest.raises(InvalidField, match=f"^{field}: .*too large"):
            activations(hosted, image=noise_image(), layer="conv1", **settings)


def test_unknown_names(hosted: Hosted) -> None:
    with pytest.raises(UnknownLayer):
        activations(hosted, image=noise_image(), layer="conv9")
    with pytest.raises(UnknownModel):
        activations(hosted, "cifar10")
