"""Commands that draw what units see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli import objective as cli_objective
from striate._cli import picture_options as own
from striate._cli.console import (
    DEFAULT_SERVER,
    PICTURES,
    Json,
    ModelName,
    Screen,
    Server,
    Timeout,
    session,
)
from striate._requests.expression import whole_layer
from striate.model import Model
from striate.objective import Objective
from striate.results.certificate import Certificate
from striate.results.facets import Facet
from striate.results.layer_pictures import LayerPictures, save_unit
from striate.results.visualization import Progress, Visualization, Visualizations

Objectives = Annotated[
    list[str],
    typer.Argument(
        metavar="OBJECTIVE",
        help="layer:unit, layer:unit@row,column, layer:unit@center, layer, logits:class, or a "
        "sum like "
        f'"layer:7 - 0.5*layer:8", also of {cli_objective.HELP}; alone, "layer:*" or '
        f"layer:0-31 for a whole layer. "
        'What begins with a minus goes behind a space, " -layer:7", or behind --.',
    ),
]
UnitName = Annotated[str, typer.Argument(metavar="UNIT", help="layer:unit")]
Indexed = Annotated[
    str, typer.Option(metavar="NAME", help="A data set with an index of the layer.")
]
Reader = Callable[[], dict[str, Any]]
Between = Annotated[
    int | None,
    typer.Option(
        min=2, max=64, help="So many pictures, in even steps from one objective to another."
    ),
]
Start = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="Begin at this image; repeatable, one an objective."),
]

_COLUMNS = (
    "objective",
    "activation",
    "ratio",
    "held out",
    "percentile",
    "rank",
    "other seeds",
    "",
    "file",
)


@own.with_picture_settings
def visualize(
    model: ModelName,
    objectives: Objectives,
    settings: Reader,
    between: Between = None,
    variants: own.Variants = None,
    diversity: own.Diversity = None,
    dataset: own.CertifiedBy = None,
    start: Start = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder; or a file for one picture, or for the sheet alone of a whole layer."
        ),
    ] = Path(),
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Draw the pictures that units like best, and say what they are worth."""
    with session(server, timeout, as_json) as (service, screen):
        chosen = settings() | {"dataset": dataset}
        net = service.model(model)
        whole = whole_layer(objectives[0]) if len(objectives) == 1 else None
        if whole is None:
            composed = cli_objective.read(objectives, between)
            if len(composed) * (variants or 1) > 1 and out.suffix.lower() in PICTURES:
                raise typer.BadParameter(
                    "must be a folder for several pictures", param_hint="--out"
                )
            batch = {
                "variants": variants,
                "diversity": own.read_diversity(diversity),
                "start": start,
            }
            _visualize_batch(net, screen, composed, out, chosen | batch)
            return
        for option, value in {
            "between": between,
            "variants": variants,
            "diversity": diversity,
            "start": start,
        }.items():
            if value is not None:
                raise typer.BadParameter("goes not with a whole layer", param_hint=f"--{option}")
        with (
            net.visualize_layer(whole[0], units=whole[1], **chosen) as pictures,
            screen.bar(f"visualize {model}") as bar,
        ):
            alone = out.suffix.lower() in PICTURES
            files = _save_layer(pictures, None if alone else out, bar.update)
            sheet = pictures.save_sheet(out if alone else out / "sheet.png")
        _show_layer(screen, pictures, files, sheet)


def _visualize_batch(
    net: Model,
    screen: Screen,
    objectives: list[str | Objective],
    out: Path,
    settings: dict[str, Any],
) -> None:
    with screen.bar(f"visualize {net.name}") as bar:

        def show(progress: Progress) -> None:
            bar.update(
                progress.step,
                progress.steps,
                f"score {sum(progress.scores) / max(1, len(progress.scores)):.3g}",
            )

        found: Visualizations = net.visualize(objectives, on_progress=show, **settings)
    paths = [found[0].save(out)] if len(found) == 1 and out.suffix != "" else found.save(out)
    rows = list(zip(found, paths, strict=True))
    screen.result(
        {
            "visualizations": [_visualization(item) | {"file": str(path)} for item, path in rows],
            "provenance": asdict(found.provenance),
        }
    )
    screen.table(_COLUMNS, (_cells(item, path) for item, path in rows))


def _save_layer(
    pictures: LayerPictures, folder: Path | None, update: Callable[[int, int, str], object]
) -> list[Path | None]:
    files = []
    for done, picture in enumerate(pictures, 1):
        files.append(None if folder is None else save_unit(picture, folder))
        update(done, pictures.total, "kept from before" if picture.cached else "")
    return files


def _show_layer(
    screen: Screen, pictures: LayerPictures, files: list[Path | None], sheet: Path
) -> None:
    rows = sorted(zip(pictures, files, strict=True), key=lambda row: row[0].unit)
    screen.result(
        {
            "layer": pictures.layer,
            "units": [
                {"unit": one.unit, "cached": one.cached}
                | _visualization(one.visualization)
                | {"file": None if path is None else str(path)}
                for one, path in rows
            ],
            "sheet": str(sheet),
            "columns": pictures.columns,
            "tile": pictures.tile,
            "provenance": None if pictures.provenance is None else asdict(pictures.provenance),
        }
    )
    screen.table(_COLUMNS, (_cells(one.visualization, path) for one, path in rows))
    screen.line(f"all of {pictures.layer} -> {sheet}")


def _visualization(item: Visualization) -> dict[str, object]:
    certificate = None if item.certificate is None else asdict(item.certificate)
    values = {
        "objective": item.objective,
        "variant": item.variant,
        "activation": item.activation,
        "dead": item.dead,
    }
    return values | {"certificate": certificate}


def _facet(one: Facet) -> dict[str, object]:
    return {"share": one.share, "ids": one.ids} | _visualization(one.visualization)


def _cells(item: Visualization, path: Path | None) -> tuple[object, ...]:
    worth = ("",) * 5 if item.certificate is None else tuple(_worth(item.certificate))
    return (item.objective, f"{item.activation:.4g}", *worth, "dead" if item.dead else "", path)


def _worth(certificate: Certificate) -> Iterable[str]:
    yield "" if certificate.ratio is None else f"{certificate.ratio:.2f}"
    yield "" if certificate.held_out_ratio is None else f"{certificate.held_out_ratio:.2f}"
    yield "" if certificate.percentile is None else f"{certificate.percentile:.2%}"
    yield "" if certificate.rank is None else f"{certificate.rank}/{certificate.units}"
    yield certificate.spread


@own.with_picture_settings
def facets(
    model: ModelName,
    unit: UnitName,
    dataset: Indexed,
    settings: Reader,
    exemplars: Annotated[
        int | None,
        typer.Option(
            min=2, max=100, help="So many of the strongest are clustered. Default: all kept."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--facets", min=1, max=8, help="Default: as many as separate best."),
    ] = None,
    by_layer: Annotated[
        str | None,
        typer.Option(help="Layer whose activations are clustered. Default: the one before."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures and crops. Default: write none.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Find the different things that one unit sees."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).facets(
            unit,
            dataset=dataset,
            exemplars=exemplars,
            facets=count,
            by_layer=by_layer,
            **settings(),
        )
        files = [] if out is None else found.save(out)
        screen.result(
            {
                "unit": found.unit,
                "by_layer": found.by_layer,
                "silhouette": found.silhouette,
                "facets": [_facet(one) for one in found],
                "files": [str(file) for file in files],
                "provenance": asdict(found.provenance),
            }
        )
        screen.line(f"{found.unit} by {found.by_layer}, silhouette {found.silhouette:.2f}")
        rows = (
            (f"{one.share:.0%}", f"{one.visualization.activation:.4g}", " ".join(map(str, one.ids)))
            for one in found
        )
        screen.table(("share", "activation", "exemplars"), rows)


@own.with_picture_settings
def dossier(
    model: ModelName,
    unit: UnitName,
    dataset: Indexed,
    settings: Reader,
    pictures: Annotated[
        int | None, typer.Option(min=1, max=4, help="From different seeds. Default: 1.")
    ] = None,
    exemplars: Annotated[int | None, typer.Option(min=1, max=36, help="Default: 9.")] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, max=512, help="That ablation and PGD are run on. Default: 64."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(parser=own.fraction, metavar="NUMBER", help="Of PGD in Linf. Default: 8/255."),
    ] = None,
    attack_steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of PGD. Default: 10.")
    ] = None,
    with_facets: Annotated[
        bool, typer.Option("--facets", help="Also find the unit's facets.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("dossier.html"),
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Write one page about one unit."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).dossier(
            unit,
            dataset=dataset,
            pictures=pictures,
            exemplars=exemplars,
            images=images,
            epsilon=epsilon,
            attack_steps=attack_steps,
            facets=with_facets,
            **settings(),
        )
        path = found.save(out)
        screen.result(
            {
                "unit": found.unit,
                "visualizations": [_visualization(one) for one in found.visualizations],
                "exemplars": [
                    {"id": one.id, "name": one.name, "activation": one.activation}
                    for one in found.exemplars
                ],
                "statistics": asdict(found.statistics),
                "tuning": None if found.tuning is None else asdict(found.tuning),
                "logit_shifts": [asdict(shift) for shift in found.logit_shifts],
                "flips": [asdict(flip) for flip in found.flips],
                "facets": [_facet(one) for one in found.facets],
                "file": str(path),
                "provenance": asdict(found.provenance),
            }
        )
        screen.line(f"{found.unit} -> {path}")
