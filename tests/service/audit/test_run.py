"""The run of an audit: what it finds equals what is found on all images at once, and however often
it is interrupted.
"""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from interp.audit.checks.check import Check
from interp.audit.checks.network import NetworkChecks
from interp.audit.findings import CHECKS, finders
from interp.audit.plan import Threat
from interp.audit.result import Examples
from interp.audit.statistics import Gate
from interp.audit.tally import NetworkGate
from service.audit import run as audit
from service.audit.journal import AuditChanged, Journal, Shard
from service.audit.spec import AuditSpec
from service.datasets import DatasetError
from service.report import schema
from service.rpc.wire.robustness.audit_response import response
from tests.service.audit.toys_audit import (
    CLASSES,
    NAMES,
    PLAN,
    Device,
    Died,
    at_once,
    dataset,
    hosted,
    job,
    pictures,
    reports,
    run,
)


def test_reports_say_what_is_found_on_all_images_at_once(tmp_path: Path) -> None:
    assignment = job()
    run(assignment, tmp_path)
    judged, labels, order = at_once(assignment)
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(report)
    (network,) = report["networks"]
    assert (report["images"], report["complete"], report["stopped"]) == (60, True, None)
    assert network["clean"]["successes"] == int((judged.clean == labels).sum())
    for threat, found in enumerate(network["threats"]):
        for attack, curve in enumerate(found["attacks"]):
            expected = [
                int((judged.fooled_at[threat][attack] > level).sum())
                for level in range(len(found["epsilons"]))
            ]
            assert [rate["successes"] for rate in curve["robust"]] == expected
    table = pq.read_table(tmp_path / "images.parquet").to_pydict()
    assert table["id"] == order.tolist()
    assert table["label"] == labels.tolist()
    assert table["name"] == [f"n{i}" for i in order]
    assert table["clean_prediction"] == judged.clean.tolist()
    assert table["linf:16/255 PGD-3"] == (judged.fooled_at[0][1] > 1).tolist()
    assert table["l2:0.5 noise"] == judged.noise[1][0].tolist()
    assert table["fog 2"] == judged.corrupted[0].tolist()
    least = np.minimum(judged.fooled_at[0].min(0), 2)
    expected_epsilon = [
        0.0 if wrong else [4 / 255, 16 / 255, None][at]
        for wrong, at in zip(judged.clean != labels, least, strict=True)
    ]
    assert table["linf minimal_epsilon"] == expected_epsilon


def test_examples_fool_and_lie_in_their_balls(tmp_path: Path) -> None:
    assignment = job()
    run(assignment, tmp_path)
    rows = pq.read_table(tmp_path / "examples.parquet").to_pylist()
    assert rows
    clean = pictures(60)
    levels = np.stack([np.asarray(Image.open(io.BytesIO(row["png"]))) for row in rows])
    predictions = (
        assignment.models[0]
        .network.logits(torch.from_numpy(levels)[:, None].float() / 255)
        .argmax(1)
        .tolist()
    )
    for row, pixels, prediction in zip(rows, levels, predictions, strict=True):
        assert prediction == row["prediction"] != row["label"]
        delta = (pixels.astype(np.float64) - clean[row["id"]]) / 255
        distance = np.abs(delta).max() if row["norm"] == "linf" else np.linalg.norm(delta)
        assert distance == pytest.approx(row["distance"], rel=1e-5)
        assert distance <= row["epsilon"] * (1 + 1e-5)


@pytest.mark.parametrize("deaths", [[0], [1], [2], [7], [3, 0, 1], [2, 2, 2]])
def test_an_interrupted_audit_ends_with_the_same_bytes(tmp_path: Path, deaths: list[int]) -> None:
    assignment = job(
        models=(hosted("a"), hosted("b", 1)),
        gates=(NetworkGate(0, "clean", Gate(0.5)), NetworkGate(1, "clean", Gate(0.25))),
    )
    undisturbed = Device()
    run(assignment, tmp_path / "undisturbed", undisturbed)
    assert len(undisturbed.done) == 8
    judged = 0
    for death in deaths:  # of the server, each after so many procedures
        device = Device(dies_at=death)
        with pytest.raises(Died):
            run(assignment, tmp_path / "disturbed", device)
        judged += len(device.done)
    last = Device()
    run(assignment, tmp_path / "disturbed", last)
    assert reports(tmp_path / "disturbed") == reports(tmp_path / "undisturbed")
    redone = judged + len(last.done) - len(undisturbed.done)
    assert (
        0 <= redone <= len(deaths)
    )  # a procedure is a shard on one network; the one that was under way


def test_a_death_between_two_reports_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job(), tmp_path / "undisturbed")
    with monkeypatch.context() as context:
        context.setattr("service.audit.report_files.junit", lambda _: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            run(job(), tmp_path / "disturbed")
    assert not (tmp_path / "disturbed" / "report.json").exists()
    (tmp_path / "disturbed" / "left.tmp").write_bytes(b"half a file")
    device = Device()
    run(job(), tmp_path / "disturbed", device)
    assert not device.done
    assert reports(tmp_path / "disturbed") == reports(tmp_path / "undisturbed")


def test_a_damaged_shard_is_judged_again(tmp_path: Path) -> None:
    run(job(), tmp_path / "undisturbed")
    with pytest.raises(Died):
        run(job(), tmp_path / "disturbed", Device(dies_at=3))
    (path,) = (tmp_path / "disturbed").glob("shard-000001-*")
    path.write_bytes(path.read_bytes()[:-20])
    device = Device()
    run(job(), tmp_path / "disturbed", device)
    assert len(device.done) == 2  # that one and the last, which never was
    assert reports(tmp_path / "disturbed") == reports(tmp_path / "undisturbed")


CHANGES: list[tuple[Callable[[AuditSpec], AuditSpec], str]] = [
    (
        lambda old: replace(old, models=(hosted("small", digest="other"),)),
        "the digest of small is other now",
    ),
    (
        lambda old: replace(
            old,
            dataset=replace(old.dataset, source=replace(old.dataset.source, size=59)),
            images=59,
        ),
        "the size of mine is 59",
    ),
    (lambda old: replace(old, chunk=16), "deterministic chunk is 16"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_an_audit_goes_on_only_with_what_it_began_with(
    tmp_path: Path, change: Callable[[AuditSpec], AuditSpec], words: str
) -> None:
    with pytest.raises(Died):
        run(job(), tmp_path, Device(dies_at=2))
    with pytest.raises(AuditChanged, match=words):
        run(change(job()), tmp_path)
    run(job(), tmp_path)  # as before: it goes on


def test_images_without_a_class_are_refused_by_name(tmp_path: Path) -> None:
    whole = dataset(60)

    def unlabelled(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = whole.source.item(index)
        return name, data, None if index == 17 else label

    with pytest.raises(DatasetError, match=r"image 17 \('n17'\).*no label"):
        run(job(dataset=dataset(60, unlabelled)), tmp_path / "none")
    classes = (*range(CLASSES - 1), -1)
    with pytest.raises(DatasetError, match="its label 3 is no class"):
        run(job(classes=classes), tmp_path / "unmatched")

    def broken(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = whole.source.item(index)
        return name, data[:40] if index == 9 else data, label

    with pytest.raises(DatasetError, match=r"image 9 \('n9'\)"):
        run(job(dataset=dataset(60, broken)), tmp_path / "broken")


def test_checks_are_made_once_a_network_and_decide_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    nothing = [one.take(np.arange(0)) for one in at_once(job())[0].examples]

    def check_network(x: torch.Tensor, labels: torch.Tensor, plan: Any, **_: Any) -> Any:
        asked.append(len(x))
        one = Check(
            "one",
            "passed" if len(asked) == 1 else "failed",
            "all 3 images",
            "Somebody 2020",
            {"images": math.nan},
        )
        return NetworkChecks([one, Check("two", "passed", "nothing", "Somebody 2020")], nothing)
        yield

    monkeypatch.setattr(audit, "check_network", check_network)
    assignment = job(models=(hosted("a"), hosted("b", 1)), checked=True)
    with pytest.raises(Died):
        run(assignment, tmp_path, Device(dies_at=1))
    run(assignment, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert asked == [60, 60]
    assert [network["verdict"] for network in report["networks"]] == ["valid", "suspect"]
    one, two = report["networks"][1]["checks"]
    assert one == {
        "name": "one",
        "status": "failed",
        "evidence": "all 3 images",
        "source": "Somebody 2020",
    }
    assert two["name"] == "two"
    assert report["verdict"] == "suspect"


def test_what_the_checks_met_counts_whoever_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, labels, _ = at_once(job())
    right = judged.right(labels)
    (row, *_) = np.flatnonzero(right & (judged.worst_at[0] == 2)).tolist()
    checks = finders(PLAN).index(CHECKS)
    one, zero = np.array([row]), np.array([0])
    image = pictures(60)[:1, None]
    met = Examples(image, one, zero + checks, zero, zero, zero, np.array([0.01]))
    nothing = judged.examples[1].take(np.arange(0))

    def check_network(x: torch.Tensor, labels: torch.Tensor, plan: Any, **_: Any) -> Any:
        return NetworkChecks([Check("one", "passed", "nothing", "Somebody 2020")], [met, nothing])
        yield

    monkeypatch.setattr(audit, "check_network", check_network)
    gates = (NetworkGate(0, "linf:16/255", Gate(0.01)),)
    run(job(checked=True), tmp_path / "undisturbed")
    with pytest.raises(Died):
        run(job(checked=True), tmp_path / "disturbed", Device(dies_at=2))
    run(job(checked=True), tmp_path / "disturbed")
    assert reports(tmp_path / "undisturbed") == reports(tmp_path / "disturbed")
    report = json.loads((tmp_path / "undisturbed" / "report.json").read_text())
    linf, l2 = report["networks"][0]["threats"]
    for threat, less in ((linf, 1), (l2, 0)):
        number = ["linf", "l2"].index(threat["norm"])
        known = [
            int((right & (judged.worst_at[number] > level)).sum())
            for level in range(len(threat["epsilons"]))
        ]
        assert [rate["successes"] for rate in threat["worst"]] == [one - less for one in known]
        assert sum(one["images"] for one in threat["found_by"]) == right.sum() - known[-1] + less
    assert {"finder": CHECKS, "images": 1} in linf["found_by"]
    table = pq.read_table(tmp_path / "undisturbed" / "images.parquet").to_pydict()
    assert table["linf found_by"][row] == CHECKS
    assert table["linf minimal_epsilon"][row] == 4 / 255
    assert table["linf:16/255 PGD-3"][row]  # which did not find it
    (example,) = [
        one
        for one in pq.read_table(tmp_path / "undisturbed" / "examples.parquet").to_pylist()
        if one["attack"] == CHECKS
    ]
    assert (example["id"], example["epsilon"]) == (table["id"][row], 4 / 255)
    run(job(checked=True, gates=gates, budget=0), tmp_path / "gated")
    gated = json.loads((tmp_path / "gated" / "report.json").read_text())
    (gate,) = gated["gates"]
    assert gate["rate"]["successes"] == gated["networks"][0]["threats"][0]["worst"][1]["successes"]


def test_a_network_whose_rows_depend_on_their_company_is_suspect(tmp_path: Path) -> None:
    doubtful = hosted("doubtful")
    doubtful.network.company_doubt = "the logits of an image depend on the others"
    run(job(models=(hosted("sound"), doubtful)), tmp_path)
    text = (tmp_path / "report.json").read_text()
    sound, suspect = json.loads(text)["networks"]
    assert "company" not in {check["name"] for check in sound["checks"]}
    assert suspect["verdict"] == "suspect"
    assert suspect["checks"][-1] == {
        "name": "company",
        "status": "failed",
        "evidence": "the logits of an image depend on the others",
        "source": "",
    }
    warnings = [list(one.warnings) for one in response(text).provenance]
    assert warnings == [[], ["doubtful: the logits of an image depend on the others"]]
    report = json.loads(text)
    report["networks"][0]["checks"] = [
        {"name": "company", "status": "passed", "evidence": "0 of 4"}
    ]
    assert not list(response(json.dumps(report)).provenance[0].warnings)


def test_float_images_are_attacked_as_floats(tmp_path: Path) -> None:
    assignment = job(plan=replace(PLAN, eight_bit=False))
    run(assignment, tmp_path)
    judged, labels, _ = at_once(assignment)
    report = json.loads((tmp_path / "report.json").read_text())
    robust = [rate["successes"] for rate in report["networks"][0]["threats"][0]["worst"]]
    assert robust == [
        int(((judged.fooled_at[0].min(0) > level) & (judged.clean == labels)).sum())
        for level in (0, 1)
    ]
    assert not report["settings"]["eight_bit"]


def test_the_journal_keeps_all_that_was_found(tmp_path: Path) -> None:
    judged, labels, order = at_once(job())
    journal = Journal(tmp_path)
    assert journal.read(0, 0) is None
    pixels = pictures(60)[order][:, None]
    journal.write(3, 1, Shard(order, [f"n{i}" for i in order], labels, judged, pixels))
    found = journal.read(3, 1)
    assert found is not None
    assert found.names == [f"n{i}" for i in order]
    assert found.pixels is not None
    assert np.array_equal(found.pixels, pixels)
    arrays = judged.arrays()
    for name, array in found.judged.arrays().items():
        assert array.dtype == arrays[name].dtype
        assert np.array_equal(array, arrays[name])
    bare = journal.read(3, 1, images=False)
    assert bare is not None
    assert len(bare.judged.examples[0].images) == 0
    assert np.array_equal(bare.judged.fooled_at[0], judged.fooled_at[0])
    journal.close()
    assert journal.read(3, 1) is None


@pytest.mark.parametrize("images", [True, False])
def test_a_shard_that_nothing_fools_is_read_again(tmp_path: Path, images: bool) -> None:
    below_a_level = (Threat(math.inf, (0.4 / 255,)), Threat(2.0, (0.4 / 255,)))
    assignment = job(plan=replace(PLAN, threats=below_a_level))
    judged, labels, order = at_once(assignment)
    assert [len(found.row) for found in judged.examples] == [0, 0]
    journal = Journal(tmp_path)
    journal.write(0, 0, Shard(order, [""] * 60, labels, judged, None))
    found = journal.read(0, 0, images)
    assert found is not None
    assert np.array_equal(found.judged.clean, judged.clean)


def test_names_of_classes_are_those_of_the_networks(tmp_path: Path) -> None:
    run(job(), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["dataset"]["classes"] == list(NAMES)
    assert "ant" in (tmp_path / "report.html").read_text()
