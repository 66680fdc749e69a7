"""What a report says besides the counts, and the table of a row an image."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from interp.audit.conditions import parse
from interp.audit.plan import MAGNITUDES, column_names
from interp.audit.report import AuditedNetwork
from interp.audit.statistics import anytime
from interp.audit.table import rows
from tests.interp.audit.toys_tally import (
    L2,
    LINF,
    NAMES,
    PLAN,
    Check,
    case,
    is_right,
    tally,
    told,
    withstands,
)


def test_a_report_says_what_was_asked_for() -> None:
    one = case(2, 30, gates=False)
    dataset = {"name": "test", "uri": "digits", "images": 40, "classes": list(NAMES)}
    found = told(tally(one), dataset=dataset, versions={"torch": "2.11"})
    assert found["schema"] == "striate.audit/1"
    assert found["versions"] == {"torch": "2.11"}
    assert found["dataset"] == dataset
    assert (found["images"], found["complete"], found["stopped"]) == (30, False, None)
    assert told(tally(one))["complete"]
    assert found["settings"] == {
        "shard_images": 64,
        "seed": 3,
        "eight_bit": True,
        "confidence": 0.9,
        "interval": "clopper-pearson",
        "fixed_n_interval": None,
        "attacks": [
            {"name": "fgsm", "label": "FGSM", "keep_best": False, "loss": "margin"},
            {"name": "fgsm", "label": "two", "keep_best": False, "loss": "cross-entropy"},
        ],
        "threats": [{"norm": "linf", "epsilons": list(LINF)}, {"norm": "l2", "epsilons": list(L2)}],
        "corruptions": ["fog", "snow"],
        "severities": [2, 5],
        "augmentations": ["rotation"],
        "magnitudes": [MAGNITUDES["rotation"]],
    }


def test_a_network_is_suspect_for_a_failed_check_and_without_any() -> None:
    one = case(2, 5, networks=3)
    for checks, verdict in (
        ([Check(), Check(status="skipped")], "valid"),
        ([Check(), Check(status="failed", evidence="3 of 5", source="there")], "suspect"),
        ([], "suspect"),
    ):
        subjects = [
            AuditedNetwork("x", "1", [Check()]),
            AuditedNetwork("y", "2", checks),
            AuditedNetwork("z", "3", [Check()]),
        ]
        found = told(tally(one), subjects=subjects)
        assert [network["verdict"] for network in found["networks"]] == ["valid", verdict, "valid"]
        assert found["verdict"] == verdict
        assert found["networks"][1]["checks"] == [check._asdict() for check in checks]


@pytest.mark.parametrize(
    ("gates", "options"),
    [(True, {}), (False, {"stopped": "budget"}), (False, {"settings": {"budget_gradients": 9}})],
)
def test_an_audit_that_may_end_early_has_intervals_that_hold_at_all_times(
    gates: bool, options: dict[str, Any]
) -> None:
    one = case(2, 50, gates=gates)
    found = told(tally(one), **options)
    assert found["settings"]["interval"] == "anytime"
    rate = found["networks"][0]["threats"][0]["worst"][0]
    low, high = anytime(rate["successes"], 50, 0.9)
    assert (rate["low"], rate["high"]) == (float(low), float(high))
    fixed = told(tally(case(2, 50, gates=False)))["networks"][0]["threats"][0]["worst"][0]
    assert rate["low"] < fixed["low"] < fixed["high"] < rate["high"]
    assert "fixed_n" not in fixed


@pytest.mark.parametrize("gates", [True, False])
def test_where_such_an_audit_comes_to_its_last_image_the_fixed_n_interval_stands_beside(
    gates: bool,
) -> None:
    settings = {} if gates else {"settings": {"budget_gradients": 9}}
    total = tally(case(2, 50, gates=gates))
    found = told(total, **settings)
    assert found["settings"]["fixed_n_interval"] == "clopper-pearson"
    seen = [*every_rate(found)]
    assert len(seen) > 60
    for rate in seen:
        exact = stats.binomtest(rate["successes"], max(rate["trials"], 1)).proportion_ci(0.9)
        ends = (exact.low, exact.high) if rate["trials"] else (0.0, 1.0)
        assert (rate["fixed_n"]["low"], rate["fixed_n"]["high"]) == pytest.approx(ends)
        assert rate["low"] <= rate["fixed_n"]["low"] <= rate["fixed_n"]["high"] <= rate["high"]
    early = told(total, dataset={"images": 51, "classes": NAMES}, **settings)
    assert early["settings"]["fixed_n_interval"] is None
    assert not any("fixed_n" in rate for rate in every_rate(early))


def every_rate(value: Any) -> Iterator[dict[str, Any]]:
    """Every rate of a report."""
    if isinstance(value, dict) and "successes" in value:
        yield value
    else:
        inner = value.values() if isinstance(value, dict) else value
        for item in inner if isinstance(value, dict | list) else ():
            yield from every_rate(item)


def test_the_table_has_a_row_an_image() -> None:
    one = case(11, 25)
    judged, labels = one.judged[1], one.labels
    table = rows(
        judged,
        PLAN,
        network="net1",
        ids=np.arange(50, 75),
        names=[f"n{i}" for i in range(25)],
        labels=labels,
    )
    assert [*table] == [
        "id",
        "name",
        "label",
        "network",
        "clean_prediction",
        "clean_correct",
        *column_names(PLAN),
        "failure",
    ]
    assert all(len(column) == 25 for column in table.values())
    for i, y in enumerate(labels.tolist()):
        row = {name: column[i] for name, column in table.items()}
        assert (row["id"], row["name"], row["label"], row["network"]) == (
            50 + i,
            f"n{i}",
            y,
            "net1",
        )
        assert (row["clean_prediction"], row["clean_correct"]) == (
            judged.clean[i],
            is_right(judged, y, i),
        )
        for t, (norm, epsilons) in enumerate((("linf", LINF), ("l2", L2))):
            conditions = [
                name.split()[0]
                for name in table
                if name.startswith(f"{norm}:") and name.endswith("noise")
            ]
            assert [parse(name)[1] for name in conditions] == pytest.approx(list(epsilons))
            for e, name in enumerate(conditions):
                assert row[f"{name} noise"] == judged.noise[t][e][i]
                for a, label in enumerate(("FGSM", "two")):
                    assert row[f"{name} {label}"] == withstands(judged, y, i, t, e, [a])
            fallen = [x for e, x in enumerate(epsilons) if not withstands(judged, y, i, t, e)]
            minimal = row[f"{norm} minimal_epsilon"]
            assert (
                minimal == (0 if not is_right(judged, y, i) else fallen[0])
                if fallen
                else math.isnan(minimal)
            )
        assert [row[f"{name} {s}"] for name, s in PLAN.corrupted] == judged.corrupted[:, i].tolist()
        assert row["rotation"] == judged.augmented[0, i]
