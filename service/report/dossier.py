"""A unit's dossier as one HTML page that needs nothing besides itself: no script, no font, no file,
no network.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from interp.audit.conditions import radius
from service.report.histogram import Histogram, histogram
from service.report.wording import count, printable

SHIFTS = 8  # classes shown on each side


def page(facts: dict[str, Any]) -> str:
    """The page; every value is escaped. It follows the reader's light or dark scheme, and prints
    light.

    Args:
        facts: unit, layer_type, model, provenance (plain values); visualizations, exemplars, facets
            (each with PNG bytes), statistics, tuning or None, shifts and flips as lists of plain
            values; settings of the runs; `missing`: what was left out, and why.
    """
    return _template().render(
        **printable({key: value for key, value in facts.items() if key not in _BINARY}),
        **_pictured(facts),
    )


_BINARY = ("visualizations", "exemplars", "facets")


def _pictured(facts: dict[str, Any]) -> dict[str, Any]:
    """The parts that hold pictures, with these as data of the page itself."""
    return {key: [_embedded(item) for item in facts[key]] for key in _BINARY}


def _embedded(item: Any) -> Any:
    match item:
        case bytes():
            return "data:image/png;base64," + b64encode(item).decode("ascii")
        case dict():
            return {key: _embedded(value) for key, value in item.items()}
        case list():
            return [_embedded(value) for value in item]
    return printable(item)


def chart(statistics: dict[str, Any]) -> Histogram:
    """The histogram of the maxima, with the median and the 99th percentile pointed out where they
    are known.

    The picture has no place in it: its activation is a mean over positions, which is no maximum's
    like.
    """
    quantiles = dict(
        zip(
            (round(q, 4) for q in statistics["quantiles"]),
            statistics["quantile_values"],
            strict=True,
        )
    )
    marks = [
        (quantiles[q], words) for q, words in ((0.5, "median"), (0.99, "99%")) if q in quantiles
    ]
    return histogram(
        statistics["histogram_low"], statistics["histogram_high"], statistics["histogram"], marks
    )


def ends(shifts: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """The classes with the largest falls and rises, `SHIFTS` of each, and the largest magnitude
    among them.
    """
    chosen = list(shifts) if len(shifts) <= 2 * SHIFTS else [*shifts[:SHIFTS], *shifts[-SHIFTS:]]
    return chosen, max((abs(shift["mean"]) for shift in chosen), default=0.0) or 1.0


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("service.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "radius": radius,
        "short": lambda value: f"{value + 0.0:.4g}",
        "share": lambda v: f"{100 * v:.3g}%",
    }
    environment.globals |= {"chart": chart, "ends": ends}
    return environment.get_template("dossier.html.jinja")
