"""A unit's dossier as one HTML page."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Template

from interp.audit.conditions import radius
from service.report.histogram import Histogram, histogram
from service.report.rendering import load_template, png_url
from service.report.wording import count, printable

SHIFTS = 8  # classes shown on each side

# What the page calls what a dossier of a unit, of minus it and of its magnitude is about.
WORDS = {
    "value": {
        "pictures": "What it likes best",
        "active": "is most active",
        "mean": "in the mean",
        "extreme": "highest mean",
        "peak": "largest activation",
        "peaks": "Its largest activations",
        "climbs": "maximize the mean",
    },
    "neg": {
        "pictures": "What it likes least",
        "active": "is largest",
        "mean": "in the mean",
        "extreme": "lowest mean",
        "peak": "smallest activation",
        "peaks": "Its smallest activations",
        "climbs": "minimize the mean",
    },
    "abs": {
        "pictures": "What moves it most, up or down",
        "active": "is largest",
        "mean": "in magnitude of the mean",
        "extreme": "largest magnitude of the mean",
        "peak": "largest magnitude",
        "peaks": "Its largest magnitudes",
        "climbs": "maximize the magnitude of the mean",
    },
}
_WITH_PICTURES = ("visualizations", "exemplars", "exemplars_by_mean", "facets")


def dossier_page(facts: dict[str, Any]) -> str:
    """Render the dossier of a unit. The page follows the reader's light or dark scheme, and prints
    light.

    Args:
        facts: unit, form (a key of `WORDS`), layer_type, model, provenance (plain values);
            visualizations, exemplars, exemplars_by_mean, facets (each with PNG bytes), statistics,
            tuning or None, shifts and flips as lists of plain values; settings of the runs;
            `missing`: what was left out, and why; `left_out`: the images that were, see
            `service.datasets.samples.summary`. Every value is escaped.

    Returns:
        The HTML of the page.
    """
    return _template().render(
        **printable({key: value for key, value in facts.items() if key not in _WITH_PICTURES}),
        **_with_urls(facts),
        words=WORDS[facts["form"]],
    )


def _with_urls(facts: dict[str, Any]) -> dict[str, Any]:
    """The parts that hold pictures, with these as data of the page itself."""
    return {key: [_as_url(item) for item in facts[key]] for key in _WITH_PICTURES}


def _as_url(item: Any) -> Any:
    match item:
        case bytes():
            return png_url(item)
        case dict():
            return {key: _as_url(value) for key, value in item.items()}
        case list():
            return [_as_url(value) for value in item]
    return printable(item)


def chart(statistics: dict[str, Any]) -> Histogram:
    """Draw the histogram of the maxima, with the median and the 99th percentile pointed out where
    they are known.

    The picture has no place in it: its activation is a mean over positions, which is no maximum's
    like.

    Args:
        statistics: of the unit, with `histogram`, its ends `histogram_low` and `histogram_high`,
            `quantiles` and `quantile_values`.

    Returns:
        Where its bars and marks lie.
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


def strongest_shifts(shifts: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """Choose the classes whose logits fall and rise most without the unit.

    Args:
        shifts: a class each, with its `mean` shift, from the largest fall to the largest rise.

    Returns:
        The first and the last `SHIFTS` of them, and the largest magnitude among these.
    """
    chosen = list(shifts) if len(shifts) <= 2 * SHIFTS else [*shifts[:SHIFTS], *shifts[-SHIFTS:]]
    return chosen, max((abs(shift["mean"]) for shift in chosen), default=0.0) or 1.0


@cache
def _template() -> Template:
    filters = {
        "count": count,
        "radius": radius,
        "short": lambda value: f"{value + 0.0:.4g}",
        "share": lambda value: f"{100 * value:.3g}%",
    }
    values = {"chart": chart, "strongest_shifts": strongest_shifts}
    return load_template("dossier.html.jinja", filters, values)
