"""The report as JSON: stable text, and a schema that lets in what an audit writes and
nothing else.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from interp.audit.report import SCHEMA
from service.report import condition, json_text, schema
from tests.service.report.toys_report import example, rate, small, suspect

OPEN = {"versions", "attacks"}  # further keys are theirs to have: packages, hyper-parameters


VALIDATOR = Draft202012Validator(schema())


def valid(report: Any) -> bool:
    return bool(VALIDATOR.is_valid(report))


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all objects, of every list's items only the last."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from objects(item, (*path, key))
    if isinstance(value, list) and value:
        yield from objects(value[-1], (*path, len(value) - 1))


def inner(report: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        report = report[key]
    return report


def hyper_parameters(path: tuple[str | int, ...]) -> bool:
    return path[:2] == ("settings", "attacks")


OBJECTS = list(objects(small()))


def test_the_schema_is_one_and_names_itself() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema()["properties"]["schema"]["const"] == SCHEMA == example()["schema"]


def test_every_object_of_the_schema_is_closed_or_known_to_be_open() -> None:
    def open_ones(value: Any, name: str) -> Iterator[str]:
        if isinstance(value, dict):
            if value.get("type") == "object" and value.get("additionalProperties") is not False:
                yield name
            for key, item in value.items():
                yield from open_ones(item, name if key in ("items", "properties") else key)
        elif isinstance(value, list):
            for item in value:
                yield from open_ones(item, name)

    assert set(open_ones(schema(), "")) == OPEN


@pytest.mark.parametrize("report", [example(), suspect()], ids=["valid", "suspect"])
def test_reports_keep_the_schema(report: dict[str, Any]) -> None:
    VALIDATOR.validate(report)
    VALIDATOR.validate(json.loads(json_text(report)))


def test_an_audit_of_little_keeps_the_schema() -> None:
    report = example() | {"comparisons": [], "gates": [], "stopped": "gates"}
    report["settings"] |= {
        "interval": "anytime",
        "corruptions": [],
        "augmentations": [],
        "magnitudes": [],
        "severities": [],
        "threats": [],
        "attacks": [],
    }
    network = report["networks"][0] | {
        "threats": [],
        "classes": [],
        "corruptions": [],
        "augmentations": [],
        "checks": [],
        "mean_corruption_accuracy": None,
    }
    assert valid(report | {"networks": [network | {"clean": rate(0, 0)}]})


def test_a_key_more_is_refused() -> None:
    accepted = []
    for path in OBJECTS:
        report = small()
        inner(report, path)["surplus"] = "1.0"
        if valid(report):
            accepted.append(path)
    assert accepted == [path for path in OBJECTS if path == ("versions",) or hyper_parameters(path)]


def test_a_key_less_is_refused() -> None:
    needed = [
        (path, key)
        for path in OBJECTS
        for key in inner(small(), path)
        if not hyper_parameters(path) or key == "name"
    ]
    accepted = []
    for path, key in needed:
        report = small()
        del inner(report, path)[key]
        if valid(report):
            accepted.append((*path, key))
    assert len(needed) > 100
    assert not accepted


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "striate.audit/2"),
        (("verdict",), "fine"),
        (("complete",), 1),
        (("stopped",), "time"),
        (("images",), -1),
        (("images",), 1.5),
        (("versions", "torch"), 2.11),
        (("settings", "confidence"), 1),
        (("settings", "interval"), "normal"),
        (("settings", "attacks", 0, "deep"), {"a": 1}),
        (("settings", "severities"), [6]),
        (("settings", "corruptions"), ["fog", "fog"]),
        (("settings", "threats", 0, "norm"), "l0"),
        (("settings", "threats", 0, "epsilons"), []),
        (("settings", "threats", 0, "epsilons", 0), 0),
        (("networks",), []),
        (("networks", 0, "digest"), "ABC"),
        (("networks", 0, "clean"), 0.8),
        (("networks", 0, "clean", "value"), None),
        (("networks", 0, "clean", "value"), 1.1),
        (("networks", 0, "clean", "low"), -0.1),
        (("networks", 0, "clean"), rate(0, 0) | {"value": 0.0}),
        (("networks", 0, "clean"), rate(0, 0) | {"successes": 1}),
        (("networks", 0, "threats", 0, "worst"), []),
        (("networks", 0, "threats", 0, "minimal_epsilon", "quantiles", 0), [0.1]),
        (("networks", 0, "threats", 0, "minimal_epsilon", "quantiles", 0), [0.1, 0.2, 0.3]),
        (("networks", 0, "threats", 0, "minimal_epsilon", "median"), "none"),
        (("networks", 0, "classes", 0, "worst", 0, "condition"), "clean"),
        (("networks", 0, "corruptions", 0, "severity"), 0),
        (("networks", 0, "checks", 0, "status"), "pass"),
        (("networks", 0, "checks", 0, "evidence"), ""),
        (("comparisons", 0, "p_value"), 1.01),
        (("comparisons", 0, "condition"), "linf:8:255"),
        (("gates", 0, "condition"), "linf"),
        (("gates", 0, "verdict"), "passed"),
        (("gates", 0, "bar"), 40),
    ],
)
def test_a_wrong_value_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    report = small()
    assert valid(report)
    inner(report, path[:-1])[path[-1]] = value
    assert not valid(report)


@pytest.mark.parametrize(
    "epsilon", [1 / 255, 8 / 255, 0.5 / 255, 0.1, 0.0314, 3.14159265, 12.0, 1000.0, 1e-7, 2e7]
)
def test_conditions_keep_the_schema(epsilon: float) -> None:
    report = small()
    report["gates"][0]["condition"] = condition("l2", epsilon)
    assert valid(report)


def test_text_is_stable() -> None:
    report = example()
    text = json_text(report)
    assert json.loads(text) == report
    assert text == json_text(dict(reversed(copy.deepcopy(report).items())))
    assert text.isascii()
    assert text.endswith("}\n")
    names = list(json.loads(text))
    assert names == sorted(names)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text(example() | {"images": value})
