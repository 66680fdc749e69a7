"""Filters, tuning curves and activations from request to response, on the embedded networks in this
process.
"""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from interp.filters.analysis import analyze_filters, sort_filters
from interp.filters.spectra import render_spectra
from interp.filters.weights import filter_weights, render_filters
from interp.layer import UnknownLayer
from service.imaging import png
from service.models.zoo import ModelZoo, UnknownModel
from service.rpc.compute import Compute
from service.rpc.handlers.activations import ActivationHandler
from service.rpc.handlers.filters import FilterHandler
from service.rpc.handlers.tuning import TuningHandler
from service.rpc.validation import InvalidField
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import filters_pb2 as pb
from striate.v1 import types_pb2
from tests.service.engine.toys_engine import running

DIGITS, CIFAR = "digits-lenet5", "cifar10-plain"
CONTEXT: Any = SimpleNamespace(time_remaining=lambda: None)


@dataclass
class Place:
    zoo: ModelZoo
    compute: Compute

    def filters(self, model: str = CIFAR, **fields: Any) -> pb.RenderFiltersResponse:
        return asyncio.run(
            FilterHandler(self.zoo, self.compute).render_filters(
                pb.RenderFiltersRequest(model=model, **fields), CONTEXT
            )
        )

    def tuning(self, model: str = CIFAR, **fields: Any) -> pb.MeasureTuningResponse:
        return asyncio.run(
            TuningHandler(self.zoo, self.compute).measure_tuning(
                pb.MeasureTuningRequest(model=model, **fields), CONTEXT
            )
        )

    def activations(self, model: str = CIFAR, **fields: Any) -> pb.GetActivationsResponse:
        return asyncio.run(
            ActivationHandler(self.zoo, self.compute).get_activations(
                pb.GetActivationsRequest(model=model, **fields), CONTEXT
            )
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with running() as engine, ThreadPoolExecutor(1) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        for name in (DIGITS, CIFAR):
            zoo.load(name)
        yield Place(zoo, Compute(engine, pool))


def array(message: types_pb2.Tensor) -> NDArray[Any]:
    return wire_tensors.to_array(message, "tensor")


def picture(data: bytes) -> NDArray[np.uint8]:
    shown = np.asarray(Image.open(io.BytesIO(data)))
    return shown if shown.ndim == 3 else shown[..., None]


def image(channels: int = 3) -> types_pb2.ImageBatch:
    levels = np.random.default_rng(4).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    return types_pb2.ImageBatch(encoded=[png(levels.transpose(2, 0, 1))])


def test_filters_as_they_were_unless_asked_otherwise(place: Place) -> None:
    weights = filter_weights(place.zoo.get(CIFAR).network, "conv1")
    found = place.filters()
    np.testing.assert_array_equal(array(found.weights), weights.numpy())
    np.testing.assert_array_equal(picture(found.png), render_filters(weights))
    assert (found.layer, list(found.order), list(found.analyses), found.spectra_png) == (
        "conv1",
        list(range(32)),
        [],
        b"",
    )
    assert found.provenance.model == CIFAR


@pytest.mark.parametrize("order", ["orientation", "hue"])
def test_filters_in_order(place: Place, order: Any) -> None:
    weights = filter_weights(place.zoo.get(CIFAR).network, "conv1")
    analyses = analyze_filters(weights)
    expected = sort_filters(analyses, order)
    code = {"orientation": pb.FILTER_ORDER_ORIENTATION, "hue": pb.FILTER_ORDER_HUE}[order]
    found = place.filters(
        order=code, analyze=True, spectra=True, scale=pb.FILTER_SCALE_GLOBAL, zoom=2
    )
    assert list(found.order) == expected
    np.testing.assert_array_equal(array(found.weights), weights.numpy())
    np.testing.assert_array_equal(
        picture(found.png), render_filters(weights[expected], "global", 2)
    )
    np.testing.assert_array_equal(
        picture(found.spectra_png), render_spectra(weights[expected], "global", 2)
    )
    for told, known in zip(found.analyses, analyses, strict=True):
        fit, colour = known.gabor, known.colour
        told_fit = (
            told.orientation,
            told.wavelength,
            told.phase,
            told.sigma_across,
            told.sigma_along,
            told.center_row,
            told.center_column,
        )
        known_fit = (
            fit.orientation,
            fit.wavelength,
            fit.phase,
            fit.across,
            fit.along,
            fit.row,
            fit.column,
        )
        assert told_fit == pytest.approx(known_fit, rel=1e-5, abs=1e-4)
        shares = told.r_squared, told.color_share, told.opponency
        assert shares == pytest.approx(
            (fit.r_squared, colour.share, colour.opponency), rel=1e-5, abs=1e-6
        )
        assert (told.hue, told.peak_wavelength) == pytest.approx(
            (colour.hue, known.peak_wavelength), rel=1e-5
        )


def test_deeper_filters_are_drawn_but_not_analyzed(place: Place) -> None:
    assert len(picture(place.filters(DIGITS, layer="c3", spectra=True).spectra_png)) == len(
        picture(place.filters(DIGITS, layer="c3").png)
    )
    for field, settings in (
        ("order", {"order": pb.FILTER_ORDER_HUE}),
        ("analyze", {"analyze": True}),
    ):
        with pytest.raises(InvalidField, match=f"^{field}: .*6 input channels"):
            place.filters(DIGITS, layer="c3", **settings)


@contextmanager
def dilated(place: Place, down: int, across: int) -> Iterator[None]:
    """The first convolution as if its weights lay further apart."""
    infos = place.zoo.get(CIFAR).layers
    before = infos[0]
    assert before.name == "conv1"
    infos[0] = replace(before, dilation=(down, across))
    try:
        yield
    finally:
        infos[0] = before


def test_lengths_are_in_pixels_of_dilated_layers_too(place: Place) -> None:
    plain = place.filters(analyze=True).analyses[0]
    with dilated(place, 2, 2):
        wide = place.filters(analyze=True).analyses[0]
    for name in (
        "wavelength",
        "sigma_across",
        "sigma_along",
        "center_row",
        "center_column",
        "peak_wavelength",
    ):
        assert getattr(wide, name) == pytest.approx(2 * getattr(plain, name))
    assert (wide.orientation, wide.phase, wide.r_squared) == (
        plain.orientation,
        plain.phase,
        plain.r_squared,
    )
    with dilated(place, 2, 1):
        assert place.filters().layer == "conv1"
        with pytest.raises(InvalidField, match=r"^order: .*dilated by 2 down and by 1 across"):
            place.filters(order=pb.FILTER_ORDER_ORIENTATION)


def test_angles_stay_below_their_period_in_float32() -> None:
    assert (
        wire_filters.angle(179.9999999, 180),
        wire_filters.angle(90, 180),
        wire_filters.angle(360, 360),
    ) == (0, 90, 0)


def test_tuning_of_every_kind_of_layer(place: Place) -> None:
    network = place.zoo.get(CIFAR).network
    found = place.tuning(orientations=4, wavelengths=[4, 8], phases=4, contrast=0.5)
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
    assert picture(found.png).shape == (4 * 148, 8 * 132, 3)
    deep = place.tuning(DIGITS, layer="c3", orientations=4)
    assert array(deep.responses).shape == (16, 6, 4)
    assert deep.wavelengths[0] == pytest.approx(2.5)
    assert len(place.tuning(layer="layer2", phases=1, wavelengths=[8], orientations=4).units) == 128


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
def test_tuning_out_of_range(place: Place, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidField, match=f"^{problem}: "):
        place.tuning(**settings)


def test_activations_of_a_map_and_of_logits(place: Place) -> None:
    model = place.zoo.get(CIFAR)
    x = wire_images.decode_batch(image(), model.preprocessing)
    maps = model.network.activations(x, ["conv1", "logits"])
    found = place.activations(image=image(), layer="conv1")
    best = maps["conv1"][0].flatten(1).amax(1)
    order = sorted(range(32), key=lambda unit: -best[unit].item())
    assert (found.layer, [one.unit for one in found.units]) == ("conv1", order[:16])
    np.testing.assert_allclose(
        array(found.activations), maps["conv1"][0, order[:16]], rtol=1e-4, atol=1e-5
    )
    top = found.units[0]
    assert maps["conv1"][0, top.unit, top.row, top.column].item() == pytest.approx(
        top.value, rel=1e-5
    )
    assert picture(found.png).shape == (4 * 65 + 1, 4 * 65 + 1, 3)
    whole = place.activations(
        image=image(), layer="conv1", k=4096, all_units=True, order=pb.ACTIVATION_ORDER_MAGNITUDE
    )
    np.testing.assert_allclose(array(whole.activations), maps["conv1"][0], rtol=1e-4, atol=1e-5)
    assert len(whole.units) == 32
    assert whole.units[0].value == pytest.approx(maps["conv1"].abs().max().item(), rel=1e-5)
    logits = place.activations(image=image(), layer="logits", k=3, order=pb.ACTIVATION_ORDER_MEAN)
    expected = maps["logits"][0].topk(3)
    assert [one.label for one in logits.units] == [model.classes[i] for i in expected.indices]
    assert [one.value for one in logits.units] == pytest.approx(expected.values.tolist(), rel=1e-4)
    assert array(logits.activations).shape == (3,)
    assert place.activations(DIGITS, image=image(1), layer="c1").units[0].label == ""


TORN = types_pb2.Tensor(dtype=types_pb2.DATA_TYPE_FLOAT32, shape=[1], data=b"abc")
TWO = types_pb2.ImageBatch(encoded=[*image().encoded, *image().encoded])


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
def test_activations_out_of_range(place: Place, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        place.activations(**dict[str, Any](image=image(), layer="conv1") | settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"zoom": 33}, "zoom"),
        ({"scale": 5}, "scale"),
        ({"order": 7}, "order"),
        ({"layer": "fc"}, "layer"),
    ],
)
def test_filters_out_of_range(place: Place, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidField, match=f"^{problem}: "):
        place.filters(**settings)


def test_unknown_names(place: Place) -> None:
    for call in (
        place.filters,
        place.tuning,
        lambda **fields: place.activations(image=image(), **fields),
    ):
        with pytest.raises(UnknownLayer):
            call(layer="conv9")
    for again in (place.filters, place.tuning, place.activations):
        with pytest.raises(UnknownModel):
            again("cifar10")


def test_maps_too_large_for_an_answer_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_images, "MOST_BYTES", 32 * 32 * 7 * 16)
    assert len(place.activations(image=image(), layer="conv1").units) == 16
    for field, settings in (("k", {"k": 17}), ("all_units", {"all_units": True})):
        with pytest.raises(InvalidField, match=f"^{field}: .*too large"):
            place.activations(image=image(), layer="conv1", **settings)
