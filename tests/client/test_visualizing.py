"""Visualizations, facets and dossiers: every setting arrives, and every answer is handed on."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import regularize, space, view
from striate._requests.picture_options import PictureOptions
from striate._requests.visualize import Settings
from striate.v1 import dossier_pb2, types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes_pictures import HTML, UNITS
from tests.client.fakes_server import CLASSES, DATASET_SIZE, Fake, png

PIXELS = np.full((2, 3, 4, 5), 0.5, np.float32)
SETTINGS: dict[str, Any] = {
    "steps": 9,
    "learning_rate": 0.5,
    "seed": 2**63,
    "size": 32,
    "transforms": [
        view.Jitter(0.25),
        view.Rotate(90),
        view.Scale(0.5),
        view.Pad(0.125),
        view.Crop(0.5, 0),
        view.Noise(0.75),
        view.Mirror(),
    ],
    "parameterization": space.Maco("photos", images=7, transparency=0),
    "alpha": True,
    "regularizers": [
        regularize.L1(1),
        regularize.L2(2),
        regularize.TotalVariation(3),
        regularize.Blur(0.0625, 5),
        regularize.Clip(0.5, 6),
    ],
    "dataset": "digits",
    "seeds": 4,
    "retries": 0,
    "deterministic": True,
    "priority": "batch",
}
SENT = pb.PictureSettings(
    steps=9,
    learning_rate=0.5,
    seed=2**63,
    size=32,
    transforms=[
        pb.Transform(jitter=0.25),
        pb.Transform(rotate=90),
        pb.Transform(scale=0.5),
        pb.Transform(pad=0.125),
        pb.Transform(crop=pb.CropTransform(side=0.5, deviation=0)),
        pb.Transform(noise=0.75),
        pb.Transform(mirror=0.5),
    ],
    parameterization=pb.Parameterization(
        maco=pb.Maco(dataset="photos", images=7, transparency=0), alpha=True
    ),
    regularizers=[
        pb.Regularizer(l1=1),
        pb.Regularizer(l2=2),
        pb.Regularizer(total_variation=3),
        pb.Regularizer(blur=pb.BlurRegularizer(sigma=0.0625, every=5)),
        pb.Regularizer(clip=pb.ClipRegularizer(share=0.5, every=6)),
    ],
    certification=pb.Certification(dataset="digits", seeds=4, retries=0),
    deterministic=True,
    priority=types_pb2.PRIORITY_BATCH,
)


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


def test_one_many_and_variants(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    assert net.visualize(striate.Unit("stem:1")).objective == "stem:1"
    assert net.visualize("stem:1 - stem:0").objective == "stem:1 + stem:0"
    assert [one.variant for one in net.visualize("stem:1", variants=3)] == [0, 1, 2]
    assert len(net.visualize("stem:1", variants=1)) == 1
    assert len(net.visualize(striate.interpolate("stem:0", "stem:1", 3))) == 3
    sent = fake.requests("Visualize")
    assert [(list(one.objectives), len(one.composed)) for one in sent] == [
        (["stem:1"], 0),
        ([], 1),
        (["stem:1"], 0),
        (["stem:1"], 0),
        ([], 3),
    ]
    paths = net.visualize(["stem:1", "stem:0"], variants=2).save(tmp_path)
    assert [path.name for path in paths] == [
        "stem-1.png",
        "stem-1-2.png",
        "stem-0.png",
        "stem-0-2.png",
    ]
    assert [path.read_bytes() for path in paths] == [png(4, 5, place) for place in range(4)]


def test_long_names_are_cut_for_files(net: striate.Model, tmp_path: Path) -> None:
    long = " + ".join(f"stem:{unit}" for unit in range(16)) + "0" * 100
    first, second = net.visualize([long, long + "1"]).save(tmp_path)
    assert first != second
    assert max(len(path.name) for path in (first, second)) < 130


def test_certificates(net: striate.Model) -> None:
    one, two = net.visualize(["stem:0", "stem:1"], dataset="digits")
    assert two.certificate == striate.Certificate(
        activation=1,
        held_out=0.5,
        held_out_minimum=-1,
        dataset_maximum=2,
        ratio=0.5,
        held_out_ratio=0.25,
        percentile=0.5,
        dataset="digits",
        images=DATASET_SIZE,
        rank=1,
        units=UNITS,
        relative_rank=None,
        seed_activations=(1, 2),
        attempts=3,
        seed=2**40,
        learning_rate=0.25,
    )
    assert one.certificate is not None
    assert one.certificate.ratio == 0, "0 is a value"
    html = one._repr_html_()
    for words in (
        "0 times the data set",
        "0 held out",
        "above 50.00% of its images",
        f"rank 1 of {UNITS}",
        "other seeds 1 to 2",
    ):
        assert words in html
    assert net.visualize("stem:0").certificate is None
    bare = striate.Certificate.read(pb.Certificate(activation=3))
    assert (bare.ratio, bare.percentile, bare.rank, bare.dataset, str(bare)) == (
        None,
        None,
        None,
        "",
        "",
    )


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


def test_facets(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.facets("stem:1", exemplars=30, facets=2, by_layer="root", **SETTINGS)
    (request,) = fake.requests("FindFacets")
    assert request == pb.FindFacetsRequest(
        model="tiny",
        settings=SENT,
        unit="stem:1",
        dataset="digits",
        exemplars=30,
        facets=2,
        by_layer="root",
    )
    assert (found.unit, found.by_layer, found.silhouette, found.provenance.model) == (
        "stem:1",
        "root",
        0.5,
        "tiny",
    )
    assert [(one.share, one.ids, one.visualization.activation) for one in found] == [
        (0.75, (0, 1), 3),
        (0.25, (10, 11), 2),
    ]
    assert found[1].crops[0].getpixel((0, 0)) == (1, 1, 1)
    names = [path.name for path in found.save(tmp_path)]
    assert names == [
        f"facet-{place}{rest}.png" for place in (0, 1) for rest in ("", "-crop-0", "-crop-1")
    ]
    assert (tmp_path / "facet-1-crop-1.png").read_bytes() == png(3, 3, 50)
    assert found._repr_html_().count("<img") == 6
    net.facets("stem:1", dataset="digits")
    bare = fake.requests("FindFacets")[1]
    assert bare == pb.FindFacetsRequest(
        model="tiny",
        settings=pb.PictureSettings(certification=pb.Certification(dataset="digits")),
        unit="stem:1",
        dataset="digits",
    )


def test_dossier(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "pictures": 2,
        "exemplars": 3,
        "images": 10,
        "epsilon": 0.25,
        "attack_steps": 7,
        "facets": True,
    }
    found = net.dossier("stem:1", **wanted, **SETTINGS)
    (request,) = fake.requests("CompileDossier")
    assert request == dossier_pb2.CompileDossierRequest(
        model="tiny", settings=SENT, unit="stem:1", dataset="digits", **wanted
    )
    assert [one.variant for one in found.visualizations] == [0, 1]
    assert [one.id for one in found.exemplars] == [0, 1, 2]
    assert (found.exemplars.unit, found.exemplars.images) == ("stem:1", DATASET_SIZE)
    assert (found.statistics.maximum, found.statistics.images, found.statistics.counts) == (
        2,
        DATASET_SIZE,
        (DATASET_SIZE - 7, 7),
    )
    assert found.tuning is not None
    assert (found.tuning.orientation, found.tuning.wavelength) == (45, 4)
    (shift,), (flip,) = found.logit_shifts, found.flips
    assert (shift.index, shift.label, shift.mean, shift.standard_error) == (
        1,
        CLASSES[1],
        0.5,
        0.125,
    )
    assert (flip.unit, flip.share, flip.shift, flip.rank) == (1, 0.25, -2, 3)
    assert len(found.facets) == 2
    assert found.save(tmp_path / "new" / "page.html").read_text() == found.html == HTML
    assert "&lt;title&gt;stem:1 &amp;amp; co" not in found._repr_html_()
    assert "&lt;title&gt;stem:1 &amp; co" in found._repr_html_()
    assert net.dossier("head:1", dataset="digits").tuning is None


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
    assert set(PictureOptions.__annotations__) == {field.name for field in fields(Settings)}
