"""The command that measures accuracy over epsilon."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
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
    fraction,
)
from striate._cli.command import OptionGroup, command
from striate._cli.connection import keyword
from striate._cli.dataclass_options import annotated, settings_of
from striate._cli.images import as_classes, class_name, image_files
from striate._cli.robustness.attack import print_failures
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate.attacks import EpsilonSearch
from striate.attacks.epsilons import radius
from striate.results.attack import EpsilonCurve

_DEFAULT_EPSILONS = "1/255,2/255,4/255,8/255"


def _options() -> Iterable[inspect.Parameter]:
    """The options of an EpsilonSearch, derived from its dataclass."""
    for setting in settings_of(EpsilonSearch).values():
        if setting.name == "epsilons":
            text = "Rising radii in units of [0, 1], separated by commas."
            option = typer.Option(metavar="NUMBERS", help=text)
            yield keyword(setting.name, Annotated[str, option], _DEFAULT_EPSILONS)
        else:
            yield keyword(setting.name, annotated(setting, setting.help), setting.default)


def _read(epsilons: str, **values: Any) -> dict[str, Any]:
    return {"epsilons": [fraction(text) for text in epsilons.split(",")]} | values


SEARCH = OptionGroup({one.name: one for one in _options()}, _read)


@command(labels=LABELS, search=SEARCH)
def curve(
    session: Session,
    model: ModelName,
    images: Pictures,
    *,
    search: dict[str, Any],
    labels: list[str] | None,
    target: TargetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of random starts and targets.")] = 0,
    pixels: ImageFormatOption = "float32",
    deterministic: DeterministicOption = False,
    out: ResultFolder = None,
) -> None:
    """Measure accuracy under attack at several epsilons, and each image's minimal epsilon."""
    files, net = image_files(images), session.service.model(model)
    found = net.epsilon_curve(
        list(files),
        as_classes(labels, net.classes),
        targets=as_classes(target, net.classes),
        seed=seed,
        format=pixels,
        deterministic=deterministic,
        **search,
    )
    folder = None if out is None else str(found.attack.save(out))
    session.screen.result(found.summary() | {"files": [str(file) for file in files], "out": folder})
    _print_curve(session.screen, files, found, net.classes)


def _print_curve(
    screen: Screen, files: Sequence[Path], found: EpsilonCurve, classes: Sequence[str]
) -> None:
    minimal = (
        "no outcome"
        if not answered
        else ""
        if size != size
        else radius(float(size))
        if size
        else "wrong before"
        for size, answered in zip(found.minimal_epsilons, found.attack.answered, strict=True)
    )  # NaN: none
    names = [class_name(classes, index) for index in found.attack.labels]
    screen.table(("image", "label", "minimal epsilon"), zip(files, names, minimal, strict=True))
    screen.line("")
    screen.table(*found.table())
    screen.line(f"clean {found.attack.clean_accuracy:.1%}, {found.attack.gradients} gradients")
    print_failures(screen, files, found.attack)
