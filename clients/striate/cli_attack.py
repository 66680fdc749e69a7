"""The command that fools a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.adversarial import AttackResult
from striate.attacks import FGSM, PGD, KeepName, NormName
from striate.console import BAR_MISSED, DEFAULT_SERVER, Json, ModelName, Pictures, Screen, Server, Timeout, fraction, image_files, session


def attack(
    model: ModelName,
    images: Pictures,
    method: Annotated[Literal["fgsm", "pgd"], typer.Option(help="The attack.")] = "pgd",
    epsilon: Annotated[
        float, typer.Option(parser=fraction, metavar="NUMBER", show_default="8/255", help="Radius of the ball in units of [0, 1].")
    ] = 8 / 255,
    step: Annotated[float | None, typer.Option(parser=fraction, metavar="NUMBER", help="PGD's step. Default: 2.5 epsilon / steps.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="PGD's steps.")] = 40,
    norm: Annotated[NormName, typer.Option(help="What the ball is measured in.")] = "linf",
    random_start: Annotated[bool, typer.Option(help="PGD begins at a random point of the ball.")] = True,
    stop_when_fooled: Annotated[bool, typer.Option(help="PGD stops with an image as soon as it is fooled.")] = True,
    keep: Annotated[KeepName | None, typer.Option(help="Iterate that is returned. Default: the method's.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="True class, index or name: one for all, or repeated, one an image.")] = None,
    labels: Annotated[str | None, typer.Option(help="The same, separated by commas.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Class to be taken for: one for all, or repeated, one an image.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random starts and noise.")] = 0,
    noise_control: Annotated[bool, typer.Option("--noise-control", help="Also try random noise of equal norm.")] = False,
    pixels: Annotated[Literal["float32", "png"], typer.Option("--format", help="png: 8 bits, inside the ball.")] = "float32",
    deterministic: Annotated[bool, typer.Option("--deterministic", help="The same bytes whatever else the server does.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for images and results.json. Default: write none.")] = None,
    fail_under: Annotated[
        float | None, typer.Option(parser=fraction, metavar="FRACTION", help="Exit 1 if the robust accuracy is lower.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Make adversarial examples of images. Without labels, the network's own predictions are attacked."""
    if label and labels:
        raise typer.BadParameter("give --label or --labels, not both", param_hint="--labels")
    with session(server, timeout, as_json) as (service, screen):
        files, net = image_files(images), service.model(model)
        result = net.attack(
            list(files),
            _classes(labels.split(",") if labels else label, net.classes),
            FGSM(epsilon, norm, keep) if method == "fgsm" else PGD(epsilon, step, steps, norm, random_start, keep, stop_when_fooled),
            targets=_classes(target, net.classes),
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


def _classes(words: Sequence[str] | None, classes: Sequence[str]) -> list[int | str] | int | str | None:
    """Labels from the command line: a number is an index unless a class has that very name; a single one stands for all."""
    if not words:
        return None
    read = [int(word) if word.strip().isdigit() and word.strip() not in classes else word.strip() for word in words]
    return read[0] if len(read) == 1 else read


def _show(screen: Screen, files: Sequence[Path], result: AttackResult) -> None:
    """The rows and rates for people."""

    def name(place: int) -> str:
        return result.classes[place] if place < len(result.classes) else str(place)

    columns = (result.labels, result.clean_predictions, result.predictions, result.succeeded, result.norms)
    noise = [""] * len(files) if result.noise_succeeded is None else [_yes(fooled) for fooled in result.noise_succeeded]
    rows = (
        (file, name(label), name(clean), name(attacked), _yes(fooled), f"{size:.4g}", by_noise)
        for file, label, clean, attacked, fooled, size, by_noise in zip(files, *columns, noise, strict=True)
    )
    screen.table(("image", "label", "clean", "attacked", "fooled", "norm", "fooled by noise"), rows)
    line = f"robust accuracy {result.robust_accuracy:.1%}, clean {result.clean_accuracy:.1%}"
    if result.noise_robust_accuracy is not None:
        line += f", under noise {result.noise_robust_accuracy:.1%}"
    screen.line(f"{line}, {result.gradients} gradients")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
