"""The command that makes adversarial examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli.arguments import (
    LABELS,
    DeterministicOption,
    ImageFormatOption,
    ModelName,
    Pictures,
    ResultFolder,
    TargetOption,
    number_option,
)
from striate._cli.command import command, option_group
from striate._cli.exit_codes import BAR_MISSED
from striate._cli.images import as_classes, class_name, image_files
from striate._cli.robustness.attack_options import ATTACK
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate.attacks import Attack, Drive, Silence
from striate.results.attack import AttackResult


def _unit_goal(
    unit: Annotated[
        str | None,
        typer.Option(metavar="LAYER:UNIT", help="Silence this unit instead of fooling the class."),
    ] = None,
    drive: Annotated[bool, typer.Option("--drive", help="Drive the unit up instead.")] = False,
    level: Annotated[
        float | None,
        number_option(
            "Activation that the unit must pass. Default: a tenth, or twice, of the clean one."
        ),
    ] = None,
) -> Silence | Drive | None:
    """Reads the unit to attack."""
    if unit is None:
        if drive or level is not None:
            raise typer.BadParameter(
                "is about a unit: give --unit", param_hint="--drive" if drive else "--level"
            )
        return None
    return (Drive if drive else Silence)(unit, level)


def _bar(
    fail_under: Annotated[
        float | None, number_option("Exit 1 if the robust accuracy is lower.")
    ] = None,
) -> float | None:
    """Reads the least robust accuracy."""
    if fail_under is not None and not 0 <= fail_under <= 1:
        raise typer.BadParameter(f"must be 0 to 1, is {fail_under:g}", param_hint="--fail-under")
    return fail_under


@command(method=ATTACK, labels=LABELS, unit=option_group(_unit_goal), fail_under=option_group(_bar))
def attack(
    session: Session,
    model: ModelName,
    images: Pictures,
    *,
    method: Attack,
    labels: list[str] | None,
    target: TargetOption = None,
    unit: Silence | Drive | None,
    seed: Annotated[int, typer.Option(min=0, help="Of random starts, targets and noise.")] = 0,
    noise_control: Annotated[
        bool, typer.Option("--noise-control", help="Also try random noise of equal norm.")
    ] = False,
    pixels: ImageFormatOption = "float32",
    deterministic: DeterministicOption = False,
    out: ResultFolder = None,
    fail_under: float | None,
) -> None:
    """Make adversarial examples of images. Without labels, the network's own predictions are
    attacked.
    """
    files, net = image_files(images), session.service.model(model)
    result = net.attack(
        list(files),
        as_classes(labels, net.classes),
        method,
        targets=as_classes(target, net.classes),
        unit=unit,
        seed=seed,
        noise_control=noise_control,
        format=pixels,
        deterministic=deterministic,
    )
    folder = None if out is None else str(result.save(out))
    screen = session.screen
    screen.result(result.summary() | {"files": [str(file) for file in files], "out": folder})
    _print_rows(screen, files, result)
    _print_rates(screen, result)
    print_failures(screen, files, result)
    # what is not known, NaN, is not above the bar
    if fail_under is not None and not result.robust_accuracy >= fail_under:
        screen.line(f"below the bar of {fail_under:.1%}")
        raise typer.Exit(BAR_MISSED)


def _print_rows(screen: Screen, files: Sequence[Path], result: AttackResult) -> None:
    name = partial(class_name, result.classes)
    columns: dict[str, list[str]] = {
        "image": [str(file) for file in files],
        "label": [name(index) for index in result.labels],
        "target": [name(index) for index in _rows(result.targets)],
        "clean": [name(index) for index in result.clean_predictions],
        "attacked": [name(index) for index in result.predictions],
        "clean activation": [f"{value:.4g}" for value in _rows(result.clean_activations)],
        "activation": [f"{value:.4g}" for value in _rows(result.activations)],
        "fooled": [
            _yes_or_no(fooled) if answered else "no outcome"
            for fooled, answered in zip(result.succeeded, result.answered, strict=True)
        ],
        "norm": [f"{size:.4g}" for size in result.norms],
        "fooled by noise": [_yes_or_no(fooled) for fooled in _rows(result.noise_succeeded)],
    }
    filled = {header: cells for header, cells in columns.items() if cells}
    screen.table(list(filled), zip(*filled.values(), strict=True))


def _print_rates(screen: Screen, result: AttackResult) -> None:
    line = f"robust accuracy {result.robust_accuracy:.1%}, clean {result.clean_accuracy:.1%}"
    if result.noise_robust_accuracy is not None:
        line += f", under noise {result.noise_robust_accuracy:.1%}"
    line += f", {result.gradients} gradients"
    screen.line(line + (f", {result.queries} queries" if result.queries else ""))
    if result.no_freedom.any():
        screen.line(
            f"{result.no_freedom.sum()} images had no freedom: their epsilon is under one "
            f"8-bit level"
        )


def print_failures(screen: Screen, files: Sequence[Path], result: AttackResult) -> None:
    """Name the images that have no outcome.

    Args:
        screen: Where to.
        files: The images.
        result: Of the attack on them.
    """
    for failure in result.failures:
        screen.line(f"{files[failure.index]}: {failure.message}; neither fooled nor robust")


def _rows(column: Iterable[Any] | None) -> Iterable[Any]:
    """A column that the result may lack, then empty."""
    return () if column is None else column


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
