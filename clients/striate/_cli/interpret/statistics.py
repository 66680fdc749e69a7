"""The command that tells what units do over a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from striate._cli import completion
from striate._cli.arguments import IndexedDataset, ModelName
from striate._cli.command import command
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate._rpc.unit_names import with_class_names
from striate.results.unit_statistics import UnitStatistics

_HEADER = (
    "unit",
    "minimum",
    "maximum",
    "lowest mean",
    "highest mean",
    "mean",
    "variance",
    "active share",
    "active images",
    "sparsity",
)


@command()
def statistics(
    session: Session,
    model: ModelName,
    unit: Annotated[
        str,
        typer.Argument(
            metavar="UNIT",
            help="layer:unit, or layer for all its units",
            autocompletion=completion.units,
        ),
    ],
    dataset: IndexedDataset,
) -> None:
    """Tell what units do over a data set: moments, sparsity, quantiles, histogram."""
    net = session.service.model(model)
    found = net.statistics(unit, dataset=dataset)
    units = [found] if isinstance(found, UnitStatistics) else found
    screen = session.screen
    screen.result(
        {
            "images": units[0].images,
            "units": [_as_json(unit) for unit in units],
            "provenance": asdict(units[0].provenance),
        }
    )
    screen.line(f"{unit}: of {units[0].images} images")
    screen.table(_HEADER, (_row(one, net.classes) for one in units))
    if isinstance(found, UnitStatistics):
        _print_distribution(screen, found)


def _as_json(unit: UnitStatistics) -> dict[str, object]:
    left_out = ("images", "provenance")
    return {name: value for name, value in asdict(unit).items() if name not in left_out}


def _row(u: UnitStatistics, classes: Sequence[str]) -> tuple[object, ...]:
    extremes = (u.minimum, u.maximum, u.minimum_mean, u.maximum_mean)
    values = (*extremes, u.mean, u.variance, u.active_share, u.active_images, u.sparsity)
    return (with_class_names(u.unit, classes), *(f"{value:.4g}" for value in values))


def _print_distribution(screen: Screen, unit: UnitStatistics) -> None:
    """Prints the histogram and the quantiles of the images' maxima."""
    low, high = unit.span
    screen.line(f"\nmaxima of images, {low:.4g} {_bars(unit.counts)} {high:.4g}\n")
    screen.table(
        ("share below", "maximum"),
        ((f"{share:.4g}", f"{value:.4g}") for share, value in unit.quantiles.items()),
    )


def _bars(counts: tuple[int, ...]) -> str:
    """A histogram in one line: a blank for nothing, and eight heights."""
    top = max(counts, default=0)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // top) if top else 0] for count in counts)
