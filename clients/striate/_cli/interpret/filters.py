"""Commands about what a layer is made of and answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate import _pictures as pictures
from striate._api.layers import ActivationOrderName, FilterOrderName, ScaleName
from striate._cli.console import DEFAULT_SERVER, Json, ModelName, Screen, Server, Timeout, session
from striate.results.filters import Filters

Wavelengths = Annotated[
    list[float] | None,
    typer.Option(
        "--wavelength", min=2, help="Pixels a period; repeatable. Default: six that suit the layer."
    ),
]


def filters(
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
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Draw a convolution's filters, and tell what they look like."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).filters(
            layer, scale, zoom, order=order, analyze=analyze, spectra=spectra is not None
        )
        files = [found.save(out)]
        if spectra is not None:
            files.append(pictures.write(found.spectra_png, spectra))
        screen.result(
            {
                "layer": found.layer,
                "shape": list(found.weights.shape),
                "normalization": found.normalization,
                "file": str(files[0]),
                "spectra_file": str(files[1]) if spectra is not None else None,
                "order": list(found.order),
                "analyses": [asdict(one) for one in found.analyses],
                "provenance": asdict(found.provenance),
            }
        )
        shape = "x".join(map(str, found.weights.shape))
        screen.line(
            f"{found.layer} {shape} -> {', '.join(map(str, files))} ({found.normalization})"
        )
        _tell(found, screen)


def _tell(found: Filters, screen: Screen) -> None:
    """The analyses for people, in the order of the tiles."""
    if not found.analyses:
        return
    rows = [(channel, found.analyses[channel]) for channel in found.order]
    screen.table(
        ("filter", "orientation", "wavelength", "phase", "R2", "colour", "opponency", "hue"),
        (
            (
                channel,
                f"{one.orientation:.0f}",
                f"{one.wavelength:.3g}",
                f"{one.phase:.0f}",
                f"{one.r_squared:.2f}",
                f"{one.color_share:.2f}",
                f"{one.opponency:.2f}",
                f"{one.hue:.0f}",
            )
            for channel, one in rows
        ),
    )


def tuning(
    model: ModelName,
    layer: Annotated[
        str | None,
        typer.Option(help="A layer with rows and columns. Default: the first convolution."),
    ] = None,
    orientations: Annotated[
        int | None, typer.Option(min=4, max=72, help="How many. Default: the server's.")
    ] = None,
    wavelengths: Wavelengths = None,
    phases: Annotated[
        int | None, typer.Option(min=1, max=16, help="How many. Default: the server's.")
    ] = None,
    contrast: Annotated[
        float | None, typer.Option(help="Michelson's, above 0 to 1. Default: 1.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="A picture of the curves, or a .npy file for the responses.")
    ] = Path("tuning.png"),
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Measure what gratings the units of a layer answer to."""
    with session(server, timeout, as_json) as (service, screen):
        net = service.model(model)
        found = net.tuning(
            layer,
            orientations=orientations,
            wavelengths=wavelengths,
            phases=phases,
            contrast=contrast,
        )
        path = found.save(out)
        screen.result(
            {
                "layer": found.layer,
                "orientations": list(found.orientations),
                "wavelengths": list(found.wavelengths),
                "units": [asdict(one) for one in found],
                "file": str(path),
                "provenance": asdict(found.provenance),
            }
        )
        screen.line(f"{found.layer} -> {path}")
        screen.table(
            ("unit", "orientation", "wavelength", "selectivity", "response"),
            (
                (
                    unit,
                    f"{one.orientation:.0f}",
                    f"{one.wavelength:.3g}",
                    f"{one.selectivity:.2f}",
                    f"{one.response:.4g}",
                )
                for unit, one in enumerate(found)
            ),
        )


def activations(
    model: ModelName,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG, JPEG or WebP file.")],
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="A layer, or logits.")],
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
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Draw a layer's feature maps on an image, strongest units first."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).activations(image, layer, k, all_units=all_units, order=order)
        path = found.save(out)
        screen.result(
            {
                "layer": found.layer,
                "shape": list(found.maps.shape),
                "units": [asdict(one) for one in found.units],
                "file": str(path),
                "provenance": asdict(found.provenance),
            }
        )
        screen.line(f"{found.layer} -> {path}")
        screen.table(
            ("unit", "activation", "position", "class"),
            ((u.unit, f"{u.value:.4g}", u.position, u.label) for u in found.units),
        )
