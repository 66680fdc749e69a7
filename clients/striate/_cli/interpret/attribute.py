"""The command that shows which pixels a class or a unit hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._api.attributions import AttributionName, CompositeName
from striate._cli.arguments import ModelName, Pictures, number_option
from striate._cli.command import command, option_group
from striate._cli.images import as_classes, image_files
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate.results.attributions import Attributions

_HEADER = ("image", "objective", "class", "score", "misses by")


def _settings(
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of integrated gradients. Default: 50.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Noisy copies of SmoothGrad. Default: 25.")
    ] = None,
    noise: Annotated[
        float | None, number_option("Their noise's standard deviation. Default: 0.15.")
    ] = None,
    baseline: Annotated[
        float | None,
        number_option("Pixel value to begin at, or to cover with. Default: 0, for occlusion 1/2."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(min=1, help="Side of occlusion's square. Default: an eighth of the image."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Pixels between its places. Default: half the window.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of Grad-CAM. Default: the last one with rows and columns.")
    ] = None,
    composite: Annotated[
        CompositeName | None, typer.Option(help="Rules of LRP. Default: epsilon in all layers.")
    ] = None,
    epsilon: Annotated[
        float | None,
        number_option("Of LRP's epsilon rule. Default: 1e-9, beside others 1e-6."),
    ] = None,
    gamma: Annotated[float | None, number_option("Of LRP's gamma rule. Default: 0.25.")] = None,
    alpha: Annotated[
        float | None, number_option("Of LRP's alpha-beta rule; beta is alpha - 1. Default: 2.")
    ] = None,
) -> dict[str, Any]:
    """Reads the settings of single methods, as arguments of `Model.attribute`."""
    return {
        "steps": steps,
        "samples": samples,
        "noise": noise,
        "baseline": baseline,
        "window": window,
        "stride": stride,
        "layer": layer,
        "composite": composite,
        "epsilon": epsilon,
        "gamma": gamma,
        "alpha": alpha,
    }


@command(settings=option_group(_settings))
def attribute(
    session: Session,
    model: ModelName,
    images: Pictures,
    *,
    method: Annotated[
        AttributionName, typer.Option(help="How shares are found.")
    ] = "integrated-gradients",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Class, index or name: one for all, or repeated, one an image. Default: the "
            "predicted one.",
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="LAYER:UNIT", help="Explain this unit instead of a class.")
    ] = None,
    settings: dict[str, Any],
    seed: Annotated[int, typer.Option(min=0, help="Of SmoothGrad's noise.")] = 0,
    opacity: Annotated[float, number_option("Of the heat map over the image, 0 to 1.")] = 0.6,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="The same gradients whatever else the server does."),
    ] = False,
    out: Annotated[
        Path,
        typer.Option(help="Folder for overlays, heat maps, attributions.npy and results.json."),
    ] = Path("attributions"),
) -> None:
    """Draw which pixels a class or a unit hangs on. Without either, the network's own predictions
    are explained.
    """
    files, net = image_files(images), session.service.model(model)
    found = net.attribute(
        list(files),
        method,
        as_classes(target, net.classes),
        unit=unit,
        seed=seed,
        opacity=opacity,
        deterministic=deterministic,
        **settings,
    )
    folder = found.save(out)
    session.screen.result(
        found.summary() | {"files": [str(file) for file in files], "out": str(folder)}
    )
    _print_scores(session.screen, files, found)
    session.screen.line(f"{method}{f' of {found.layer}' if found.layer else ''} -> {folder}")


def _print_scores(screen: Screen, files: Sequence[Path], found: Attributions) -> None:
    columns: list[Sequence[object]] = [files, found.objectives, found.labels]
    columns.append([f"{score:.4g}" for score in found.scores])
    if found.deltas is not None:
        columns.append([f"{delta:.2g}" for delta in found.deltas])
    screen.table(_HEADER[: len(columns)], zip(*columns, strict=True))
