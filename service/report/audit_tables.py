"""The tables of an audit's page: which rate stands in which row and column."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def at_largest_epsilon(network: Json, norm: str) -> Json | None:
    """Find the rates of a network at its largest epsilon.

    Args:
        network: of the report.
        norm: of the threat: "linf", "l2" or "l1".

    Returns:
        `epsilon`, and the rates `noise` and `worst` there; None where it was not attacked under
        that norm.
    """
    for threat in network["threats"]:
        if threat["norm"] == norm:
            last = max(range(len(threat["epsilons"])), key=threat["epsilons"].__getitem__)
            return {
                "epsilon": threat["epsilons"][last],
                "noise": threat["noise"][last],
                "worst": threat["worst"][last],
            }
    return None


def curve_table(
    norm: str, networks: Sequence[Json]
) -> tuple[list[float], list[tuple[str, list[tuple[str, list[Json | None]]]]], list[Any]]:
    """Arrange the accuracies under a norm by epsilon.

    Args:
        norm: of the threats: "linf", "l2" or "l1".
        networks: of the report.

    Returns:
        The epsilons of all networks, then for each network its name and rows (what, rates by
        epsilon, None where it was not measured), then for each its name, minimal epsilons and who
        found them.
    """
    found = [
        (network["name"], threat)
        for network in networks
        for threat in network["threats"]
        if threat["norm"] == norm
    ]
    epsilons = sorted({value for _, threat in found for value in threat["epsilons"]})

    def rows(threat: Json) -> Iterator[tuple[str, list[Json | None]]]:
        series = [
            ("random noise", threat["noise"]),
            *((attack["label"], attack["robust"]) for attack in threat["attacks"]),
        ]
        for what, rates in [*series, ("worst of all", threat["worst"])]:
            by_epsilon = dict(zip(threat["epsilons"], rates, strict=True))
            yield what, [by_epsilon.get(value) for value in epsilons]

    minimal = [(name, threat["minimal_epsilon"], threat["found_by"]) for name, threat in found]
    return epsilons, [(name, list(rows(threat))) for name, threat in found], minimal


def class_table(
    networks: Sequence[Json],
) -> tuple[list[tuple[str, list[str]]], list[tuple[int, str, list[Json | None]]]]:
    """Arrange the accuracies by class.

    Args:
        networks: of the report.

    Returns:
        For each network its name and conditions; and a row a class: its index, its name, and its
        rates in the order of those conditions, None where it was not measured.
    """
    heads: list[tuple[str, list[str]]] = []
    names: dict[int, str] = {}
    rates: dict[tuple[str, int, str], Json] = {}
    for network in networks:
        conditions = [
            "clean",
            *dict.fromkeys(
                item["condition"] for row in network["classes"] for item in row["worst"]
            ),
        ]
        if network["classes"]:
            heads.append((network["name"], conditions))
        for row in network["classes"]:
            names.setdefault(row["index"], row["name"])
            rates[network["name"], row["index"], "clean"] = row["clean"]
            rates |= {
                (network["name"], row["index"], item["condition"]): item["rate"]
                for item in row["worst"]
            }
    columns = [(name, condition) for name, conditions in heads for condition in conditions]
    return heads, [
        (index, names[index], [rates.get((name, index, at)) for name, at in columns])
        for index in sorted(names)
    ]


def corruption_errors(report: Json) -> Json | None:
    """Arrange the errors under corruptions beside those of the reference.

    Args:
        report: of the audit.

    Returns:
        `networks`, their names; `rows`, a corruption's name with CE and relative CE of each;
        `means` of each, likewise, with the number of corruptions that they are over; `over`, which
        corruptions and severities these are, in words; `undefined`, pairs of a corruption and why
        an error is undefined; None without a reference.
    """
    found = [network["corruption_error"] for network in report["networks"]]
    if report["mce_reference"] is None or None in found:
        return None
    severities = report["settings"]["severities"]
    corruptions = list(zip(*(one["corruptions"] for one in found), strict=True))
    return {
        "networks": [network["name"] for network in report["networks"]],
        "rows": [
            (of[0]["name"], [one[key] for one in of for key in ("ce", "relative_ce")])
            for of in corruptions
        ],
        "means": [
            (one[key], one[f"{key}_over"]) for one in found for key in ("mce", "relative_mce")
        ],
        "over": f"{len(corruptions)} corruption{'s' if len(corruptions) != 1 else ''} at severit"
        + ("ies " if len(severities) > 1 else "y ")
        + ", ".join(map(str, severities)),
        "undefined": [
            (of[0]["name"], of[0]["undefined"]) for of in corruptions if of[0]["undefined"]
        ],
    }


def heat_map(corruptions: Sequence[Json]) -> tuple[list[int], list[tuple[str, list[Json | None]]]]:
    """Arrange the accuracies under corruptions by severity.

    Args:
        corruptions: of one network of the report.

    Returns:
        The severities, and a row a corruption: its name, and its rates in the order of those
        severities, None where it was not measured.
    """
    severities = sorted({item["severity"] for item in corruptions})
    rates = {(item["name"], item["severity"]): item["accuracy"] for item in corruptions}
    names = dict.fromkeys(item["name"] for item in corruptions)
    return severities, [
        (name, [rates.get((name, severity)) for severity in severities]) for name in names
    ]
