"""The handle's calls and what they return: values, files and what a notebook shows."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.v1 import attack_pb2, types_pb2, visualize_pb2
from tests.client.fakes_server import (
    CLASSES,
    DATASET_SIZE,
    DIGEST,
    SHAPE,
    Fake,
    adversarial,
    favourite,
    png,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


def pictures_in(html: str) -> list[bytes]:
    """The PNG files that a notebook would show."""
    found = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", html)]
    for data in found:
        Image.open(io.BytesIO(data)).verify()
    return found


def test_every_result_says_where_it_came_from(fake: Fake, net: striate.Model) -> None:
    many = net.visualize(["stem:0", "stem:1"])
    results: list[Any] = [
        net.classify(IMAGES),
        net.visualize("stem:0"),
        many,
        net.filters(),
        net.exemplars("stem:0", dataset="digits"),
        net.attack(IMAGES, None, striate.FGSM()),
    ]
    for result in results:
        assert isinstance(result.provenance, striate.Provenance)
        assert (
            result.provenance.model,
            result.provenance.model_digest,
            result.provenance.service_version,
        ) == ("tiny", DIGEST, "7.8.9")
    sent = [seen.metadata["x-request-id"] for seen in fake.calls if seen.method != "GetModel"]
    assert sorted(str(sent_id) for sent_id in sent) == sorted(
        result.provenance.request_id for result in results
    )
    assert many[1].provenance == many.provenance


def test_classify(fake: Fake, net: striate.Model) -> None:
    found = net.classify(IMAGES, k=2)
    assert fake.requests("Classify")[0].k == 2
    assert [len(row) for row in found] == [2] * 10
    first = found[3][0]
    assert (first.index, first.label, first.probability) == (
        (i := favourite(IMAGES[3].tobytes())),
        CLASSES[i],
        0.5,
    )
    assert found._repr_html_().count("<tr>") == 1 + 20


def test_visualize_one_and_many(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    one = net.visualize(
        "stem:1",
        steps=5,
        learning_rate=0.1,
        seed=3,
        size=32,
        transforms=False,
        deterministic=True,
        priority="batch",
    )
    (request,) = fake.requests("Visualize")
    assert list(request.objectives) == ["stem:1"]
    assert request.settings == visualize_pb2.PictureSettings(
        steps=5,
        learning_rate=0.1,
        seed=3,
        size=32,
        without_transforms=True,
        deterministic=True,
        priority=types_pb2.PRIORITY_BATCH,
    )
    assert (one.objective, one.activation, one.dead) == ("stem:1", 0, False)
    assert one.image.size == (32, 32)
    many = net.visualize(["stem:0", "stem:1@2,3"])
    assert [item.dead for item in many] == [False, True]
    assert [path.name for path in many.save(tmp_path / "new")] == ["stem-0.png", "stem-1-2-3.png"]
    assert (tmp_path / "new" / "stem-0.png").read_bytes() == many[0].png


def test_unset_settings_stay_unset(fake: Fake, net: striate.Model) -> None:
    net.visualize("stem:1")
    net.filters()
    net.attack(IMAGES, None, striate.PGD())
    (visualize,), (filters,), (attack,) = (
        fake.requests(name) for name in ("Visualize", "RenderFilters", "Attack")
    )
    assert {field.name for field, _ in visualize.ListFields()} == {
        *("model", "objectives", "settings")
    }
    assert not visualize.settings.ListFields()
    assert {field.name for field, _ in filters.ListFields()} <= {"model", "scale"}
    assert not attack.method.pgd.HasField("step")
    assert attack.method.pgd.keep == attack_pb2.KEEP_UNSPECIFIED
    assert (list(attack.labels), list(attack.targets)) == ([], [])


def test_progress_and_previews(net: striate.Model) -> None:
    seen: list[striate.Progress] = []
    net.visualize(["stem:0", "stem:1"], steps=4, preview_every=2, on_progress=seen.append)
    assert [(progress.step, progress.steps, progress.scores) for progress in seen] == [
        (i, 4, (i, i)) for i in (1, 2, 3, 4)
    ]
    assert [len(progress.previews) for progress in seen] == [0, 1, 0, 1]
    assert seen[1].previews[0].getpixel((0, 0)) == (2, 2, 2)


def test_saving_by_ending(net: striate.Model, tmp_path: Path) -> None:
    one = net.visualize("stem:1")
    assert one.save(tmp_path / "plain").read_bytes() == one.png
    for path, kind in ((tmp_path / "a.jpg", "JPEG"), (tmp_path / "deep" / "er" / "a.webp", "WEBP")):
        with Image.open(one.save(str(path))) as picture:
            assert (picture.format, picture.size) == (kind, one.image.size)
    with pytest.raises(striate.InvalidArgument, match=r"\.xyz"):
        one.save(tmp_path / "a.xyz")


def test_filters(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.filters("stem", scale="global", zoom=3)
    assert fake.requests("RenderFilters")[0].scale == 2
    expected = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
    np.testing.assert_array_equal(found.weights, expected)
    assert (found.layer, found.normalization, found.image.size) == (
        "stem",
        "zero is mid-gray",
        (9, 9),
    )
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "new" / "w.npy")), expected)
    assert found.save(tmp_path / "f.png").read_bytes() == found.png


def test_exemplars(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    found = net.exemplars("stem:1", k=3, dataset="digits")
    assert (found.unit, found.images) == ("stem:1", DATASET_SIZE)
    assert [(e.id, e.name, e.activation) for e in found] == [
        (10, "0.png", 9.5),
        (11, "1.png", 8.5),
        (12, "2.png", 7.5),
    ]
    assert [e.label for e in found] == [None, 1, 2]
    first = found[0]
    assert (first.position, first.label_name) == ((1, 2), "<b>cat</b>")
    assert first.image.crop(first.box).tobytes() == first.crop.tobytes()
    names = [path.name for path in found.save(tmp_path)]
    assert names[:3] == ["grid.png", "00-10.png", "00-10-crop.png"]
    assert (tmp_path / "02-12-crop.png").read_bytes() == found[2].crop_png


def test_attack(fake: Fake, net: striate.Model) -> None:
    labels = [0, 1] * 5
    attack = striate.PGD(
        epsilon=0.1,
        step=0.02,
        steps=7,
        norm="l2",
        random_start=False,
        keep="last",
        stop_when_fooled=False,
    )
    result = net.attack(
        IMAGES,
        labels,
        attack,
        seed=9,
        noise_control=True,
        deterministic=True,
        priority="interactive",
    )
    (request,) = fake.requests("Attack")
    assert (request.norm, request.epsilon) == (attack_pb2.NORM_L2, 0.1)
    sent = attack_pb2.Pgd(
        step=0.02,
        steps=7,
        random_start=False,
        keep=attack_pb2.KEEP_LAST,
        stop_when_fooled=False,
        restarts=1,
    )
    assert request.method == attack_pb2.AttackMethod(pgd=sent)
    assert (request.seed, request.noise_control, request.deterministic, request.priority) == (
        9,
        True,
        True,
        1,
    )
    assert result.images.shape == (10, *SHAPE)
    assert (str(result.images.dtype), str(result.succeeded.dtype)) == ("float32", "bool")
    np.testing.assert_array_equal(
        result.images, np.stack([adversarial(9, row) for row in range(10)])
    )
    np.testing.assert_array_equal(result.labels, labels)
    assert result.robust_accuracy == pytest.approx(3 / 10)  # rows 0, 4 and 8 stay
    assert result.noise_robust_accuracy == pytest.approx(9 / 10)  # row 7 falls
    assert result.clean_accuracy == np.mean(
        [favourite(image.tobytes()) == label for image, label in zip(IMAGES, labels, strict=True)]
    )
    np.testing.assert_array_equal(result.predictions != result.labels, result.succeeded)
    assert (len(result), result.gradients) == (10, 100)


def test_fgsm_and_no_noise(fake: Fake, net: striate.Model) -> None:
    result = net.attack(IMAGES, None, striate.FGSM(keep="best"))
    (request,) = fake.requests("Attack")
    assert (request.epsilon, request.norm, request.method.fgsm.keep) == (
        8 / 255,
        attack_pb2.NORM_LINF,
        attack_pb2.KEEP_BEST,
    )
    assert (
        result.noise_succeeded,
        result.noise_norms,
        result.noise_predictions,
        result.noise_robust_accuracy,
    ) == (None,) * 4
    assert result.pngs == ()


def test_attack_as_png(fake: Fake, net: striate.Model, tmp_path: Path) -> None:
    result = net.attack(IMAGES, None, striate.FGSM(), format="png")
    np.testing.assert_array_equal(
        result.images, np.stack([adversarial(0, row) for row in range(10)])
    )
    result.save(tmp_path)
    assert [(tmp_path / f"{row:05}.png").read_bytes() for row in range(10)] == list(result.pngs)


def test_attack_is_saved_whole(net: striate.Model, tmp_path: Path) -> None:
    result = net.attack(IMAGES, "cat", striate.FGSM(), noise_control=True)
    folder = result.save(tmp_path / "out")
    np.testing.assert_array_equal(np.load(folder / "images.npy"), result.images)
    shown = np.asarray(Image.open(folder / "00003.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(shown / np.float32(255), result.images[3])
    kept = json.loads((folder / "results.json").read_text())
    assert kept["attack"] == {
        "method": "fgsm",
        "epsilon": 8 / 255,
        "norm": "linf",
        "keep": None,
        "loss": None,
    }
    assert kept["robust_accuracy"] == result.robust_accuracy
    assert kept["succeeded"] == result.succeeded.tolist()
    assert kept["noise_succeeded"] == result.noise_succeeded.tolist()  # type: ignore[union-attr]
    assert kept["provenance"]["model_digest"] == DIGEST


@pytest.mark.parametrize(
    ("labels", "sent"),
    [
        ([0, 1, 2], [0, 1, 2]),
        (np.array([3, 1, 0]), [3, 1, 0]),
        (["cat", 3, "Sports Car"], [0, 3, 1]),
        ("sports_car", [1, 1, 1]),
        (np.int64(2), [2, 2, 2]),
        ((label for label in (1, 2, 3)), [1, 2, 3]),
        (None, []),
    ],
)
def test_labels(fake: Fake, net: striate.Model, labels: Any, sent: list[int]) -> None:
    net.attack(IMAGES[:3], labels, striate.FGSM())
    assert list(fake.requests("Attack")[0].labels) == sent


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "must be one an image, 3"),
        ([0, 1, 4], r"labels\[2\]: must be 0 to 3, is 4"),
        ([0, -1, 1], r"labels\[1\]"),
        ([0.5, 1, 1], r"labels\[0\]: must be a class index or name"),
        (["cat", "cat", "crane"], r"labels\[2\]: 'crane' names the classes 2, 3"),
        ("sportscart", "nearest: sports-car"),
    ],
)
def test_labels_that_make_no_sense(net: striate.Model, labels: Any, words: str) -> None:
    with pytest.raises(striate.InvalidArgument, match=words):
        net.attack(IMAGES[:3], labels, striate.FGSM())


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda net: striate.FGSM(epsilon=-1), "epsilon"),
        (lambda net: striate.FGSM(epsilon=float("nan")), "epsilon"),
        (lambda net: striate.PGD(steps=0), "steps"),
        (lambda net: striate.PGD(step=-0.1), "step"),
        (lambda net: striate.PGD(norm="l7"), "norm"),  # type: ignore[arg-type]
        (lambda net: striate.PGD(keep="all"), "keep"),  # type: ignore[arg-type]
        (lambda net: net.attack(IMAGES, None, "pgd"), "attack"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), format="gif"), "format"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), seed=-1), "seed"),
        (lambda net: net.attack(IMAGES, None, striate.FGSM(), priority="now"), "priority"),
        (lambda net: net.visualize("stem:1", steps=0), "steps"),
        (lambda net: net.visualize("stem:1", learning_rate=0.0), "learning_rate"),
        (lambda net: net.visualize("stem:1", size=0), "size"),
        (lambda net: net.visualize([]), "objectives"),
        (lambda net: net.filters(scale="unit"), "scale"),
        (lambda net: net.filters(zoom=-1), "zoom"),
        (lambda net: net.classify(IMAGES, k=0), "k"),
        (lambda net: net.exemplars("stem:1", k=0, dataset="digits"), "k"),
    ],
)
def test_settings_out_of_range_are_refused(net: striate.Model, make: Any, field: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make(net)
    assert list(caught.value.fields) == [field]


def test_notebooks_show_pictures(service: striate.Service, net: striate.Model) -> None:
    one, many = net.visualize("stem:1"), net.visualize(["stem:0", "stem:1"])
    exemplars, filters, attack = (
        net.exemplars("stem:0", dataset="digits"),
        net.filters(),
        net.attack(IMAGES, None, striate.FGSM()),
    )
    assert pictures_in(one._repr_html_()) == [one.png]
    assert pictures_in(many._repr_html_()) == [item.png for item in many]
    assert "dead" in many._repr_html_()
    assert pictures_in(filters._repr_html_()) == [filters.png]
    assert pictures_in(exemplars._repr_html_()) == [
        data for e in exemplars for data in (e.image_png, e.crop_png)
    ]
    assert "<b>cat</b>" not in exemplars._repr_html_(), "names from a data set are escaped"
    assert len(pictures_in(attack._repr_html_())) == 1
    for shown in (
        one,
        filters,
        exemplars,
        exemplars[0],
        attack,
        service.samples("digits", 0, 1)[0],
    ):
        drawn = shown._repr_png_()
        assert drawn is not None
        Image.open(io.BytesIO(drawn)).verify()


def test_the_attacks_picture_shows_every_image(net: striate.Model) -> None:
    result = net.attack(IMAGES, None, striate.FGSM())
    sheet = np.asarray(result.image)
    assert sheet.shape == (
        2 * 4 + 2,
        8 * 5 + 7 * 2,
        3,
    )  # ten images of 4 x 5 in rows of eight, two pixels apart
    second_row = (result.images[9] * 255).round().astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(sheet[6:10, 7:12], second_row)


def test_sizes_of_pictures_are_the_fakes() -> None:
    """Guards the tests above against a fake that paints nothing."""
    assert Image.open(io.BytesIO(png(4, 5, 9))).size == (5, 4)
