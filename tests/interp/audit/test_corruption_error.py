"""mCE and relative mCE against the publication's equations, counted out image by image."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from interp.audit.corruption_error import Reference, corruptions_alone
from interp.audit.report import AuditedNetwork
from interp.audit.result import Bools, Ints, ShardResult
from interp.audit.tally import Tally
from tests.interp.audit.toys_tally import (
    CLASSES,
    NAMES,
    PLAN,
    Check,
    case,
    found,
    is_right,
    part,
    told,
)

IMAGES = 60
LEVELS = len(PLAN.severities)


def errors(judged: ShardResult, labels: Ints) -> tuple[list[list[Fraction]], Fraction]:
    """(error rate of each corruption at each severity, of the clean images), image by image."""
    rates = [
        Fraction(sum(not judged.corrupted[row][i] for i in range(len(labels))), len(labels))
        for row in range(len(PLAN.corrupted))
    ]
    wrong = sum(not is_right(judged, y, i) for i, y in enumerate(labels.tolist()))
    by_corruption = [rates[start : start + LEVELS] for start in range(0, len(rates), LEVELS)]
    return by_corruption, Fraction(wrong, len(labels))


def audited(seed: int, alone: bool, cuts: tuple[int, ...] = ()) -> tuple[dict[str, Any], Any, Ints]:
    """(a report of two networks, everything judged, labels); the reference is a third, or the
    second.
    """
    one = case(seed, IMAGES, networks=2, gates=False)
    judged, subjects = list(one.judged), ["net0", "net1"]
    if alone:
        rng = np.random.default_rng(seed + 1)
        judged.append(found(rng, one.labels, corruptions_alone(PLAN), 0.4))
    reference = corruptions_alone(PLAN) if alone else None
    total = Tally(PLAN, CLASSES, 2, reference=reference)
    edges = [0, *cuts, IMAGES]
    for first, end in pairwise(edges):
        total.add([part(j, slice(first, end)) for j in judged], one.labels[first:end], first)
    report = told(
        total,
        subjects=[AuditedNetwork(name, "0" * 64, [Check()]) for name in subjects],
        mce_reference=Reference("alexnet" if alone else "net1", "a" * 64),
    )
    return report, judged, one.labels


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("cuts", [(), (7, 30)])
def test_the_equations_of_section_4_2(alone: bool, cuts: tuple[int, ...]) -> None:
    report, judged, labels = audited(4, alone, cuts)
    unit, unit_clean = errors(judged[-1], labels)
    for network, one in zip(report["networks"], judged, strict=False):
        ours, clean = errors(one, labels)
        error = network["corruption_error"]
        ces = [sum(a) / sum(b) for a, b in zip(ours, unit, strict=True)]
        relative = [
            sum(e - clean for e in a) / sum(e - unit_clean for e in b)
            for a, b in zip(ours, unit, strict=True)
        ]
        defined = [sum(e - unit_clean for e in b) > 0 for b in unit]
        assert [item["name"] for item in error["corruptions"]] == ["fog", "snow"]
        assert [item["ce"] for item in error["corruptions"]] == pytest.approx(
            [float(ce) for ce in ces]
        )
        for item, exact, known in zip(error["corruptions"], relative, defined, strict=True):
            assert item["relative_ce"] == (pytest.approx(float(exact)) if known else None)
            assert (item["undefined"] is None) == known
        assert error["mce"] == pytest.approx(float(sum(ces) / 2))
        assert (error["mce_over"], error["relative_mce_over"]) == (2, sum(defined))
    assert all(defined)  # else the last means nothing
    reference = report["mce_reference"]
    assert (reference["audited"], reference["name"]) == (not alone, "alexnet" if alone else "net1")
    assert reference["clean"]["successes"] == IMAGES * (1 - unit_clean)
    shown = [Fraction(item["accuracy"]["successes"], IMAGES) for item in reference["corruptions"]]
    assert shown == [1 - rate for rates in unit for rate in rates]


def test_a_network_beside_itself_has_the_error_one() -> None:
    report, *_ = audited(4, alone=False)
    error = report["networks"][1]["corruption_error"]
    assert (error["mce"], error["relative_mce"]) == (1, 1)


def test_a_reference_alone_is_compared_with_nobody_and_costs_no_gradients() -> None:
    report, judged, _ = audited(4, alone=True)
    assert {(item["first"], item["second"]) for item in report["comparisons"]} == {("net0", "net1")}
    assert [network["name"] for network in report["networks"]] == ["net0", "net1"]
    assert judged[-1].fooled_at == judged[-1].noise == []


def judged_as(clean: Bools, corrupted: Bools) -> ShardResult:
    """Images of class 0, right where told."""
    return ShardResult(
        np.where(clean, 0, 1), [], [], [], corrupted, np.zeros((0, len(clean)), bool), 0, 0, []
    )


def test_what_is_divided_by_nothing_is_undefined_and_says_so() -> None:
    plan = corruptions_alone(PLAN)
    clean = np.array([True, True, False, False])
    perfect = np.ones((4, 4), dtype=bool)
    perfect[2:] = clean  # no errors in fog, and as many in snow as on clean images
    network = judged_as(clean, np.zeros((4, 4), dtype=bool))
    total = Tally(plan, 1, 2)
    total.add([network, judged_as(clean, perfect)], np.zeros(4, dtype=np.int64), 0)
    subjects = [AuditedNetwork(name, "0" * 64, []) for name in ("net", "unit")]
    facts = {"name": "d", "images": 4, "classes": ["a"]}
    report = told(total, subjects=subjects, dataset=facts, mce_reference=Reference("unit", "b"))
    error = report["networks"][0]["corruption_error"]
    fog, snow = error["corruptions"]
    assert (fog["ce"], fog["relative_ce"]) == (None, None)
    assert "unit errs on none of the 4 images" in fog["undefined"]
    assert (snow["ce"], snow["relative_ce"]) == (2, None)
    assert "no more often than on the clean images" in snow["undefined"]
    assert (error["mce"], error["mce_over"]) == (2, 1)
    assert (error["relative_mce"], error["relative_mce_over"]) == (None, 0)


def test_without_a_reference_there_are_no_corruption_errors() -> None:
    one = case(4, 10, gates=False)
    total = Tally(PLAN, CLASSES, 2)
    total.add(one.judged, one.labels, 0)
    report = told(total, dataset={"name": "d", "images": 10, "classes": NAMES})
    assert report["mce_reference"] is None
    assert {network["corruption_error"] for network in report["networks"]} == {None}
