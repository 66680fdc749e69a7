"""The command that draws accuracy over epsilon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from striate._cli.console import (
    DEFAULT_SERVER,
    Json,
    ModelName,
    Pictures,
    Server,
    Timeout,
    fraction,
    image_files,
    session,
)
from striate._cli.images import (
    LabelOption,
    LabelsOption,
    TargetOption,
    as_classes,
    class_name,
    words,
)
from striate.attacks import LossName, NormName
from striate.epsilons import radius


def curve(
    model: ModelName,
    images: Pictures,
    epsilons: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS", help="Rising radii in units of [0, 1], separated by commas."
        ),
    ] = ("1/255,2/255,4/255,8/255"),
    norm: Annotated[NormName, typer.Option(help="What the ball is measured in.")] = "linf",
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps an epsilon.")] = 10,
    bisections: Annotated[
        int, typer.Option(min=0, help="Halve the gap below each image's minimal epsilon so often.")
    ] = 0,
    random_start: Annotated[
        bool, typer.Option(help="Begin at a random point of the ball.")
    ] = False,
    loss: Annotated[
        LossName | None, typer.Option(help="What is raised. Default: cross-entropy.")
    ] = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    target: TargetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random starts and targets.")] = 0,
    pixels: Annotated[
        Literal["float32", "png"], typer.Option("--format", help="png: 8 bits, inside the ball.")
    ] = "float32",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bytes whatever else the server does.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for images and results.json. Default: write none.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy under attack at several epsilons, and each image's minimal epsilon."""
    given = words(label, labels)
    radii = [fraction(text) for text in epsilons.split(",")]
    with session(server, timeout, as_json) as (service, screen):
        files, net = image_files(images), service.model(model)
        found = net.epsilon_curve(
            list(files),
            as_classes(given, net.classes),
            epsilons=radii,
            norm=norm,
            steps=steps,
            bisections=bisections,
            random_start=random_start,
            loss=loss,
            targets=as_classes(target, net.classes),
            seed=seed,
            format=pixels,
            deterministic=deterministic,
        )
        folder = None if out is None else str(found.attack.save(out))
        screen.result(found.summary() | {"files": [str(file) for file in files], "out": folder})
        least = (
            "" if size != size else radius(float(size)) if size else "wrong before"
            for size in found.minimal_epsilons
        )  # NaN: none
        names = [class_name(net.classes, place) for place in found.attack.labels]
        screen.table(("image", "label", "minimal epsilon"), zip(files, names, least, strict=True))
        screen.line("")
        shares = zip(found.epsilons, found.robust_accuracy, strict=True)
        screen.table(
            ("epsilon", "robust accuracy"),
            ((radius(epsilon), f"{share:.1%}") for epsilon, share in shares),
        )
        screen.line(f"clean {found.attack.clean_accuracy:.1%}, {found.attack.gradients} gradients")
