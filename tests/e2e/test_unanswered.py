"""Networks whose answers about an image are no numbers, and networks that mask classes, through a
real server: an image costs itself alone, and is named.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import striate
from striate._cli.main import app
from tests.toys_server import start, stop

pytestmark = pytest.mark.slow  # a server of its own

NETWORKS = """
import torch
from torch import nn

def small(classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(24, classes))

class NanGradient(nn.Module):  # at black pixels
    def __init__(self):
        super().__init__()
        self.inner = small(5)

    def forward(self, x):
        return self.inner(torch.where(x > 0, -x * x.log(), torch.zeros_like(x)) + x)

class NanLogits(nn.Module):  # where the first pixel is black
    def __init__(self):
        super().__init__()
        self.inner = small(5)

    def forward(self, x):
        return self.inner(x) + torch.where(x[:, 0, 0, 0] == 0, torch.nan, 0.0)[:, None]

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = small(5)

    def forward(self, x):
        return self.inner(x).masked_fill(torch.arange(5) % 2 == 1, -torch.inf)
"""
BAD = 3
GOOD = [0, 1, 2, 4, 5]
WEAK = striate.PGD(epsilon=1e-4, steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unanswered")


@pytest.fixture(scope="module")
def target(folder: Path) -> Iterator[str]:
    (folder / "networks.py").write_text(NETWORKS)
    tables = [
        f'[models.{name}]\nfactory = "networks:{factory}"\nsize = 12\nmean = [0, 0, 0]\n'
        f"std = [1, 1, 1]\n"
        for name, factory in (("gradient", "NanGradient"), ("logits", "NanLogits"))
    ]
    tables.append('[models.masked]\nfactory = "networks:Masked"\nsize = 12\n')
    tables.append("mean = [0, 0, 0]\nstd = [1, 1, 1]\n")
    (folder / "striate.toml").write_text("\n".join(tables))
    models = [flag for name in ("gradient", "logits", "masked") for flag in ("--model", name)]
    flags = "--settings", str(folder / "striate.toml"), *models
    process = start(folder, *flags, environment={"PYTHONPATH": str(folder)})
    try:
        yield process.wait_until_it_serves()
    finally:
        stop(process)


@pytest.fixture(scope="module")
def service(target: str) -> Iterator[striate.Service]:
    with striate.connect(target, timeout=120) as service:
        yield service


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    found = np.random.default_rng(0).integers(80, 180, (6, 12, 12, 3), dtype=np.uint8)
    found[BAD, :4, :4] = 0
    return found


@pytest.mark.parametrize("name", ["gradient", "logits"])
def test_an_attack_names_the_image_and_attacks_the_others(
    service: striate.Service, images: NDArray[np.uint8], name: str
) -> None:
    net = service.model(name)
    with pytest.warns(striate.StriateWarning, match=f"image {BAD}: its {name}"):
        found = net.attack(images, None, WEAK, deterministic=True, noise_control=True)
    (failure,) = found.failures
    assert (failure.index, failure.kind, failure.epsilon) == (BAD, name, None)
    assert failure.step == (1 if name == "gradient" else 0)
    assert found.answered.tolist() == [row != BAD for row in range(6)]
    assert not found.succeeded[BAD]
    assert (found.clean_predictions[BAD] == -1) == (name == "logits")
    assert "RowFailure" in repr(found)
    assert "1 without an outcome" in found._repr_html_()
    alone = net.attack(images[GOOD], None, WEAK, seeds=GOOD, deterministic=True, noise_control=True)
    with pytest.warns(striate.StriateWarning, match=f"image {BAD}: its {name}"):
        seeded = net.attack(
            images, None, WEAK, seeds=list(range(6)), deterministic=True, noise_control=True
        )
    assert np.array_equal(seeded.images[GOOD], alone.images)
    assert np.array_equal(seeded.succeeded[GOOD], alone.succeeded)
    assert seeded.robust_accuracy == alone.robust_accuracy
    assert seeded.noise_robust_accuracy == alone.noise_robust_accuracy
    assert seeded.clean_accuracy == alone.clean_accuracy == 1
    np.testing.assert_array_equal(seeded.images[BAD].transpose(1, 2, 0) * 255, images[BAD])


def test_a_batch_without_outcomes_has_no_accuracy(
    service: striate.Service, images: NDArray[np.uint8]
) -> None:
    with pytest.warns(striate.StriateWarning, match="neither fooled nor robust"):
        found = service.model("logits").attack(images[[BAD]], None, WEAK)
    assert math.isnan(found.robust_accuracy)
    assert found.summary()["robust_accuracy"] is None
    json.dumps(found.summary(), allow_nan=False)


def test_a_curve_counts_the_others(service: striate.Service, images: NDArray[np.uint8]) -> None:
    net = service.model("gradient")
    with pytest.warns(striate.StriateWarning, match=f"image {BAD}: its gradient"):
        curve = net.epsilon_curve(images, None, epsilons=[1e-5, 1e-4], steps=2)
    apart = net.epsilon_curve(images[GOOD], None, epsilons=[1e-5, 1e-4], steps=2)
    assert curve.answered.tolist() == [5, 5]
    assert curve.robust_accuracy.tolist() == apart.robust_accuracy.tolist()
    assert curve.attack.failures[0].epsilon == 1e-5
    assert curve.summary()["answered"] == [5, 5]
    assert "5 of 6" in curve._repr_html_()


@pytest.mark.filterwarnings("ignore::striate.StriateWarning")
@pytest.mark.parametrize("name", ["gradient", "logits"])
def test_a_stream_answers_every_image(
    service: striate.Service, images: NDArray[np.uint8], name: str
) -> None:
    rows = ((image, None) for image in images)
    found = list(service.model(name).attack_stream(rows, WEAK))
    assert [one.id for one in found] == list(range(6))
    assert all(one.error is None for one in found)
    failures = [None if one.row is None else one.row.failure for one in found]
    assert [failure is not None for failure in failures] == [row == BAD for row in range(6)]
    bad = failures[BAD]
    assert bad is not None
    assert (bad.index, bad.kind) == (BAD, name)
    assert f"image {BAD}" in "".join(found[BAD].warnings)


def test_the_command_line_names_the_picture(
    target: str, folder: Path, images: NDArray[np.uint8]
) -> None:
    paths = [folder / f"{row}.png" for row in range(6)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    files = [str(path) for path in paths]
    attack = ["attack", "gradient", *files, "--method", "pgd", "--epsilon", "0.0001"]
    curve = ["curve", "gradient", *files, "--epsilons", "0.0001"]
    for command in ([*attack, "--steps", "2"], [*curve, "--steps", "2"]):
        shown = CliRunner().invoke(app, [*command, "--server", target])
        assert shown.exit_code == 0, shown.output
        assert f"{paths[BAD]}: image {BAD}: its gradient" in shown.output.replace("\n", "")
        assert "no outcome" in shown.output


@pytest.mark.parametrize("name", ["gradient", "logits"])
def test_an_audit_counts_the_others_and_names_the_image(
    service: striate.Service, images: NDArray[np.uint8], name: str, tmp_path: Path
) -> None:
    labels = [one[0].index for one in service.model("gradient").classify(images, k=1)]
    audit = service.audit(
        ["gradient", name] if name != "gradient" else [name],
        service.upload(images, labels),
        threats={"linf": [1 / 255]},
        attacks=[striate.PGD(steps=2)],
        shard_images=8,
    )
    with pytest.warns(striate.StriateWarning, match=f"1 of 6 images have no outcome.*image {BAD}"):
        report = audit.wait()
    network = report.report["networks"][-1]
    assert report.report["images"] == 6
    (check,) = [check for check in network["checks"] if check["name"] == "answered"]
    assert f"image {BAD}" in check["evidence"]
    assert f"its {name}" in check["evidence"]
    assert network["clean"]["trials"] == 5
    assert network["threats"][0]["worst"][0]["trials"] == 5
    assert f"image {BAD}" in report.summary()
    assert any(f"image {BAD}" in text for one in report.provenance for text in one.warnings)
    table = parquet.read_table(report.to_parquet(tmp_path / "images.parquet")).to_pylist()
    bad = [row for row in table if row["id"] == BAD and row["network"] == name]
    assert [row["failure"] for row in bad] == [name]
    assert bad[0]["linf:1/255 PGD-2"] is None
    assert f"image {BAD}" in report.to_html(tmp_path / "report.html").read_text()
    assert f"image {BAD}" in report.to_junit(tmp_path / "report.xml").read_text()


def test_masked_classes_are_legal(service: striate.Service, images: NDArray[np.uint8]) -> None:
    net = service.model("masked")
    found = net.classify(images, k=5)
    for predictions in found:
        by_class = {one.index: one.probability for one in predictions}
        assert by_class[1] == by_class[3] == 0
        assert sum(by_class.values()) == pytest.approx(1)
    for attack in (WEAK, striate.APGD(steps=3, target_classes=4), striate.AutoAttack()):
        attacked = net.attack(images[:2], None, attack)
        assert not attacked.failures
        assert set(attacked.predictions.tolist()) <= {0, 2, 4}
    least = net.attack(images, None, WEAK, targets="least-likely")
    assert least.targets is not None
    assert set(least.targets.tolist()) <= {0, 2, 4}
    assert net.attribute(images, "saliency").scores.shape == (6,)
