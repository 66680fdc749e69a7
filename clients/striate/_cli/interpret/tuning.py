"""The command that measures tuning curves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session
from striate.results.tuning import UnitTuning

_HEADER = ("unit", "orientation", "wavelength", "selectivity", "response")


@command()
def tuning(
    session: Session,
    model: ModelName,
    layer: Annotated[
        str | None,
        typer.Option(help="A layer with rows and columns. Default: the first convolution."),
    ] = None,
    orientations: Annotated[
        int | None, typer.Option(min=4, max=72, help="How many. Default: the server's.")
    ] = None,
    wavelengths: Annotated[
        list[float] | None,
        typer.Option(
            "--wavelength",
            min=2,
            help="Pixels a period; repeatable. Default: six that suit the layer.",
        ),
    ] = None,
    phases: Annotated[
        int | None, typer.Option(min=1, max=16, help="How many. Default: the server's.")
    ] = None,
    contrast: Annotated[
        float | None, typer.Option(help="Michelson's, above 0 to 1. Default: 1.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="A picture of the curves, or a .npy file for the responses.")
    ] = Path("tuning.png"),
) -> None:
    """Measure what gratings the units of a layer answer to."""
    found = session.service.model(model).tuning(
        layer,
        orientations=orientations,
        wavelengths=wavelengths,
        phases=phases,
        contrast=contrast,
    )
    path = found.save(out)
    session.screen.result(
        {
            "layer": found.layer,
            "orientations": list(found.orientations),
            "wavelengths": list(found.wavelengths),
            "units": [asdict(one) for one in found],
            "file": str(path),
            "provenance": asdict(found.provenance),
        }
    )
    session.screen.line(f"{found.layer} -> {path}")
    session.screen.table(_HEADER, (_row(unit, one) for unit, one in enumerate(found)))


def _row(unit: int, tuning: UnitTuning) -> tuple[object, ...]:
    return (
        unit,
        f"{tuning.orientation:.0f}",
        f"{tuning.wavelength:.3g}",
        f"{tuning.selectivity:.2f}",
        f"{tuning.response:.4g}",
    )
