"""An audit's report as one HTML page."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypedDict

from jinja2 import Template

from interp.audit.conditions import radius
from service.report import audit_tables as tables
from service.report import bar_chart as bars
from service.report import curve_chart as charts
from service.report import wording as words
from service.report.rendering import load_template, png_url

Json = Mapping[str, Any]
SENTENCES = 12  # comparisons that are told in words; more stand in a table


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


def audit_page(report: Json, gallery: Sequence[Example] = ()) -> str:
    """Render the report of an audit. The page follows the reader's light or dark scheme, and prints
    light.

    Args:
        report: as `interp.audit.report` makes it; every value is escaped.
        gallery: images that were attacked.

    Returns:
        The HTML of the page, the same for the same report.
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
        summary=[
            (norm, [tables.at_largest_epsilon(network, norm) for network in networks])
            for norm in norms
        ],
        curves=[charts.curves(norm, networks) for norm in norms],
        curve_tables=[(norm, *tables.curve_table(norm, networks)) for norm in norms],
        classes=tables.class_table(networks),
        heat_maps=[
            (network, *tables.heat_map(network["corruptions"]))
            for network in networks
            if network["corruptions"]
        ],
        errors=tables.corruption_errors(report),
        reference_map=tables.heat_map((report["mce_reference"] or {}).get("corruptions", ())),
        bars=bars.bars(networks) if any(network["augmentations"] for network in networks) else None,
        comparisons=[
            _comparison(item, report["complete"], 1 - report["settings"]["confidence"])
            for item in report["comparisons"]
        ],
        early_end=_ended_early(report["complete"], report["comparisons"]),
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
        gallery=[_with_pictures(example) for example in gallery],
    )


def _ended_early(complete: bool, comparisons: Sequence[Json]) -> bool:
    """Whether a test that holds at all times decides what is said of comparisons."""
    return not complete and any("anytime_p_value" in item for item in comparisons)


def _comparison(item: Json, complete: bool, error: float) -> dict[str, Any]:
    """A comparison with the p-values of the test that decides, and those of the other in words."""
    tests = {"McNemar's": (item["p_value"], item["holm_p_value"])}
    if "anytime_p_value" in item:
        tests["at all times"] = (item["anytime_p_value"], item["anytime_holm_p_value"])
    decides = "at all times" if _ended_early(complete, [item]) else "McNemar's"
    p, corrected = tests.pop(decides)
    other = [
        f"{name} p = {words.p_value(raw)}, corrected {words.p_value(holm)}"
        for name, (raw, holm) in tests.items()
    ]
    return {
        **item,
        "p": p,
        "corrected": corrected,
        "other": "; ".join(other),
        "uneven": corrected <= error,
    }


@cache
def _template() -> Template:
    functions = (
        words.condition_words,
        words.count,
        words.counted,
        words.error_share,
        words.fixed_n,
        words.interval,
        words.p_value,
        words.percent,
        words.plain_percent,
        words.setting,
        words.share,
        radius,
    )
    values = {
        "NORMS": words.NORMS,
        "COLOURS": charts.COLOURS,
        "MARKERS": charts.MARKERS,
        "marker": charts.marker,
        "SENTENCES": SENTENCES,
    }
    return load_template("audit.html.jinja", {f.__name__: f for f in functions}, values)


def _with_pictures(example: Example) -> dict[str, Any]:
    """An example with its pictures as data of the page itself."""
    pictures = {
        name: png_url(example[name])
        for name in ("clean_png", "perturbation_png", "adversarial_png")
    }
    return {**words.printable(example), **pictures}
