"""Audits: what is asked, what comes back, and what is written."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import striate
from striate.v1 import attack_pb2, audit_pb2
from tests.client.fakes.fakes_robustness import AUDIT, REPORT, audited, auditing, gate
from tests.client.fakes.fakes_server import DIGEST, LONG, Fake, failed, failure, finished, reason

Code = grpc.StatusCode
LEVELS = np.random.default_rng(5).integers(0, 256, (21, 4, 5, 3), dtype=np.uint8)
PASS, FAIL, OPEN = (
    audit_pb2.GATE_VERDICT_PASS,
    audit_pb2.GATE_VERDICT_FAIL,
    audit_pb2.GATE_VERDICT_OPEN,
)


@pytest.fixture
def report(fake: Fake, service: striate.Service) -> striate.AuditReport:
    """A report with a gate of every kind."""
    gates = [
        gate(0, 0.8, PASS, 180),
        gate(8 / 255, 0.4, FAIL, 57),
        gate(1 / 255, 0.5, OPEN, 117),
        gate(0.5, 0.7, OPEN, 117, attack_pb2.NORM_L2),
    ]
    fake.operation_script.append(audited(audit_pb2.AUDIT_VERDICT_SUSPECT, *gates))
    found = service.audit("tiny", "digits").wait()
    assert isinstance(found, striate.AuditReport)
    return found


def test_an_audit_is_asked_for_whole(fake: Fake, service: striate.Service) -> None:
    service.audit(
        ["tiny", "other"],
        "digits",
        threats={"linf": [1 / 255, "8/255"], "l2": 0.5, "l1": "12"},
        attacks=[striate.PGD(epsilon=0.3, norm="l2", steps=100), striate.AutoAttack()],
        corruptions="all",
        severities=[1, 5],
        augmentations=["rotation", "noise"],
        limit=512,
        seed=3,
        confidence=0.99,
        gates={"clean": 0.8, "linf:8/255": 0.4, "other@l2:0.5": 0.3},
        budget_gradients=10**6,
        float_images=True,
        shard_images=128,
        skip_checks=True,
        mce_reference="third",
    )
    (request,) = fake.requests("Audit")
    assert request.mce_reference == "third"
    assert (list(request.models), request.dataset, request.limit, request.seed) == (
        ["tiny", "other"],
        "digits",
        512,
        3,
    )
    threats = [(threat.norm, list(threat.epsilons)) for threat in request.threats]
    assert threats == [
        (1, [1 / 255, 8 / 255]),
        (2, [0.5]),
        (3, [12]),
    ]
    first, second = request.attacks
    assert (first.WhichOneof("method"), first.pgd.steps) == ("pgd", 100)
    assert (second.WhichOneof("method"), second.auto_attack) == (
        "auto_attack",
        attack_pb2.AutoAttack(),
    )
    assert (list(request.corruptions), list(request.severities)) == (["all"], [1, 5])
    assert list(request.augmentations) == ["rotation", "noise"]
    gates = [(one.model, one.norm, one.epsilon, one.bar) for one in request.gates]
    assert gates == [
        ("", 0, 0, 0.8),
        ("", attack_pb2.NORM_LINF, 8 / 255, 0.4),
        ("other", attack_pb2.NORM_L2, 0.5, 0.3),
    ]
    assert (
        request.budget_gradients,
        request.float_images,
        request.shard_images,
        request.skip_checks,
    ) == (10**6, True, 128, True)
    assert request.confidence == 0.99


def test_unset_settings_stay_unset(fake: Fake, service: striate.Service) -> None:
    service.audit("tiny", "digits")
    assert {field.name for field, _ in fake.requests("Audit")[0].ListFields()} == {
        "models",
        "dataset",
    }


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"models": []}, "models"),
        ({"models": ["tiny", ""]}, "models"),
        ({"dataset": None}, "dataset"),
        ({"images": LEVELS, "labels": 1}, "dataset"),
        ({"dataset": None, "images": LEVELS}, "labels"),
        ({"threats": {"l3": [1]}}, "threats"),
        ({"threats": {"linf": []}}, "threats['linf']"),
        ({"threats": {"linf": [0.2, 0.1]}}, "threats['linf']"),
        ({"threats": {"linf": [0, 0.1]}}, "threats['linf']"),
        ({"threats": {"linf": [8]}}, "threats['linf'][0]"),
        ({"threats": {"linf": ["much"]}}, "threats['linf']"),
        ({"threats": {"linf": [n / 255 for n in range(1, 34)]}}, "threats['linf']"),
        ({"attacks": [striate.PGD(), "pgdd"]}, "attacks[1]"),
        ({"severities": [0]}, "severities[0]"),
        ({"corruptions": [7]}, "corruptions"),
        ({"limit": -1}, "limit"),
        ({"seed": -1}, "seed"),
        ({"confidence": 0.5}, "confidence"),
        ({"confidence": 95}, "confidence"),
        ({"gates": {"linf:8/255": 40}}, "gates['linf:8/255']"),
        ({"gates": {"linf": 0.4}}, "gates['linf']"),
        ({"gates": {"else@clean": 0.4}}, "gates['else@clean']"),
        ({"models": 5}, "models"),
        ({"threats": [0.1]}, "threats"),
        ({"attacks": striate.PGD()}, "attacks"),
        ({"severities": 3}, "severities"),
        ({"augmentations": 7}, "augmentations"),
        ({"confidence": "high"}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"gates": 0.4}, "gates"),
        ({"gates": {5: 0.4}}, "gates[5]"),
        ({"gates": {"clean": "0.8"}}, "gates['clean']"),
        ({"gates": {"clean": float("nan")}}, "gates['clean']"),
        ({"budget_gradients": 0.5}, "budget_gradients"),
        ({"shard_images": 4}, "shard_images"),
        ({"mce_reference": "other"}, "mce_reference"),
        ({"mce_reference": "", "corruptions": "all"}, "mce_reference"),
        ({"mce_reference": 7, "corruptions": "all"}, "mce_reference"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    fake: Fake, service: striate.Service, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        service.audit(**{"models": "tiny", "dataset": "digits"} | options)
    assert list(caught.value.fields) == [field]
    assert not fake.requests("Audit")


def test_progress(fake: Fake, service: striate.Service) -> None:
    operation = service.audit("tiny", "digits")
    assert operation.name == AUDIT
    fake.operation_script.extend([auditing(64), auditing(128, seconds_left=90.5), audited()])
    seen: list[striate.AuditProgress] = []
    report = operation.wait(on_progress=seen.append)
    assert [
        (progress.images_done, progress.images_total, progress.seconds_left) for progress in seen
    ] == [
        (64, 200, None),
        (128, 200, 90.5),
        (200, 200, None),
    ]
    assert (seen[0].models, seen[0].dataset, seen[0].gradients, seen[0].stage) == (
        ("tiny",),
        "digits",
        7,
        "shard 1",
    )
    assert (report.verdict, report.passed, report.gates, report.report) == (
        "valid",
        True,
        (),
        REPORT,
    )
    assert report.provenance[0].model_digest == DIGEST


def test_gates(report: striate.AuditReport) -> None:
    assert [(one.model, one.condition, one.bar, one.verdict) for one in report.gates] == [
        ("tiny", "clean", 0.8, "pass"),
        ("tiny", "linf:8/255", 0.4, "fail"),
        ("tiny", "linf:1/255", 0.5, "open"),
        ("tiny", "l2:0.5", 0.7, "open"),
    ]
    assert [one.share for one in report.gates] == [0.9, 57 / 200, 117 / 200, 117 / 200]
    assert [(one.decided_after, one.images) for one in report.gates] == [
        (128, 200),
        (128, 200),
        (200, 200),
        (200, 200),
    ]
    assert [one.missed for one in report.gates] == [False, True, False, True]
    assert (report.verdict, report.passed) == ("suspect", False)
    assert striate.Gate("tiny", "clean", 0.5, "open", decided_after=0, images=0, robust=0).missed


def test_open_gates_have_not_failed(fake: Fake, service: striate.Service) -> None:
    fake.operation_script.append(audited(1, gate(8 / 255, 0.9, OPEN, 3)))
    assert service.audit("tiny", "digits").wait().passed


def test_reports_are_written(fake: Fake, report: striate.AuditReport, tmp_path: Path) -> None:
    assert json.loads(report.to_json(tmp_path / "new" / "r.json").read_text()) == REPORT
    assert report.to_json(tmp_path / "r.json").read_text() == report.json_text
    for write, form in (
        (report.to_html, "REPORT_FORMAT_HTML"),
        (report.to_junit, "REPORT_FORMAT_JUNIT"),
        (report.to_parquet, "REPORT_FORMAT_PARQUET"),
        (report.to_examples, "REPORT_FORMAT_EXAMPLES"),
    ):
        assert write(tmp_path / "deep" / form).read_text() == f"{form} of {AUDIT}"
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(
        f"REPORT_FORMAT_{name}" for name in ("HTML", "JUNIT", "PARQUET", "EXAMPLES")
    )


def test_a_report_that_breaks_off_leaves_the_file_that_was_there(
    fake: Fake, report: striate.AuditReport, tmp_path: Path
) -> None:
    def break_off(
        request: audit_pb2.ReadAuditReportRequest, context: grpc.ServicerContext
    ) -> Iterator[audit_pb2.ReadAuditReportResponse]:
        yield audit_pb2.ReadAuditReportResponse(data=b"half")
        failure(Code.NOT_FOUND, "gone", reason("OPERATION_NOT_FOUND"))(context)

    path = tmp_path / "r.html"
    path.write_text("old")
    fake.report_parts = break_off
    with pytest.raises(striate.OperationNotFound):
        report.to_html(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("r.html", "old")]
    stuck = threading.Event()
    fake.report_parts = lambda request, context: iter([stuck.wait(LONG)][:0])
    with pytest.raises(striate.DeadlineExceeded):
        report.to_html(path, timeout=0.2)
    stuck.set()


def test_the_summary_is_a_table(report: striate.AuditReport) -> None:
    lines = report.summary().splitlines()
    assert lines[0] == "suspect: 200 images of digits"
    assert lines[1] == "tiny: randomness: 3 <b>passes</b> differ"
    assert lines[3].split() == [
        "network",
        "condition",
        "noise",
        "PGD-40",
        "APGD-50",
        "accuracy",
        "95%",
        "interval",
    ]
    assert lines[4].split() == ["tiny", "clean", "90.0%", "85.0", "to", "95.0%"]
    assert lines[5].split() == [
        "tiny",
        "linf:1/255",
        "89.0%",
        "60.5%",
        "59.5%",
        "58.5%",
        "53.5",
        "to",
        "63.5%",
    ]
    assert lines[6].split() == [
        "tiny",
        "linf:8/255",
        "85.5%",
        "30.5%",
        "29.5%",
        "28.5%",
        "23.5",
        "to",
        "33.5%",
    ]
    assert lines[7].split() == ["tiny", "corruptions,", "mean", "of", "2", "70.0%"]
    assert [line.split()[7:] for line in lines[-4:]] == [
        ["pass", "after", "128"],
        ["fail", "after", "128"],
        ["open"],
        ["open"],
    ]
    starts = {
        line.index("condition") if "condition" in line else line.index("linf")
        for line in (lines[3], lines[5], lines[6])
    }
    assert len(starts) == 1, "columns are aligned"
    assert str(report) == report.summary()
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + 4 + 1 + 4
    assert "57 of 200" in html


def test_a_report_is_found_again(fake: Fake, service: striate.Service) -> None:
    fake.operations[AUDIT] = audited()
    assert service.audit_report(AUDIT).report == REPORT
    fake.operations["operations/1"] = finished("operations/1")
    with pytest.raises(striate.InvalidArgument, match="is no audit"):
        service.audit_report("operations/1")
    with pytest.raises(striate.OperationNotFound):
        service.audit_report("operations/2")
    fake.operations[AUDIT] = failed(AUDIT, Code.ABORTED, "the server ended")
    with pytest.raises(striate.Aborted):
        service.audit_report(AUDIT)


@pytest.mark.parametrize(
    "state",
    [
        audited(1, text="{"),
        audited(1, text="[1]"),
        audited(1, text='{"images": "many"}'),
        audited(0),
        audited(9),
        audited(1, gate(0, 0.5, 0, 1)),
    ],
)
def test_broken_reports_are_noticed(fake: Fake, service: striate.Service, state: Any) -> None:
    fake.operations[AUDIT] = state
    with pytest.raises(striate.Internal):
        service.audit_report(AUDIT)


def test_starting_an_audit_is_repeated_only_when_it_had_not_begun(
    fake: Fake, service: striate.Service
) -> None:
    fake.failures.append(failure(Code.RESOURCE_EXHAUSTED, "full", reason("QUEUE_FULL"), pushback=1))
    service.audit("tiny", "digits")
    assert len(fake.requests("Audit")) == 2
    fake.failures.append(failure(Code.UNAVAILABLE, "connection reset"))
    with pytest.raises(striate.Unavailable):
        service.audit("tiny", "digits")
    assert len(fake.requests("Audit")) == 3
