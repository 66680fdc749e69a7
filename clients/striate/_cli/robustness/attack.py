"""The command that fools a network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate._cli.attack_methods import MethodName, build
from striate._cli.console import (
    BAR_MISSED,
    DEFAULT_SERVER,
    Json,
    ModelName,
    Pictures,
    Screen,
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
    yes,
)
from striate._requests.attack_methods import Drive, Silence
from striate.attacks import KeepName, LossName, NormName
from striate.results.attack import AttackResult


def _number(text: str) -> Any:
    return typer.Option(parser=fraction, metavar="NUMBER", help=text)


Epsilon = Annotated[
    float,
    typer.Option(
        parser=fraction,
        metavar="NUMBER",
        show_default="8/255",
        help="Radius of the ball in units of [0, 1].",
    ),
]


def attack(
    model: ModelName,
    images: Pictures,
    method: Annotated[
        MethodName,
        typer.Option(
            help="The attack; mi-fgsm is PGD with momentum, apgd-t APGD towards 9 classes."
        ),
    ] = "pgd",
    epsilon: Epsilon = 8 / 255,
    norm: Annotated[NormName, typer.Option(help="What the ball is measured in.")] = "linf",
    step: Annotated[float | None, _number("PGD's step. Default: 2.5 epsilon / steps.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Gradient steps. Default: 40 for PGD, 100 for APGD and FAB."),
    ] = None,
    random_start: Annotated[
        bool | None,
        typer.Option(help="PGD begins at a random point of the ball. Default: it does."),
    ] = None,
    stop_when_fooled: Annotated[
        bool | None, typer.Option(help="PGD stops with an image that is fooled. Default: it does.")
    ] = None,
    keep: Annotated[
        KeepName | None, typer.Option(help="Iterate that is returned. Default: the method's.")
    ] = None,
    loss: Annotated[
        LossName | None, typer.Option(help="What is raised. Default: the method's.")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(min=1, help="Attempts, each on the images not yet fooled.")
    ] = None,
    decay: Annotated[float | None, _number("Of PGD's momentum. Default: none.")] = None,
    target_classes: Annotated[
        int | None, typer.Option(min=0, help="Wrong classes that APGD-T or FAB tries.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option(min=1, help="Images that Square asks about.")
    ] = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    target: TargetOption = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="LAYER:UNIT", help="Silence this unit instead of fooling the class."),
    ] = None,
    drive: Annotated[bool, typer.Option("--drive", help="Drive the unit up instead.")] = False,
    level: Annotated[
        float | None,
        _number(
            "Activation that the unit must pass. Default: a tenth, or twice, of the clean one."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random starts, targets and noise.")] = 0,
    noise_control: Annotated[
        bool, typer.Option("--noise-control", help="Also try random noise of equal norm.")
    ] = False,
    pixels: Annotated[
        Literal["float32", "png"], typer.Option("--format", help="png: 8 bits, inside the ball.")
    ] = "float32",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bytes whatever else the server does.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for images and results.json. Default: write none.")
    ] = None,
    fail_under: Annotated[float | None, _number("Exit 1 if the robust accuracy is lower.")] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Make adversarial examples of images. Without labels, the network's own predictions are
    attacked.
    """
    given = words(label, labels)
    if fail_under is not None and not 0 <= fail_under <= 1:
        raise typer.BadParameter(f"must be 0 to 1, is {fail_under:g}", param_hint="--fail-under")
    settings: dict[str, Any] = {
        "step": step,
        "steps": steps,
        "random_start": random_start,
        "stop_when_fooled": stop_when_fooled,
    }
    settings |= {
        "keep": keep,
        "loss": loss,
        "restarts": restarts,
        "decay": decay,
        "target_classes": target_classes,
        "queries": queries,
    }
    with session(server, timeout, as_json) as (service, screen):
        chosen = build(method, {"epsilon": epsilon, "norm": norm, **settings})
        files, net = image_files(images), service.model(model)
        result = net.attack(
            list(files),
            as_classes(given, net.classes),
            chosen,
            targets=as_classes(target, net.classes),
            unit=_goal(unit, drive, level),
            seed=seed,
            noise_control=noise_control,
            format=pixels,
            deterministic=deterministic,
        )
        folder = None if out is None else str(result.save(out))
        screen.result(result.summary() | {"files": [str(file) for file in files], "out": folder})
        _show(screen, files, result)
        if fail_under is not None and result.robust_accuracy < fail_under:
            screen.line(f"below the bar of {fail_under:.1%}")
            raise typer.Exit(BAR_MISSED)


def _goal(unit: str | None, drive: bool, level: float | None) -> Silence | Drive | None:
    """The unit to attack. Raises typer.BadParameter for --drive or --level without --unit."""
    if unit is None:
        if drive or level is not None:
            raise typer.BadParameter(
                "is about a unit: give --unit", param_hint="--drive" if drive else "--level"
            )
        return None
    return (Drive if drive else Silence)(unit, level)


def _show(screen: Screen, files: Sequence[Path], result: AttackResult) -> None:
    """The rows and rates for people."""
    name = partial(class_name, result.classes)
    columns: list[tuple[str, list[str]]] = [
        ("image", [str(file) for file in files]),
        ("label", [name(place) for place in result.labels]),
        ("target", [] if result.targets is None else [name(place) for place in result.targets]),
        ("clean", [name(place) for place in result.clean_predictions]),
        ("attacked", [name(place) for place in result.predictions]),
        (
            "clean activation",
            []
            if result.clean_activations is None
            else [f"{value:.4g}" for value in result.clean_activations],
        ),
        (
            "activation",
            [] if result.activations is None else [f"{value:.4g}" for value in result.activations],
        ),
        ("fooled", [yes(fooled) for fooled in result.succeeded]),
        ("norm", [f"{size:.4g}" for size in result.norms]),
        (
            "fooled by noise",
            []
            if result.noise_succeeded is None
            else [yes(fooled) for fooled in result.noise_succeeded],
        ),
    ]
    told = [(header, cells) for header, cells in columns if cells]
    screen.table([header for header, _ in told], zip(*(cells for _, cells in told), strict=True))
    line = f"robust accuracy {result.robust_accuracy:.1%}, clean {result.clean_accuracy:.1%}"
    if result.noise_robust_accuracy is not None:
        line += f", under noise {result.noise_robust_accuracy:.1%}"
    screen.line(
        f"{line}, {result.gradients} gradients"
        + (f", {result.queries} queries" if result.queries else "")
    )
    if result.no_freedom.any():
        screen.line(
            f"{result.no_freedom.sum()} images had no freedom: their epsilon is under one "
            f"8-bit level"
        )
