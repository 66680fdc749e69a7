"""What a report of an audit shows besides accuracies: two intervals, and networks compared."""

import copy
import json
from typing import Any

import striate
from striate._formats import audit_table
from tests.client.fakes.fakes_robustness import AUDIT, REPORT, audited
from tests.client.fakes.fakes_server import Fake
from tests.client.toys_cli import Cli

COMPARED = {
    "first": "tiny",
    "second": "other",
    "condition": "linf:8/255",
    "only_first": 12,
    "only_second": 3,
    "p_value": 0.0351562,
    "holm_p_value": 0.0703125,
}
SEQUENTIAL = {"anytime_p_value": 0.21, "anytime_holm_p_value": 0.42}


def report(**settings: Any) -> dict[str, Any]:
    """A report with a comparison, and with every accuracy's second interval if there is one."""
    found = copy.deepcopy(REPORT) | {"comparisons": [dict(COMPARED)]}
    found["settings"] |= settings
    if settings.get("fixed_n_interval"):
        network = found["networks"][0]
        for rate in (network["clean"], *network["threats"][0]["worst"]):
            rate["fixed_n"] = {"low": rate["value"] - 0.01, "high": rate["value"] + 0.01}
    if settings.get("interval") == "anytime":
        found["comparisons"][0] |= SEQUENTIAL
    return found


def read(fake: Fake, service: striate.Service, values: dict[str, Any]) -> striate.AuditReport:
    fake.operations[AUDIT] = audited(text=json.dumps(values))
    return service.audit_report(AUDIT)


def test_intervals_are_called_what_they_are() -> None:
    assert audit_table.header(report())[-1] == "95% interval"
    assert audit_table.header(report(interval="clopper-pearson"))[-1] == "95% interval"
    early = report(interval="anytime", fixed_n_interval=None)
    assert audit_table.header(early)[-2:] == ("accuracy", "95% anytime interval")
    assert audit_table.rows(early)[0][-2:] == ("90.0%", "85.0 to 95.0%")


def test_both_intervals_stand_beside_each_other(fake: Fake, service: striate.Service) -> None:
    values = report(interval="anytime", fixed_n_interval="clopper-pearson")
    names = ("accuracy", "95% anytime interval", "95% fixed-n interval")
    assert audit_table.header(values)[-3:] == names
    rows = audit_table.rows(values)
    assert {len(row) for row in rows} == {len(audit_table.header(values))}
    assert rows[0][-3:] == ("90.0%", "85.0 to 95.0%", "89.0 to 91.0%")
    found = read(fake, service, values)
    for shown in (found.summary(), found._repr_html_()):
        assert "95% fixed-n interval" in shown
        assert "89.0 to 91.0%" in shown


def test_comparisons_have_both_p_values(fake: Fake, service: striate.Service) -> None:
    found = read(fake, service, report())
    assert found.comparisons == (
        striate.Comparison("tiny", "other", "linf:8/255", 12, 3, 0.0351562, 0.0703125, None, None),
    )
    summary, html = found.summary().splitlines(), found._repr_html_()
    assert " ".join(summary[-2].split()) == " ".join(audit_table.COMPARISON_HEADER)
    assert summary[-2].endswith("McNemar p  Holm-corrected")
    assert summary[-1].split() == ["tiny", "other", "linf:8/255", "12", "3", "0.035", "0.07"]
    assert "<td>0.035</td><td>0.07</td>" in html
    assert read(fake, service, REPORT).comparisons == ()


def test_where_an_audit_may_end_early_both_tests_are_shown(
    fake: Fake, service: striate.Service
) -> None:
    found = read(fake, service, report(interval="anytime"))
    (one,) = found.comparisons
    assert (one.anytime_p_value, one.anytime_holm_p_value) == (0.21, 0.42)
    assert found.summary().splitlines()[-1].split()[-4:] == ["0.035", "0.07", "0.21", "0.42"]


def test_the_command_prints_comparisons(cli: Cli) -> None:
    cli.fake.operations[AUDIT] = audited(text=json.dumps(report()))
    lines = [line.split() for line in cli.run("audit", "--resume", AUDIT).stdout.splitlines()]
    assert ["tiny", "other", "linf:8/255", "12", "3", "0.035", "0.07"] in lines
    assert cli.json("audit", "--resume", AUDIT)["report"]["comparisons"] == [COMPARED]


def referenced(*corruptions: dict[str, Any], over: tuple[int, int]) -> dict[str, Any]:
    """A report with corruption errors."""
    found = report(severities=[1, 3])
    found["mce_reference"] = {"name": "alexnet"}
    found["networks"][0]["corruption_error"] = {
        "mce": 0.8125,
        "mce_over": over[0],
        "relative_mce": None,
        "relative_mce_over": over[1],
        "corruptions": list(corruptions),
    }
    return found


def error(name: str, ce: float | None, undefined: str | None = None) -> dict[str, Any]:
    return {"name": name, "ce": ce, "relative_ce": ce, "undefined": undefined}


def test_corruption_errors_are_read_and_say_what_they_are_over(
    fake: Fake, service: striate.Service
) -> None:
    values = referenced(error("fog", 0.8125), error("snow", None, "none"), over=(1, 0))
    found = read(fake, service, values)
    (one,) = found.corruption_errors
    assert (one.model, one.reference, one.mce, one.relative_mce) == (
        "tiny",
        "alexnet",
        0.8125,
        None,
    )
    assert one.severities == (1, 3)
    assert one.corruptions == (
        striate.CorruptionError("fog", 0.8125, 0.8125, ""),
        striate.CorruptionError("snow", None, None, "none"),
    )
    row = "tiny alexnet 81.2% undefined 1 and 0 of fog, snow at severities 1, 3"
    assert row in [" ".join(line.split()) for line in found.summary().splitlines()]
    assert "snow: none" in found.summary().splitlines()
    assert "1 and 0 of fog, snow at severities 1, 3" in found._repr_html_()
    many = referenced(*(error(f"c{n}", 1.0) for n in range(15)), over=(15, 15))
    assert "15 corruptions at severities 1, 3" in read(fake, service, many).summary()
    assert read(fake, service, report()).corruption_errors == ()


def test_the_command_prints_corruption_errors(cli: Cli) -> None:
    values = referenced(error("fog", 0.8125), error("snow", None, "none"), over=(1, 1))
    cli.fake.operations[AUDIT] = audited(text=json.dumps(values))
    printed = cli.run("audit", "--resume", AUDIT).stdout
    assert "mCE" in printed
    assert "fog, snow at severities 1, 3" in printed
    assert "snow: none" in printed.splitlines()
