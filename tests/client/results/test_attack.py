"""What an attack on a batch of images returns."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.v1 import attack_pb2
from tests.client.fakes.fakes_server import (
    DIGEST,
    SHAPE,
    Fake,
    adversarial,
    favourite,
)

IMAGES = np.random.default_rng(2).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)


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


def test_a_notebook_shows_clean_perturbation_and_adversarial_side_by_side(
    fake: Fake, net: striate.Model
) -> None:
    x = np.random.default_rng(3).random((10, *SHAPE), dtype=np.float32)
    result = net.attack(x, None, "pgd")
    assert not fake.requests("Attack")[-1].clean_images  # the client has them itself
    np.testing.assert_array_equal(result.clean, x[:8])
    _, height, width = SHAPE
    clean, magnified, image = (
        np.asarray(result.comparison(3))[:, place : place + width].astype(int)
        for place in (0, width + 2, 2 * (width + 2))
    )
    assert clean.shape[0] == height
    np.testing.assert_array_equal(clean, np.rint(x[3] * 255).astype(int).transpose(1, 2, 0))
    np.testing.assert_array_equal(
        image, np.rint(result.images[3] * 255).astype(int).transpose(1, 2, 0)
    )
    delta = (result.images[3] - x[3]).transpose(1, 2, 0)
    assert {0, 255} & set(magnified[np.abs(delta) == np.abs(delta).max()].tolist())
    assert (np.sign(magnified - 127.5) == np.sign(delta))[np.abs(delta) > 0.02].all()
    shown = result._repr_html_()
    assert shown.count("<figure") == 8
    assert "of which the first 8 are shown" in shown
    with pytest.raises(striate.InvalidArgument, match="row"):
        result.comparison(8)


def test_clean_images_that_the_server_resizes_are_asked_of_it(
    fake: Fake, net: striate.Model
) -> None:
    picture = Image.fromarray(IMAGES[0]).resize((40, 30))
    result = net.attack(picture, None, "fgsm")
    assert fake.requests("Attack")[-1].clean_images == 8
    assert result.clean is None  # this server is an old one
    assert result._repr_html_().count("<figure") == 1


def test_results_on_disk_are_json_whatever_the_numbers(
    net: striate.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = net.attack(IMAGES, "cat", striate.FGSM())
    summary = {"rows": [{"norm": float("nan")}], "robust_accuracy": float("inf")}
    monkeypatch.setattr(type(result), "summary", lambda _: summary)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    text = (result.save(tmp_path) / "results.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert (found["rows"], found["robust_accuracy"]) == ([{"norm": None}], None)
