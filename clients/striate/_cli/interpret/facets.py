"""The command that finds a unit's facets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli.arguments import IndexedDataset, ModelName, UnitName
from striate._cli.command import command
from striate._cli.interpret.picture_options import PICTURE_SETTINGS
from striate._cli.interpret.picture_table import facet_as_json
from striate._cli.session import Session
from striate.results.facets import Facet


@command(settings=PICTURE_SETTINGS)
def facets(
    session: Session,
    model: ModelName,
    unit: UnitName,
    dataset: IndexedDataset,
    settings: dict[str, Any],
    exemplars: Annotated[
        int | None,
        typer.Option(
            min=2, max=100, help="So many of the strongest are clustered. Default: all kept."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--facets", min=1, max=8, help="Default: as many as separate best."),
    ] = None,
    by_layer: Annotated[
        str | None,
        typer.Option(help="Layer whose activations are clustered. Default: the one before."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures and crops. Default: write none.")
    ] = None,
) -> None:
    """Find the different things that one unit sees."""
    net = session.service.model(model)
    found = net.facets(
        unit, dataset=dataset, exemplars=exemplars, facets=count, by_layer=by_layer, **settings
    )
    files = [] if out is None else found.save(out)
    session.screen.result(
        {
            "unit": found.unit,
            "by_layer": found.by_layer,
            "silhouette": found.silhouette,
            "facets": [facet_as_json(one) for one in found],
            "files": [str(file) for file in files],
            "provenance": asdict(found.provenance),
        }
    )
    session.screen.line(f"{found.unit} by {found.by_layer}, silhouette {found.silhouette:.2f}")
    session.screen.table(("share", "activation", "exemplars"), map(_row, found))


def _row(facet: Facet) -> tuple[str, ...]:
    activation = f"{facet.visualization.activation:.4g}"
    return (f"{facet.share:.0%}", activation, " ".join(map(str, facet.ids)))
