"""The report as JUnit: suites, cases and outcomes as continuous integration systems read them."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from service.report import junit
from tests.service.report.toys_report import example, gate, rate, suspect

OUTCOMES = ("failure", "error", "skipped")


def root(report: dict[str, Any]) -> ET.Element:
    return ET.fromstring(junit(report).encode())


def outcome(case: ET.Element) -> str:
    found = [child.tag for child in case if child.tag in OUTCOMES]
    assert len(found) <= 1
    return found[0] if found else "passed"


def outcomes(suite: ET.Element) -> dict[str, str]:
    return {case.attrib["name"]: outcome(case) for case in suite.iter("testcase")}


def test_one_suite_a_network_with_its_gates_and_checks() -> None:
    plain, robust = root(example())
    checks = {check["name"]: "passed" for check in example()["networks"][0]["checks"]} | {
        "doubled-steps": "skipped",
        "verdict is valid": "passed",
    }
    assert (plain.attrib["name"], robust.attrib["name"]) == ("cifar10-plain", "cifar10-robust")
    assert outcomes(plain) == {"accuracy on L∞ ≤ 8/255 is at least 0.3": "failure"} | checks
    assert (
        outcomes(robust)
        == {
            "accuracy on L∞ ≤ 8/255 is at least 0.25": "passed",
            "accuracy on clean images is at least 0.45": "skipped",
        }
        | checks
    )
    assert {case.attrib["classname"] for case in plain.iter("testcase")} == {
        "cifar10-plain.verdict",
        "cifar10-plain.gates",
        "cifar10-plain.checks",
    }


def test_structure_is_that_of_junit() -> None:
    tree = root(suspect())
    assert tree.tag == "testsuites"
    for suite in tree:
        assert suite.tag == "testsuite"
        assert [child.tag for child in suite] == ["properties"] + ["testcase"] * (len(suite) - 1)
        for case in suite.iter("testcase"):
            assert case.attrib.keys() == {"classname", "name", "time"}
            assert {child.tag for child in case} <= {*OUTCOMES, "system-out"}
            assert all(child.attrib["message"] for child in case if child.tag in OUTCOMES)
            for failure in case.iter("failure"):
                assert failure.attrib["type"] == case.attrib["classname"].rpartition(".")[2]
                assert failure.text == failure.attrib["message"]


def test_sums_are_what_one_counts() -> None:
    tree = root(suspect())
    for element in (tree, *tree):
        found = [outcome(case) for case in element.iter("testcase")]
        assert {key: element.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": str(len(found)),
            "failures": str(found.count("failure")),
            "errors": "0",
            "skipped": str(found.count("skipped")),
        }
    assert tree.attrib["tests"] == "17"
    assert tree.attrib["failures"] == "3"  # a gate, a check, and the verdict that rests on it


def test_the_verdict_of_each_network_is_a_case_of_its_own() -> None:
    def verdicts(report: dict[str, Any]) -> list[ET.Element]:
        cases = root(report).iter("testcase")
        return [case for case in cases if case.attrib["classname"].endswith(".verdict")]

    sound, too = verdicts(example())
    assert [outcome(case) for case in (sound, too)] == ["passed", "passed"]
    assert sound.findtext("system-out") == "valid: 5 checks passed, none failed, 1 did not apply"
    doubtful, sound = verdicts(suspect())
    assert [outcome(case) for case in (doubtful, sound)] == ["failure", "passed"]
    failure = doubtful.find("failure")
    assert failure is not None
    words = "suspect: zero-gradients: Gradients vanish on 0.2% of the images."
    assert failure.attrib == {"message": words, "type": "verdict"}
    assert failure.text == words
    report = example()
    report["networks"][1] |= {"verdict": "suspect", "checks": []}
    _, unchecked = verdicts(report)
    failure = unchecked.find("failure")
    assert failure is not None
    assert "the audit did not check itself" in failure.attrib["message"]


@pytest.mark.parametrize(
    ("verdict", "measured", "expected"),
    [
        ("pass", rate(60, 100), "passed"),
        ("fail", rate(40, 100), "failure"),
        ("open", rate(49, 100), "failure"),
        ("open", rate(50, 100), "skipped"),
        ("open", rate(51, 100), "skipped"),
        ("open", rate(0, 0), "skipped"),
        (
            "pass",
            rate(49, 100),
            "passed",
        ),  # the sequential test has decided; the estimate no longer counts
    ],
)
def test_gates(verdict: str, measured: dict[str, Any], expected: str) -> None:
    report = example() | {"gates": [gate("cifar10-plain", "clean", 0.5, verdict, measured, 1234)]}
    plain, _ = root(report)
    assert outcomes(plain)["accuracy on clean images is at least 0.5"] == expected


def test_evidence_is_told() -> None:
    plain, _ = root(suspect())
    failures = {case.attrib["name"]: case.find("failure") for case in plain.iter("testcase")}
    gradients = failures["zero-gradients"]
    assert gradients is not None
    assert (
        gradients.attrib["message"]
        == "Gradients vanish on 0.2% of the images. (Croce et al. 2021, section 4)"
    )
    fallen = failures["accuracy on L∞ ≤ 8/255 is at least 0.3"]
    assert fallen is not None
    assert (
        fallen.attrib["message"]
        == "failed after 11 images at confidence 0.95: 0 of 512, 0.0% (0.0\u20130.7)"
    )
    properties = {item.attrib["name"]: item.attrib["value"] for item in plain.iter("property")}
    assert (properties["verdict"], properties["gradients"]) == ("suspect", "123456")


def test_a_gate_of_an_unknown_network_is_not_lost() -> None:
    report = example()
    report["gates"][0]["network"] = "gone"
    with pytest.raises(ValueError, match="network 'gone' is not in the report"):
        junit(report)


@pytest.mark.parametrize("name", ['<a b="c">&amp;', "]]>", "naïve ∞"])
def test_names_come_back_as_they_were(name: str) -> None:
    report = example() | {"gates": []}
    report["networks"][0]["name"] = name
    assert root(report)[0].attrib["name"] == name


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ufffe", "\ud800"])
def test_characters_that_xml_cannot_hold_are_replaced(character: str) -> None:
    report = example() | {"gates": []}
    report["networks"][0]["checks"][0]["evidence"] = f"a{character}b"
    words = [case.text for case in root(report)[0].iterfind("testcase/system-out")]
    assert any("a\ufffdb" in (text or "") for text in words)


def test_same_report_same_text() -> None:
    assert junit(example()) == junit(example())


DIRECTION = "\u202e\u2066\u200f\u061c\u2028"
HOSTILE = f"]]></system-out><failure>x</failure>\x1b[2J\x9b31m\x85\0{DIRECTION}"


def test_hostile_names_are_words_and_no_marks() -> None:
    report = example()
    before = outcomes(root(report)[0])
    report["networks"][0]["name"] = HOSTILE
    report["networks"][0]["checks"][0]["evidence"] = HOSTILE
    for gate_ in report["gates"]:
        if gate_["network"] == "cifar10-plain":
            gate_["network"] = HOSTILE
    text = junit(report)
    suite = root(report)[0]
    assert outcomes(suite) == before
    shown = "]]></system-out><failure>x</failure>\ufffd[2J\ufffd31m\ufffd\ufffd" + 5 * "\ufffd"
    assert suite.attrib["name"] == shown
    assert all(each.isprintable() or each == "\n" for each in text)
