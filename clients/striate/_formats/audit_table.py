"""The report of an audit as one table: a row a network and condition, a column an attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.attacks.epsilons import CLEAN, condition_name

GATE_HEADER = ("network", "gate", "bar", "withstood", "share", "verdict", "decided")


def header(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns: accuracy under noise of equal norm, under each attack, and under
    all of them together.

    Args:
        report: The report as plain values.
    """
    return (
        "network",
        "condition",
        "noise",
        *_attacks(report),
        "accuracy",
        f"{100 * report['settings']['confidence']:g}% interval",
    )


def rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The accuracies of every network: clean, under each threat, and the means over corruptions
    and augmentations.

    Args:
        report: The report as plain values.

    Returns:
        Cells under `header`, a row a network and condition.
    """
    return [row for network in report["networks"] for row in _network(network, _attacks(report))]


def failures(report: Mapping[str, Any]) -> list[str]:
    """The audit's checks of itself that failed, one line each.

    Args:
        report: The report as plain values.
    """
    checks = [
        (network["name"], check) for network in report["networks"] for check in network["checks"]
    ]
    return [
        f"{name}: {check['name']}: {check['evidence']}"
        for name, check in checks
        if check["status"] == "failed"
    ]


def as_text(report: Mapping[str, Any], verdict: str, gates: Sequence[Sequence[str]]) -> str:
    """The whole report as text, in columns of fixed width.

    Args:
        report: The report as plain values.
        verdict: "valid" or "suspect".
        gates: Cells of the gates under GATE_HEADER.

    Returns:
        The verdict, the checks that failed, and both tables.
    """
    head = f"{verdict}: {report['images']} images of {report['dataset']['name']}"
    lines = [head, *failures(report), "", *_columns([header(report), *rows(report)])]
    if gates:
        lines += ["", *_columns([GATE_HEADER, *gates])]
    return "\n".join(lines)


def _attacks(report: Mapping[str, Any]) -> list[str]:
    """The labels of the attacks, which are the same under every threat."""
    threats = [threat for network in report["networks"][:1] for threat in network["threats"][:1]]
    return [attack["label"] for threat in threats for attack in threat["attacks"]]


def _network(network: Mapping[str, Any], labels: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """The rows of one network. labels: the attacks, which are the columns."""
    name, blank = network["name"], [""] * len(labels)
    yield (name, CLEAN, "", *blank, *_rate(network["clean"]))
    for threat in network["threats"]:
        for index, epsilon in enumerate(threat["epsilons"]):
            each = [_share(attack["robust"][index]) for attack in threat["attacks"]]
            yield (
                name,
                condition_name(threat["norm"], epsilon),
                _share(threat["noise"][index]),
                *each,
                *_rate(threat["worst"][index]),
            )
    for group in ("corruptions", "augmentations"):
        if network[group]:
            accuracies = [
                item["accuracy"]["value"]
                for item in network[group]
                if item["accuracy"]["value"] is not None
            ]
            mean = f"{sum(accuracies) / len(accuracies):.1%}" if accuracies else ""
            yield (name, f"{group}, mean of {len(network[group])}", "", *blank, mean, "")


def _share(rate: Mapping[str, Any]) -> str:
    """A measured rate in percent, "" without images."""
    return "" if rate["value"] is None else f"{rate['value']:.1%}"


def _rate(rate: Mapping[str, Any]) -> tuple[str, str]:
    """A measured rate and its interval in percent, "" without images."""
    return (
        _share(rate),
        "" if rate["value"] is None else f"{100 * rate['low']:.1f} to {rate['high']:.1%}",
    )


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines, every cell as wide as the widest of its column."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
