"""Visualizations: every setting arrives, and every answer is handed on."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import regularize, space, view
from striate._requests.picture_settings import PictureOptions, PictureSettings
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_server import Fake, png
from tests.client.toys_pictures import SENT, SETTINGS

PIXELS = np.full((2, 3, 4, 5), 0.5, np.float32)


def test_every_setting_of_a_visualization_arrives(fake: Fake, net: striate.Model) -> None:
    objectives: list[str | striate.Objective] = [
        "stem:0",
        striate.Unit("stem:1") - 2 * striate.Unit("head"),
    ]
    found = net.visualize(
        objectives,
        variants=2,
        diversity=("stem", 0.5),
        start=PIXELS,
        preview_every=4,
        include_tensor=True,
        **SETTINGS,
    )
    expected = pb.VisualizeRequest(model="tiny", settings=SENT)
    expected.composed.add().terms.add(unit="stem:0")
    expected.composed.add().terms.extend([pb.Term(unit="stem:1"), pb.Term(unit="head", weight=-2)])
    expected.variants, expected.preview_every, expected.include_tensor = 2, 4, True
    expected.diversity.CopyFrom(pb.Diversity(layer="stem", weight=0.5))
    expected.start.tensor.CopyFrom(
        types_pb2.Tensor(
            dtype=types_pb2.DATA_TYPE_FLOAT32, shape=PIXELS.shape, data=PIXELS.tobytes()
        )
    )
    (request,) = fake.requests("Visualize")
    assert request == expected
    assert unset(request) == {"objectives"}, "nothing that the contract has is out of reach"
    assert unset(request.settings) == {"without_transforms"}
    assert [(one.objective, one.variant) for one in found] == [
        ("stem:0", 0),
        ("stem:0", 1),
        ("stem:1 + head", 0),
        ("stem:1 + head", 1),
    ]
    np.testing.assert_array_equal(
        np.stack([one.tensor for one in found]),  # type: ignore[misc]
        np.arange(48).reshape(4, 3, 2, 2),
    )


def unset(message: Any) -> set[str]:
    """The fields of a message that are not set."""
    fields = message.DESCRIPTOR.fields_by_name
    return set(fields) - {field.name for field, _ in message.ListFields()}


@pytest.mark.parametrize(
    ("settings", "field", "sent"),
    [
        ({"transforms": False}, "without_transforms", True),
        ({"transforms": []}, "without_transforms", True),
        (
            {"parameterization": space.Fourier()},
            "parameterization",
            pb.Parameterization(fourier=pb.Fourier()),
        ),
        (
            {"parameterization": space.Fourier(0)},
            "parameterization",
            pb.Parameterization(fourier=pb.Fourier(decay=0)),
        ),
        (
            {"parameterization": space.Fourier(contrast=3)},
            "parameterization",
            pb.Parameterization(fourier=pb.Fourier(contrast=3)),
        ),
        (
            {"parameterization": space.Pixels()},
            "parameterization",
            pb.Parameterization(pixels=pb.Pixels()),
        ),
        (
            {"parameterization": space.Cppn(3, 4)},
            "parameterization",
            pb.Parameterization(cppn=pb.Cppn(depth=3, width=4)),
        ),
        ({"alpha": True}, "parameterization", pb.Parameterization(alpha=True)),
        ({"dataset": "digits"}, "certification", pb.Certification(dataset="digits")),
        ({"seeds": 2}, "certification", pb.Certification(seeds=2)),
    ],
)
def test_settings_one_by_one(
    fake: Fake, net: striate.Model, settings: dict[str, Any], field: str, sent: Any
) -> None:
    net.visualize(["stem:0"], **settings)
    (request,) = fake.requests("Visualize")
    assert getattr(request.settings, field) == sent
    assert [one.name for one, _ in request.settings.ListFields()] == [field]


def test_diversity_without_a_weight(fake: Fake, net: striate.Model) -> None:
    net.visualize(["stem:0"], diversity="stem", variants=2)
    (request,) = fake.requests("Visualize")
    assert request.diversity == pb.Diversity(layer="stem")


def test_a_kind_of_space_that_holds_nothing_is_still_named(fake: Fake, net: striate.Model) -> None:
    net.visualize(
        "stem:0",
        parameterization=space.Pixels(),
        regularizers=[regularize.Blur()],
        transforms=[view.Crop(), view.Jitter(0)],
    )
    request = fake.requests("Visualize")[0].settings
    assert request.parameterization.WhichOneof("kind") == "pixels"
    assert request.regularizers[0].WhichOneof("kind") == "blur"
    assert [one.WhichOneof("kind") for one in request.transforms] == ["crop", "jitter"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda net: net.visualize("stem:0", variants=17), "variants"),
        (lambda net: net.visualize("stem:0", variants=0), "variants"),
        (lambda net: net.visualize("stem:0", diversity="stem"), "diversity"),
        (lambda net: net.visualize("stem:0", diversity=("stem", 0), variants=2), "diversity"),
        (lambda net: net.visualize(["stem:0"] * 3, start=PIXELS), "start"),
        (lambda net: net.visualize("stem:0", start=7), "start"),
        (lambda net: net.visualize("stem:0", seed=2**64), "seed"),
        (lambda net: net.visualize("stem:0", seeds=17), "seeds"),
        (lambda net: net.visualize("stem:0", retries=9), "retries"),
        (lambda net: net.visualize("stem:0", parameterization="cppn"), "parameterization"),
        (lambda net: net.visualize("stem:0", transforms=view.Jitter(0.1)), "transforms"),
        (lambda net: net.visualize("stem:0", transforms=["jitter"]), "transforms"),
        (lambda net: net.visualize("stem:0", transforms=[view.Jitter(0.1)] * 17), "transforms"),
        (lambda net: net.visualize("stem:0", regularizers=[view.Jitter(0.1)]), "regularizers"),
        (lambda net: net.visualize("stem:0", regularizers=[regularize.L1(1)] * 9), "regularizers"),
        (lambda net: net.visualize([7]), "objectives"),
        (lambda net: net.visualize(["stem:*", "stem:0"]), "objectives"),
        (lambda net: net.visualize("stem:*", variants=2), "objectives"),
        (lambda net: net.visualize_layer("stem", units=range(3, 3)), "units"),
        (lambda net: net.visualize_layer("stem", units=range(0, 4, 2)), "units"),
        (lambda net: net.facets("stem:1", dataset="digits", exemplars=1), "exemplars"),
        (lambda net: net.facets("stem:1", dataset="digits", facets=9), "facets"),
        (lambda net: net.dossier("stem:1", dataset="digits", epsilon=2), "epsilon"),
        (lambda net: net.dossier("stem:1", dataset="digits", epsilon=0.0), "epsilon"),
        (lambda net: net.dossier("stem:1", dataset="digits", pictures=5), "pictures"),
        (lambda net: space.Fourier(5), "decay"),
        (lambda net: space.Fourier(contrast=0), "contrast"),
        (lambda net: space.Cppn(depth=0), "depth"),
        (lambda net: space.Maco(""), "dataset"),
        (lambda net: space.Maco("a", transparency=101), "transparency"),
        (lambda net: regularize.L2(0), "weight"),
        (lambda net: regularize.Blur(0.2), "sigma"),
        (lambda net: regularize.Blur(every=0), "every"),
        (lambda net: regularize.Clip(1.0), "share"),
        (lambda net: view.Jitter(0.6), "share"),
        (lambda net: view.Rotate(-1), "degrees"),
        (lambda net: view.Crop(0), "side"),
        (lambda net: view.Mirror(2), "probability"),
    ],
)
def test_settings_out_of_range_are_refused(net: striate.Model, make: Any, field: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make(net)
    assert list(caught.value.fields) == [field]


def test_an_unknown_setting_is_a_programming_error(net: striate.Model) -> None:
    with pytest.raises(TypeError, match="stepz"):
        net.visualize("stem:0", stepz=3)  # type: ignore[call-overload]


def test_start_images_of_every_form(fake: Fake, net: striate.Model) -> None:
    net.visualize(["stem:0", "stem:1"], start=[Image.new("RGB", (3, 3)), png(4, 5, 1)])
    net.visualize(["stem:0", "stem:1"], start=png(4, 5, 1))
    first, second = fake.requests("Visualize")
    assert (len(first.start.encoded), list(second.start.encoded)) == (2, [png(4, 5, 1)])


def test_names_that_are_read_late_are_there() -> None:
    assert set(striate.__all__) <= set(dir(striate))
    for name in striate.__all__:
        assert getattr(striate, name) is not None
    with pytest.raises(AttributeError, match="Visualisation"):
        _ = striate.Visualisation


def test_type_checkers_know_every_setting() -> None:
    assert set(PictureOptions.__annotations__) == {field.name for field in fields(PictureSettings)}
