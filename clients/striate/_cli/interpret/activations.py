"""The command that draws a layer's feature maps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate._api.layers import ActivationOrderName
from striate._cli import completion
from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session


@command()
def activations(
    session: Session,
    model: ModelName,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")],
    layer: Annotated[
        str,
        typer.Argument(
            metavar="LAYER", help="A layer, or logits.", autocompletion=completion.layers
        ),
    ],
    k: Annotated[
        int | None, typer.Option("-k", min=1, max=4096, help="Units wanted. Default: the server's.")
    ] = None,
    order: Annotated[ActivationOrderName, typer.Option(help="By what a unit is strong.")] = "peak",
    all_units: Annotated[
        bool,
        typer.Option(
            "--all-units", help="Write the whole layer to a .npy file, not only these units."
        ),
    ] = False,
    out: Annotated[
        Path, typer.Option(help="A picture of heat maps, or a .npy file for the maps.")
    ] = Path("activations.png"),
) -> None:
    """Draw a layer's feature maps on an image, strongest units first."""
    found = session.service.model(model).activations(
        image, layer, k, all_units=all_units, order=order
    )
    path = found.save(out)
    session.screen.result(
        {
            "layer": found.layer,
            "shape": list(found.maps.shape),
            "units": [asdict(one) for one in found.units],
            "file": str(path),
            "provenance": asdict(found.provenance),
        }
    )
    session.screen.line(f"{found.layer} -> {path}")
    session.screen.table(
        ("unit", "activation", "position", "class"),
        ((u.unit, f"{u.value:.4g}", u.position, u.label) for u in found.units),
    )
