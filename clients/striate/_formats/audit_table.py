"""The report of an audit as one table: a row a network and condition, a column an attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.attacks.epsilons import CLEAN, condition_name

COMPARISON_HEADER = (
    "first",
    "second",
    "condition",
    "only first",
    "only second",
    "McNemar p",
    "Holm-corrected",
)
_NAMED = 3  # corruptions at most that are listed, not counted
ANYTIME_HEADER = ("anytime p", "Holm-corrected")
MCE_HEADER = ("network", "reference", "mCE", "relative mCE", "over")
ANSWERED = "answered"  # the check that names images which count in no figure
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
        *_intervals(report),
    )


def rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The accuracies of every network: clean, under each threat, and the means over corruptions
    and augmentations.

    Args:
        report: The report as plain values.

    Returns:
        Cells under `header`, a row a network and condition.
    """
    labels, count = _attacks(report), len(_intervals(report))
    return [row for network in report["networks"] for row in _network(network, labels, count)]


def further_tables(
    report: Mapping[str, Any], gates: Sequence[Sequence[str]]
) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """The tables behind that of the accuracies, as far as there is something in them: corruption
    errors, the comparisons of networks, then the gates.

    Args:
        report: The report as plain values.
        gates: Cells of the gates under GATE_HEADER.

    Returns:
        The names of the columns and the rows of each table.
    """
    compared = report.get("comparisons", ())
    anytime = any("anytime_p_value" in item for item in compared)
    tables = [
        (MCE_HEADER, list(_mean_corruption_errors(report))),
        (
            COMPARISON_HEADER + (ANYTIME_HEADER if anytime else ()),
            [_comparison(item, anytime) for item in compared],
        ),
        (GATE_HEADER, [tuple(row) for row in gates]),
    ]
    return [(header, rows) for header, rows in tables if rows]


def failures(report: Mapping[str, Any]) -> list[str]:
    """The audit's checks of itself that failed, and that of images without an outcome in any case,
    one line each.

    Args:
        report: The report as plain values.
    """
    checks = [
        (network["name"], check) for network in report["networks"] for check in network["checks"]
    ]
    return [
        f"{name}: {check['name']}: {check['evidence']}"
        for name, check in checks
        if check["status"] == "failed" or check["name"] == ANSWERED
    ]


def undefined(report: Mapping[str, Any]) -> list[str]:
    """The corruptions under which an error is undefined beside the reference's, one line each.

    Args:
        report: The report as plain values.
    """
    errors = [network.get("corruption_error") or {} for network in report["networks"]]
    lines = [
        f"{one['name']}: {one['undefined']}"
        for error in errors
        for one in error.get("corruptions", ())
        if one["undefined"]
    ]
    return list(dict.fromkeys(lines))  # they are the reference's, and so the same for all


def as_text(report: Mapping[str, Any], verdict: str, gates: Sequence[Sequence[str]]) -> str:
    """The whole report as text, in columns of fixed width.

    Args:
        report: The report as plain values.
        verdict: "valid" or "suspect".
        gates: Cells of the gates under GATE_HEADER.

    Returns:
        The verdict, the checks that failed, and all tables.
    """
    head = f"{verdict}: {report['images']} images of {report['dataset']['name']}"
    lines = [head, *failures(report), "", *_columns([header(report), *rows(report)])]
    for names, cells in further_tables(report, gates):
        lines += ["", *_columns([names, *cells])]
        lines += undefined(report) if names == MCE_HEADER else []
    return "\n".join(lines)


def _intervals(report: Mapping[str, Any]) -> list[str]:
    """The names of the intervals that every accuracy has."""
    settings = report["settings"]
    confidence = f"{100 * settings['confidence']:g}%"
    if settings.get("interval") != "anytime":
        return [f"{confidence} interval"]
    beside = [f"{confidence} fixed-n interval"] if settings.get("fixed_n_interval") else []
    return [f"{confidence} anytime interval", *beside]


def _mean_corruption_errors(report: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The cells of every network's corruption errors under MCE_HEADER."""
    for network in report["networks"]:
        if (found := network.get("corruption_error")) is None:
            continue
        means = (found["mce"], found["relative_mce"])
        severities = ", ".join(map(str, report["settings"]["severities"]))
        over = f"{_corruptions(found)} at severities {severities}"
        shown = ("undefined" if mean is None else f"{mean:.1%}" for mean in means)
        yield (network["name"], report["mce_reference"]["name"], *shown, over)


def _corruptions(found: Mapping[str, Any]) -> str:
    """Over which corruptions the two means are, by name if they are few."""
    names = [one["name"] for one in found["corruptions"]]
    tried = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} corruptions"
    counts = (found["mce_over"], found["relative_mce_over"])
    return tried if counts == (len(names),) * 2 else f"{counts[0]} and {counts[1]} of {tried}"


def _comparison(item: Mapping[str, Any], anytime: bool) -> tuple[str, ...]:
    """The cells of a comparison. anytime: with those under ANYTIME_HEADER."""
    tests = ["p_value", "holm_p_value"]
    tests += ["anytime_p_value", "anytime_holm_p_value"] if anytime else []
    values = [item.get(test) for test in tests]
    return (
        item["first"],
        item["second"],
        item["condition"],
        str(item["only_first"]),
        str(item["only_second"]),
        *("" if value is None else f"{value:.2g}" for value in values),
    )


def _attacks(report: Mapping[str, Any]) -> list[str]:
    """The labels of the attacks, which are the same under every threat."""
    threats = [threat for network in report["networks"][:1] for threat in network["threats"][:1]]
    return [attack["label"] for threat in threats for attack in threat["attacks"]]


def _network(
    network: Mapping[str, Any], labels: Sequence[str], intervals: int
) -> Iterable[tuple[str, ...]]:
    """The rows of one network. labels: the attacks, which are columns, as the intervals are."""
    name, blank, none = network["name"], [""] * len(labels), [""] * intervals
    yield (name, CLEAN, "", *blank, *_rate(network["clean"], intervals))
    for threat in network["threats"]:
        for index, epsilon in enumerate(threat["epsilons"]):
            each = [_share(attack["robust"][index]) for attack in threat["attacks"]]
            yield (
                name,
                condition_name(threat["norm"], epsilon),
                _share(threat["noise"][index]),
                *each,
                *_rate(threat["worst"][index], intervals),
            )
    for group in ("corruptions", "augmentations"):
        if network[group]:
            accuracies = [
                item["accuracy"]["value"]
                for item in network[group]
                if item["accuracy"]["value"] is not None
            ]
            mean = f"{sum(accuracies) / len(accuracies):.1%}" if accuracies else ""
            yield (name, f"{group}, mean of {len(network[group])}", "", *blank, mean, *none)


def _share(rate: Mapping[str, Any]) -> str:
    """A measured rate in percent, "" without images."""
    return "" if rate["value"] is None else f"{rate['value']:.1%}"


def _rate(rate: Mapping[str, Any], intervals: int) -> tuple[str, ...]:
    """A measured rate and its intervals in percent, "" without images."""
    ends = [rate, rate.get("fixed_n", {})][:intervals]
    return (
        _share(rate),
        *(
            f"{100 * end['low']:.1f} to {end['high']:.1%}"
            if end and rate["value"] is not None
            else ""
            for end in ends
        ),
    )


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines, every cell as wide as the widest of its column."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
