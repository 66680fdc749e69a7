"""Pictures and what they are worth, as rows of tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from striate._rpc.unit_names import with_class_names
from striate.results.certificate import Certificate
from striate.results.facets import Facet
from striate.results.visualization import Visualization

HEADER = (
    "objective",
    "activation",
    "ratio",
    "held out",
    "percentile",
    "rank",
    "other seeds",
    "clipped",
    "high freq.",
    "saturation",
    "state",
    "file",
)
_CERTIFICATE_COLUMNS = 8


def row(item: Visualization, path: Path | None, classes: Sequence[str] = ()) -> tuple[object, ...]:
    """A picture as a row under HEADER.

    Args:
        item: The picture.
        path: The file that it was saved to, None if it was not.
        classes: Names of the model's classes, which stand beside the numbers of logits.
    """
    objective = with_class_names(item.objective, classes)
    certificate = item.certificate
    cells = ("",) * _CERTIFICATE_COLUMNS if certificate is None else _certificate_cells(certificate)
    return (objective, f"{item.activation:.4g}", *cells, "dead" if item.dead else "", path)


def as_json(item: Visualization) -> dict[str, object]:
    """A picture as plain values for JSON, without its pixels."""
    return {
        "objective": item.objective,
        "variant": item.variant,
        "activation": item.activation,
        "dead": item.dead,
        "certificate": None if item.certificate is None else asdict(item.certificate),
    }


def facet_as_json(facet: Facet) -> dict[str, object]:
    """A facet as plain values for JSON, without its pixels."""
    return {"share": facet.share, "ids": facet.ids} | as_json(facet.visualization)


def _certificate_cells(certificate: Certificate) -> Iterable[str]:
    yield "" if certificate.ratio is None else f"{certificate.ratio:.2f}"
    yield "" if certificate.held_out_ratio is None else f"{certificate.held_out_ratio:.2f}"
    yield "" if certificate.percentile is None else f"{certificate.percentile:.2%}"
    yield "" if certificate.rank is None else f"{certificate.rank}/{certificate.units}"
    yield certificate.spread
    look = certificate.appearance
    yield "" if look is None else f"{look.clipped:.1%}"
    yield "" if look is None else f"{look.high_frequencies:.1%}"
    yield "" if look is None else f"{look.saturation:.2f}"
