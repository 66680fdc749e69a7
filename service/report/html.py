"""The report as one HTML page that needs nothing besides itself: no script, no font, no file, no
network.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from interp.audit.conditions import radius
from service.report import bar_chart as bars
from service.report import curve_chart as charts
from service.report import wording as words

Json = Mapping[str, Any]


class Example(TypedDict):
    """One image of the gallery; `norm` is the length of the perturbation in the norm of
    `condition`, the three files are PNG.
    """

    network: str
    id: int
    condition: str
    attack: str
    label: str
    clean_prediction: str
    prediction: str
    norm: float
    clean_png: bytes
    perturbation_png: bytes
    adversarial_png: bytes
    magnification: float


def page(report: Json, gallery: Sequence[Example] = ()) -> str:
    """The page; every value of the report and the gallery is escaped. It follows the reader's light
    or dark scheme, and prints light.
    """
    report = words.printable(report)
    networks = report["networks"]
    norms = list(
        dict.fromkeys(threat["norm"] for network in networks for threat in network["threats"])
    )
    return _template().render(
        report=report,
        networks=networks,
        confidence=words.plain_percent(report["settings"]["confidence"]),
        summary=[(norm, [_at_largest(network, norm) for network in networks]) for norm in norms],
        curves=[charts.curves(norm, networks) for norm in norms],
        curve_tables=[(norm, *_curve_table(norm, networks)) for norm in norms],
        classes=_classes(networks),
        heat_maps=[
            (network, *_heat_map(network["corruptions"]))
            for network in networks
            if network["corruptions"]
        ],
        bars=bars.bars(networks) if any(network["augmentations"] for network in networks) else None,
        comparisons=[
            {**item, "uneven": item["p_value"] <= 1 - report["settings"]["confidence"]}
            for item in report["comparisons"]
        ],
        failed=[
            (network["name"], check)
            for network in networks
            for check in network["checks"]
            if check["status"] == "failed"
        ],
        tally={
            status: sum(c["status"] == status for n in networks for c in n["checks"])
            for status in ("passed", "failed", "skipped")
        },
        gallery=[_exhibit(example) for example in gallery],
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("service.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    said = (
        words.condition_words,
        words.count,
        words.counted,
        words.interval,
        words.percent,
        words.plain_percent,
    )
    environment.filters |= {
        function.__name__: function for function in (*said, words.setting, words.share, radius)
    }
    environment.globals |= {
        "NORMS": words.NORMS,
        "COLOURS": charts.COLOURS,
        "MARKERS": charts.MARKERS,
        "marker": charts.marker,
    }
    return environment.get_template("page.html.jinja")


def _at_largest(network: Json, norm: str) -> Json | None:
    """Noise and worst of a network at its largest epsilon under a norm."""
    for threat in network["threats"]:
        if threat["norm"] == norm:
            last = max(range(len(threat["epsilons"])), key=threat["epsilons"].__getitem__)
            return {
                "epsilon": threat["epsilons"][last],
                "noise": threat["noise"][last],
                "worst": threat["worst"][last],
            }
    return None


def _curve_table(
    norm: str, networks: Sequence[Json]
) -> tuple[list[float], list[tuple[str, list[tuple[str, list[Json | None]]]]], list[Any]]:
    """(epsilons, per network its rows (what, rates), per network its minimal epsilons) of a
    norm.
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

    minimal = [(name, threat["minimal_epsilon"]) for name, threat in found]
    return epsilons, [(name, list(rows(threat))) for name, threat in found], minimal


def _classes(
    networks: Sequence[Json],
) -> tuple[list[tuple[str, list[str]]], list[tuple[int, str, list[Json | None]]]]:
    """(per network its conditions, rows (index, name, rates in the order of those conditions))."""
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


def _heat_map(corruptions: Sequence[Json]) -> tuple[list[int], list[tuple[str, list[Json | None]]]]:
    """(severities, rows (corruption, rates)) of one network."""
    severities = sorted({item["severity"] for item in corruptions})
    rates = {(item["name"], item["severity"]): item["accuracy"] for item in corruptions}
    names = dict.fromkeys(item["name"] for item in corruptions)
    return severities, [
        (name, [rates.get((name, severity)) for severity in severities]) for name in names
    ]


def _exhibit(example: Example) -> dict[str, Any]:
    """An example with its pictures as data of the page itself."""
    pictures = {
        name: _data(example[name]) for name in ("clean_png", "perturbation_png", "adversarial_png")
    }
    return {**words.printable(example), **pictures}


def _data(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")
