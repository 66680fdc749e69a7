"""The command that finds a unit's exemplars."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate._api.exemplars import OrderName
from striate._cli.arguments import IndexedDataset, ModelName, UnitName
from striate._cli.command import command
from striate._cli.left_out import SkipBad, print_left_out
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate.results.exemplars import Exemplars

_FIELDS = ("id", "name", "activation", "position", "box", "label", "label_name", "quantile")


@command()
def exemplars(
    session: Session,
    model: ModelName,
    unit: UnitName,
    dataset: IndexedDataset,
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, help="Exemplars wanted. Default: 9, and all quantiles."),
    ] = None,
    order: Annotated[OrderName, typer.Option(help="By what the images are the unit's.")] = "max",
    quantiles: Annotated[
        bool, typer.Option("--quantiles", help="The same as --order quantile.")
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="Only images of this class of the data set, index or name.")
    ] = None,
    images: Annotated[
        bool, typer.Option(help="Read the images too; without, there are no names and labels.")
    ] = True,
    skip_bad: SkipBad = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the images, crops and a grid. Default: write none."),
    ] = None,
) -> None:
    """Find the images that a unit answers to most, least or in between."""
    if out is not None and not images:
        raise typer.BadParameter("writes images, which --no-images leaves out", param_hint="--out")
    by: OrderName = "quantile" if quantiles else order
    class_of = int(label) if label is not None and label.isdecimal() else label
    found = session.service.model(model).exemplars(
        unit, k, dataset=dataset, order=by, label=class_of, images=images, skip_bad=skip_bad
    )
    files = found.save(out) if out is not None else []
    session.screen.result(_as_json(found, by, files))
    others = found.images_left_out
    left_out = f" ({others} more could not be used)" if others else ""
    session.screen.line(f"{found.unit}, by {by}: of {found.images} images{left_out}")
    _print_table(session.screen, found)
    print_left_out(session.screen, len(found.left_out), found.left_out)


def _as_json(found: Exemplars, order: str, files: list[Path]) -> dict[str, object]:
    return {
        "unit": found.unit,
        "order": order,
        "images": found.images,
        "images_left_out": found.images_left_out,
        "left_out": [asdict(image) for image in found.left_out],
        "exemplars": [{name: getattr(one, name) for name in _FIELDS} for one in found],
        "files": [str(file) for file in files],
        "provenance": asdict(found.provenance),
    }


def _print_table(screen: Screen, found: Exemplars) -> None:
    """Prints the fields that any exemplar has."""
    filled = [
        name for name in _FIELDS if any(getattr(one, name) not in (None, "") for one in found)
    ]
    screen.table(filled, ([_cell(getattr(one, name)) for name in filled] for one in found))


def _cell(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
