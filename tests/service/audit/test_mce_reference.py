"""An audit with a reference for its corruption errors: one of its networks, or another that is
shown the corruptions alone. The errors are counted out of the table of all images.
"""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from service.audit.journal import AuditChanged
from service.audit.spec import AuditSpec
from service.report import schema
from tests.service.audit.toys_audit import PLAN, Device, Died, hosted, job, reports, run

CORRUPTED = replace(PLAN, corruptions=("contrast", "gaussian_noise"), severities=(2, 4))


SEEDS = {"a": 1, "b": 0, "unit": 0}  # the labels are mostly those that seed 0 gives


def assignment(reference: str, **other: Any) -> AuditSpec:
    networks = {name: hosted(name, seed) for name, seed in SEEDS.items()}
    networks["unit"].network.company_doubt = "it wavers"
    audited = (networks["a"], networks["b"])
    return job(models=audited, plan=CORRUPTED, mce_reference=networks[reference], **other)


def counted_out(rows: list[dict[str, Any]], name: str) -> tuple[dict[str, int], int]:
    """(errors under each corruption, over the severities; errors on clean images)."""
    own = [row for row in rows if row["network"] == name]
    return {
        corruption: sum(not row[f"{corruption} {level}"] for row in own for level in (2, 4))
        for corruption in CORRUPTED.corruptions
    }, sum(not row["clean_correct"] for row in own)


@pytest.mark.parametrize("reference", ["b", "unit"])
def test_corruption_errors_are_those_of_the_table(tmp_path: Path, reference: str) -> None:
    run(assignment(reference), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(report)
    rows = pq.read_table(tmp_path / "images.parquet").to_pylist()
    unit, unit_clean = counted_out(rows, reference)
    assert all(unit[name] > 2 * unit_clean > 0 for name in unit)
    for network in report["networks"]:
        ours, clean = counted_out(rows, network["name"])
        ces = {name: ours[name] / unit[name] for name in unit}
        relative = {name: (ours[name] - 2 * clean) / (unit[name] - 2 * unit_clean) for name in unit}
        found = network["corruption_error"]
        assert {one["name"]: one["ce"] for one in found["corruptions"]} == pytest.approx(ces)
        assert {one["name"]: one["relative_ce"] for one in found["corruptions"]} == pytest.approx(
            relative
        )
        assert found["mce"] == pytest.approx(fmean(ces.values()))
        assert found["relative_mce"] == pytest.approx(fmean(relative.values()))
    told = report["mce_reference"]
    alone = reference == "unit"
    assert (told["name"], told["audited"], told["doubt"]) == (
        reference,
        not alone,
        "it wavers" if alone else "",
    )
    assert "mce" in (tmp_path / "report.xml").read_text()
    assert reference in (tmp_path / "report.html").read_text()


def test_a_reference_alone_is_shown_what_the_others_are_and_nothing_else(tmp_path: Path) -> None:
    device = Device()
    run(assignment("unit"), tmp_path / "alone", device)
    assert device.done == ["a", "b", "unit"] * 4
    run(job(models=(hosted("unit"),), plan=CORRUPTED), tmp_path / "audited")
    rows, same = (
        pq.read_table(tmp_path / folder / "images.parquet").to_pylist()
        for folder in ("alone", "audited")
    )
    own = [row for row in rows if row["network"] == "unit"]
    assert len(own) == len(same) == 60
    shown = ["id", "clean_prediction", "contrast 2", "contrast 4", "gaussian_noise 4"]
    assert [[row[key] for key in shown] for row in own] == [
        [row[key] for key in shown] for row in same
    ]
    for key in ("linf:16/255 PGD-3", "linf:4/255 noise", "l2 minimal_epsilon", "rotation"):
        assert {row[key] for row in own} == {None}
    report = json.loads((tmp_path / "alone" / "report.json").read_text())
    assert [network["name"] for network in report["networks"]] == ["a", "b"]
    assert {item["first"] + item["second"] for item in report["comparisons"]} == {"ab"}
    examples = pq.read_table(tmp_path / "alone" / "examples.parquet").to_pylist()
    assert {row["network"] for row in examples} <= {"a", "b"}


def test_an_interrupted_audit_with_a_reference_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run(assignment("unit"), tmp_path / "undisturbed")
    for death in (5, 1):
        with pytest.raises(Died):
            run(assignment("unit"), tmp_path / "disturbed", Device(dies_at=death))
    run(assignment("unit"), tmp_path / "disturbed")
    assert reports(tmp_path / "disturbed") == reports(tmp_path / "undisturbed")


def test_a_reference_that_is_another_than_before_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Died):
        run(assignment("unit"), tmp_path, Device(dies_at=4))
    with pytest.raises(AuditChanged, match="the digest of unit is"):
        run(replace(assignment("unit"), mce_reference=hosted("unit", 3)), tmp_path)
