"""The report as JUnit XML, which continuous integration systems show and act on."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from service.report.wording import condition_words, count, counted, printable

_OUTCOMES = {"failed": "failure", "skipped": "skipped"}  # of a check, in JUnit's words
_PROPERTIES = ("digest", "verdict", "gradients", "queries")


def junit(report: Mapping[str, Any]) -> str:
    """One test suite a network: its verdict, its gates and its checks as test cases.

    The verdict fails unless it is "valid", with the reasons as its message. A gate that is open
    fails if the accuracy measured so far is below its bar, and is skipped if not; a check that did
    not apply is skipped. What fails has its words twice, as the message and as the text, because
    servers show the one or the other. Durations are 0, so that the same audit gives the same bytes.

    Args:
        report: as `interp.audit.report` makes it.

    Returns:
        The XML text.

    Raises:
        ValueError: a gate names a network that the report does not have.
    """
    report = printable(report)
    names = [network["name"] for network in report["networks"]]
    for gate in report["gates"]:
        if gate["network"] not in names:
            raise ValueError(f"gates: network {gate['network']!r} is not in the report")
    root = ET.Element("testsuites", name="striate audit")
    for network in report["networks"]:
        gates = [gate for gate in report["gates"] if gate["network"] == network["name"]]
        _suite(root, network, gates, report["dataset"].get("left_out", {}).get("count", 0))
    _tally(root, root.iter("testcase"))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(
    root: ET.Element,
    network: Mapping[str, Any],
    gates: list[Mapping[str, Any]],
    left_out: int,
) -> None:
    suite = ET.SubElement(root, "testsuite", name=network["name"])
    properties = ET.SubElement(suite, "properties")
    for key in _PROPERTIES:
        ET.SubElement(properties, "property", name=key, value=str(network[key]))
    if left_out:
        ET.SubElement(properties, "property", name="images_left_out", value=str(left_out))
    error = network["corruption_error"] or {}
    for key in ("mce", "relative_mce"):
        if error.get(key) is not None:
            ET.SubElement(properties, "property", name=key, value=f"{error[key]:.6g}")
    sound = network["verdict"] == "valid"
    _case(
        suite,
        f"{network['name']}.verdict",
        "verdict is valid",
        None if sound else "failure",
        _verdict_words(network),
    )
    for gate in gates:
        name = f"accuracy on {condition_words(gate['condition'])} is at least {gate['bar']:g}"
        _case(suite, f"{network['name']}.gates", name, _gate_outcome(gate), _gate_words(gate))
    for check in network["checks"]:
        evidence = f"{check['evidence']} ({check['source']})"
        _case(
            suite,
            f"{network['name']}.checks",
            check["name"],
            _OUTCOMES.get(check["status"]),
            evidence,
        )
    _tally(suite, suite.iter("testcase"))


def _case(suite: ET.Element, classname: str, name: str, outcome: str | None, words: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=classname, name=name, time="0")
    if outcome == "failure":
        failure = ET.SubElement(case, outcome, message=words, type=classname.rpartition(".")[2])
        failure.text = words
    elif outcome:
        ET.SubElement(case, outcome, message=words)
    else:
        ET.SubElement(case, "system-out").text = words


def _verdict_words(network: Mapping[str, Any]) -> str:
    """The verdict and what it rests on."""
    if not network["checks"]:
        return f"{network['verdict']}: the audit did not check itself on this network"
    failed = [check for check in network["checks"] if check["status"] == "failed"]
    if failed:
        reasons = "; ".join(f"{check['name']}: {check['evidence']}" for check in failed)
        return f"{network['verdict']}: {reasons}"
    passed = sum(check["status"] == "passed" for check in network["checks"])
    skipped = len(network["checks"]) - passed
    return f"{network['verdict']}: {passed} checks passed, none failed, {skipped} did not apply"


def _gate_outcome(gate: Mapping[str, Any]) -> str | None:
    value = gate["rate"]["value"]
    if gate["verdict"] == "fail" or (
        gate["verdict"] == "open" and value is not None and value < gate["bar"]
    ):
        return "failure"
    return "skipped" if gate["verdict"] == "open" else None


def _gate_words(gate: Mapping[str, Any]) -> str:
    said = {"pass": "passed", "fail": "failed", "open": "undecided"}[gate["verdict"]]
    return (
        f"{said} after {count(gate['decided_after'])} images at confidence "
        f"{gate['confidence']:g}: {counted(gate['rate'])}"
    )


def _tally(element: ET.Element, cases: Any) -> None:
    cases = list(cases)
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    element.set("time", "0")
