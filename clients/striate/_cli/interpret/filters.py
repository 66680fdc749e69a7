"""The command that draws a convolution's filters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate._api.layers import FilterOrderName, ScaleName
from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session
from striate._formats.files import write_picture
from striate.results.filters import FilterAnalysis, Filters

_HEADER = (
    "filter",
    "orientation",
    "wavelength",
    "phase",
    "R2",
    "colour",
    "opponency",
    "hue",
)


@command()
def filters(
    session: Session,
    model: ModelName,
    layer: Annotated[
        str | None, typer.Option(help="A convolution. Default: the first one.")
    ] = None,
    scale: Annotated[
        ScaleName, typer.Option(help="Each filter in its own range, or one for all.")
    ] = "filter",
    zoom: Annotated[int, typer.Option(min=0, max=32, help="Pixels a weight; 0 picks one.")] = 0,
    order: Annotated[FilterOrderName, typer.Option(help="Of the tiles.")] = "channel",
    analyze: Annotated[
        bool,
        typer.Option(
            "--analyze", help="Also fit a Gabor function to every filter and measure its colours."
        ),
    ] = False,
    spectra: Annotated[
        Path | None, typer.Option(help="Also draw the amplitude spectra into this picture.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="A picture, or a .npy file for the exact weights.")
    ] = Path("filters.png"),
) -> None:
    """Draw a convolution's filters, and tell what they look like."""
    found = session.service.model(model).filters(
        layer, scale, zoom, order=order, analyze=analyze, spectra=spectra is not None
    )
    files = [found.save(out)]
    if spectra is not None:
        files.append(write_picture(found.spectra_png, spectra))
    session.screen.result(_as_json(found, files))
    shape = "x".join(map(str, found.weights.shape))
    session.screen.line(
        f"{found.layer} {shape} -> {', '.join(map(str, files))} ({found.normalization})"
    )
    if found.analyses:
        rows = (_row(channel, found.analyses[channel]) for channel in found.order)
        session.screen.table(_HEADER, rows)


def _as_json(found: Filters, files: list[Path]) -> dict[str, object]:
    return {
        "layer": found.layer,
        "shape": list(found.weights.shape),
        "normalization": found.normalization,
        "file": str(files[0]),
        "spectra_file": str(files[1]) if len(files) > 1 else None,
        "order": list(found.order),
        "analyses": [asdict(one) for one in found.analyses],
        "provenance": asdict(found.provenance),
    }


def _row(channel: int, analysis: FilterAnalysis) -> tuple[object, ...]:
    return (
        channel,
        f"{analysis.orientation:.0f}{'' if analysis.orientation_determined else '?'}",
        f"{analysis.wavelength:.3g}",
        f"{analysis.phase:.0f}",
        f"{analysis.r_squared:.2f}",
        f"{analysis.color_share:.2f}",
        f"{analysis.opponency:.2f}",
        f"{analysis.hue:.0f}",
    )
