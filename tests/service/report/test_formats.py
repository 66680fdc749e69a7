"""Reports as `interp.audit.report` makes them: they keep the schema, and every format takes
them.
"""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from interp.attack.pgd import pgd
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.report import AuditedNetwork, report
from interp.audit.result import Examples, ShardResult
from interp.audit.statistics import Gate
from interp.audit.tally import NetworkGate, Tally
from service import report as reports
from tests.service.report.oracles_html import read

CLASSES = ("cat", "dog", "cow")
IMAGES = 40


class Found(NamedTuple):
    """What a check found."""

    name: str = "randomness"
    status: str = "passed"
    evidence: str = "Two passes agree on 40 images."
    source: str = "Carlini et al. 2019"


def judged(plan: Plan, labels: Any, seed: int) -> ShardResult:
    """Images judged by chance, as an audit may have found them."""
    rng = np.random.default_rng(seed)
    clean = np.where(rng.random(IMAGES) < 0.8, labels, (labels + 1) % len(CLASSES))
    shapes = [len(threat.epsilons) for threat in plan.threats]
    fooled_at = [
        np.where(
            clean == labels, rng.integers(0, epsilons + 1, (len(plan.attacks), IMAGES)), 0
        ).astype(np.int16)
        for epsilons in shapes
    ]
    worst_at = [at.min(0, initial=epsilons) for at, epsilons in zip(fooled_at, shapes, strict=True)]
    return ShardResult(
        clean,
        [rng.random((epsilons, IMAGES)) < 0.7 for epsilons in shapes],
        fooled_at,
        worst_at,
        rng.random((len(plan.corrupted), IMAGES)) < 0.6,
        rng.random((len(plan.augmentations), IMAGES)) < 0.6,
        gradients=1000,
        queries=0,
        examples=[
            _examples(np.flatnonzero((clean == labels) & (at < epsilons)), len(plan.attacks) + 1)
            for at, epsilons in zip(worst_at, shapes, strict=True)
        ],
    )


def _examples(row: Any, finders: int) -> Examples:
    nothing = np.zeros(len(row), dtype=np.int64)
    return Examples(
        np.zeros((len(row), 1, 1, 1), dtype=np.uint8),
        row,
        row % finders,
        nothing,
        nothing,
        nothing,
        nothing.astype(np.float64),
    )


def made(plan: Plan, bars: tuple[float, ...] = (), checked: bool = True) -> dict[str, Any]:
    """The report of an audit of two networks with this plan, and gates on the clean images of the
    first.
    """
    labels = np.random.default_rng(9).integers(0, len(CLASSES), IMAGES)
    tally = Tally(plan, len(CLASSES), 2, [NetworkGate(0, "clean", Gate(bar)) for bar in bars])
    tally.add([judged(plan, labels, 1), judged(plan, labels, 2)], labels, 0)
    found = [Found(), Found(name="zero-gradients", status="skipped")] if checked else []
    return report(
        tally,
        [AuditedNetwork("a", "0" * 64, found), AuditedNetwork("b", "f" * 64, found)],
        confidence=0.95,
        dataset={
            "name": "pets",
            "uri": "photo",
            "size": 99,
            "first_row": 0,
            "images": IMAGES,
            "order": "random, seed 0",
            "classes": [*CLASSES],
        },
        settings={"shard_images": 64, "deterministic_chunk": 8, "budget_gradients": 0},
        versions=dict.fromkeys(("striate", "torch", "torchvision", "numpy", "python"), "1"),
    )


def entry(label: str) -> PlannedAttack:
    """An attack by its label."""
    method = replace(pgd(), settings={"steps": 40, "step": None, "loss": "dlr"})
    return PlannedAttack(label, method)


FULL = Plan(
    (Threat(math.inf, (1 / 255, 8 / 255)), Threat(2.0, (0.5,)), Threat(1.0, (12.0, 1000.0))),
    (entry("PGD-40"), entry("PGD-40 #2")),
    corruptions=("fog", "snow"),
    augmentations=("rotation", "noise"),
)
PLANS = {
    "full": made(FULL, bars=(0.1, 0.5, 0.8, 0.99)),
    "unchecked": made(FULL, checked=False),
    "clean": made(Plan(())),
    "noise": made(Plan((Threat(math.inf, (8 / 255,)),))),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_schema_is_kept(name: str) -> None:
    Draft202012Validator(reports.schema()).validate(PLANS[name])


@pytest.mark.parametrize("name", PLANS)
def test_the_page_is_made(name: str) -> None:
    tree = read(reports.audit_page(PLANS[name]))
    assert tree.one("h1").text == "a and b"
    charts = [
        chart.attributes["data-norm"]
        for chart in tree.all("svg")
        if "data-norm" in chart.attributes
    ]
    assert charts == [threat["norm"] for threat in PLANS[name]["networks"][0]["threats"]]


def test_gates_come_out_as_they_were_decided() -> None:
    gates = PLANS["full"]["gates"]
    (first, second) = ET.fromstring(reports.junit(PLANS["full"]).encode())
    failed = [
        case.find("failure") is not None
        for case in first.iter("testcase")
        if case.attrib["classname"] == "a.gates"
    ]
    assert [gate["verdict"] for gate in gates][::3] == ["pass", "fail"]
    assert failed == [
        gate["verdict"] == "fail"
        or (gate["verdict"] == "open" and gate["rate"]["value"] < gate["bar"])
        for gate in gates
    ]
    assert not any(case.attrib["classname"] == "b.gates" for case in second.iter("testcase"))
