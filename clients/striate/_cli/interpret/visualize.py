"""The command that draws what units see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli import completion
from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.images import PICTURE_ENDINGS
from striate._cli.interpret import objective as objective_text
from striate._cli.interpret.picture_options import PICTURE_SETTINGS, read_diversity
from striate._cli.interpret.picture_table import HEADER, as_json, row
from striate._cli.screen import Screen
from striate._cli.session import Session
from striate.model import Model
from striate.objective import Objective
from striate.objective.expression import WholeLayer, whole_layer
from striate.results.layer_pictures import LayerPictures, save_unit
from striate.results.visualization import Progress, Visualization, Visualizations

Objectives = Annotated[
    list[str],
    typer.Argument(
        metavar="OBJECTIVE",
        help="layer:unit, layer:unit@row,column, layer:unit@center, layer, logits:class, "
        '"neg(layer:unit)" or -layer:unit, "abs(layer:unit)", or a '
        f'sum like "layer:7 - 0.5*layer:8", also of {objective_text.HELP}; alone, "layer:*", '
        'layer:0-31 or "neg(layer:*)" for a whole layer. '
        'What begins with a minus and names no unit goes behind a space, " -layer", or behind --.',
        autocompletion=completion.units,
    ),
]
Between = Annotated[
    int | None,
    typer.Option(
        min=2, max=64, help="So many pictures, in even steps from one objective to another."
    ),
]
Variants = Annotated[int | None, typer.Option(min=1, max=16, help="Pictures an objective.")]
Diversity = Annotated[
    str | None,
    typer.Option(metavar="LAYER[=WEIGHT]", help="Push the variants apart in this layer."),
]
CertifiedBy = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="NAME", help="Data set whose maxima pictures are compared with."
    ),
]
Start = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="Begin at this image; repeatable, one an objective."),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder; or a file for one picture, or for the sheet alone of a whole layer."
    ),
]


@command(settings=PICTURE_SETTINGS)
def visualize(
    session: Session,
    model: ModelName,
    objectives: Objectives,
    settings: dict[str, Any],
    between: Between = None,
    variants: Variants = None,
    diversity: Diversity = None,
    dataset: CertifiedBy = None,
    start: Start = None,
    out: Out = Path(),
) -> None:
    """Draw the pictures that units like best, and say what they are worth."""
    settings |= {"dataset": dataset}
    net = session.service.model(model)
    whole = whole_layer(objectives[0]) if len(objectives) == 1 else None
    batch: dict[str, Any] = {"variants": variants, "diversity": diversity, "start": start}
    if whole is not None:
        _refuse({"between": between, **batch})
        _visualize_layer(net, session.screen, whole, out, settings)
        return
    composed = objective_text.parse(objectives, between)
    if len(composed) * (variants or 1) > 1 and out.suffix.lower() in PICTURE_ENDINGS:
        raise typer.BadParameter("must be a folder for several pictures", param_hint="--out")
    batch["diversity"] = read_diversity(diversity)
    _visualize_batch(net, session.screen, composed, out, settings | batch)


def _refuse(options: dict[str, object]) -> None:
    """Raises typer.BadParameter for options that a whole layer does not take."""
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter("goes not with a whole layer", param_hint=f"--{name}")


def _visualize_batch(
    net: Model,
    screen: Screen,
    objectives: list[str | Objective],
    out: Path,
    settings: dict[str, Any],
) -> None:
    """Draws, saves and prints the pictures of single objectives."""
    with screen.bar(f"visualize {net.name}") as bar:

        def show(progress: Progress) -> None:
            mean = sum(progress.scores) / max(1, len(progress.scores))
            bar.update(progress.step, progress.steps, f"score {mean:.3g}")

        found: Visualizations = net.visualize(objectives, on_progress=show, **settings)
    paths = [found[0].save(out)] if len(found) == 1 and out.suffix != "" else found.save(out)
    rows = list(zip(found, paths, strict=True))
    screen.result(
        {
            "visualizations": [as_json(item) | {"file": str(path)} for item, path in rows],
            "provenance": asdict(found.provenance),
        }
    )
    screen.table(HEADER, (row(item, path, net.classes) for item, path in rows))
    _print_notes(screen, found)


def _visualize_layer(
    net: Model,
    screen: Screen,
    whole: WholeLayer,
    out: Path,
    settings: dict[str, Any],
) -> None:
    """Draws, saves and prints the pictures of a whole layer."""
    with (
        net.visualize_layer(
            whole.layer, units=whole.units, form=whole.form, **settings
        ) as pictures,
        screen.bar(f"visualize {net.name}") as bar,
    ):
        sheet_alone = out.suffix.lower() in PICTURE_ENDINGS
        files = _save_units(pictures, None if sheet_alone else out, bar.update)
        sheet = pictures.save_sheet(out if sheet_alone else out / "sheet.png")
    _print_layer(screen, pictures, files, sheet, net.classes)


def _save_units(
    pictures: LayerPictures, folder: Path | None, update: Callable[[int, int, str], object]
) -> list[Path | None]:
    """Saves each unit's picture as it comes; None for each without a folder."""
    files = []
    for done, picture in enumerate(pictures, 1):
        files.append(None if folder is None else save_unit(picture, folder))
        update(done, pictures.total, "kept from before" if picture.cached else "")
    return files


def _print_layer(
    screen: Screen,
    pictures: LayerPictures,
    files: list[Path | None],
    sheet: Path,
    classes: Sequence[str],
) -> None:
    rows = sorted(zip(pictures, files, strict=True), key=lambda pair: pair[0].unit)
    screen.result(
        {
            "layer": pictures.layer,
            "form": pictures.form,
            "units": [
                {"unit": one.unit, "cached": one.cached}
                | as_json(one.visualization)
                | {"file": None if path is None else str(path)}
                for one, path in rows
            ],
            "sheet": str(sheet),
            "columns": pictures.columns,
            "tile": pictures.tile,
            "provenance": None if pictures.provenance is None else asdict(pictures.provenance),
        }
    )
    screen.table(HEADER, (row(one.visualization, path, classes) for one, path in rows))
    _print_notes(screen, (one.visualization for one, _ in rows))
    form = "" if pictures.form == "value" else f"{pictures.form} of "
    screen.line(f"{form}all of {pictures.layer} -> {sheet}")


def _print_notes(screen: Screen, items: Iterable[Visualization]) -> None:
    """Prints why there are pictures without a ratio, every reason once."""
    certificates = (item.certificate for item in items)
    for text in dict.fromkeys(one.no_ratio for one in certificates if one and one.no_ratio):
        screen.line(text)
