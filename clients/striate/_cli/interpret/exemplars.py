"""Commands about what units answer to in a data set: indexes, exemplars, statistics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._api.exemplars import OrderName
from striate._cli.console import DEFAULT_SERVER, Json, ModelName, Server, Timeout, fraction, session
from striate.results.index import IndexProgress
from striate.results.unit_statistics import UnitStatistics

_CANCEL_TIMEOUT = 10.0  # seconds
_FIELDS = ("id", "name", "activation", "position", "box", "label", "label_name", "quantile")

DataSet = Annotated[str, typer.Option(help="Name of a data set with an index of the layer.")]


def index(
    model: ModelName,
    dataset: Annotated[str, typer.Option(help="Name of a data set.")],
    layer: Annotated[list[str], typer.Option(help="A layer; repeat the option for more.")],
    k: Annotated[
        int, typer.Option("-k", min=1, max=100, help="Exemplars kept a unit and order.")
    ] = 9,
    limit: Annotated[
        int, typer.Option(min=0, help="Read only the first so many images; 0 reads all.")
    ] = 0,
    class_k: Annotated[
        int | None,
        typer.Option(
            min=0, max=100, help="Exemplars kept a unit and class. Default: the server's."
        ),
    ] = None,
    quantile: Annotated[
        list[float] | None,
        typer.Option(
            parser=fraction,
            help="A share of the images, 0 to 1, kept by; repeatable. Default: nine.",
        ),
    ] = None,
    shard_images: Annotated[
        int | None,
        typer.Option(min=64, max=65536, help="Images between saves. Default: the server's."),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Print the operation's name and do not wait for its end."),
    ] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Build the index that `exemplars` and `statistics` look into. Ctrl-C cancels it on the
    server.
    """
    with session(server, timeout, as_json) as (service, screen):
        operation = service.build_index(
            model,
            dataset,
            layer,
            k=k,
            limit=limit,
            class_k=class_k,
            shard_images=shard_images,
            quantiles=quantile,
        )
        if detach:
            screen.result({"operation": operation.name})
            screen.line(operation.name)
            return
        with screen.bar(f"index {model}") as bar:

            def show(progress: Any) -> None:
                if isinstance(progress, IndexProgress):
                    bar.update(progress.images_done, progress.images_total)

            try:
                report = operation.wait(timeout=timeout, on_progress=show)
            except KeyboardInterrupt:
                operation.cancel(timeout=_CANCEL_TIMEOUT)
                raise
        screen.result({"operation": operation.name, "report": asdict(report)})
        screen.line(
            f"{report.units} units of {', '.join(layer)} indexed over {report.images} images"
        )


def exemplars(
    model: ModelName,
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="layer:unit")],
    dataset: DataSet,
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, help="Exemplars wanted. Default: 9, and all quantiles."),
    ] = None,
    order: Annotated[OrderName, typer.Option(help="By what the images are the unit's.")] = "max",
    quantiles: Annotated[
        bool, typer.Option("--quantiles", help="The same as --order quantile.")
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="Only images of this class of the data set, index or name.")
    ] = None,
    images: Annotated[
        bool, typer.Option(help="Read the images too; without, there are no names and labels.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the images, crops and a grid. Default: write none."),
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Find the images that a unit answers to most, least or in between."""
    if out is not None and not images:
        raise typer.BadParameter("writes images, which --no-images leaves out", param_hint="--out")
    by: OrderName = "quantile" if quantiles else order
    with session(server, timeout, as_json) as (service, screen):
        chosen = int(label) if label is not None and label.isdecimal() else label
        found = service.model(model).exemplars(
            unit, k, dataset=dataset, order=by, label=chosen, images=images
        )
        files = found.save(out) if out is not None else []
        screen.result(
            {
                "unit": found.unit,
                "order": by,
                "images": found.images,
                "exemplars": [
                    {name: getattr(exemplar, name) for name in _FIELDS} for exemplar in found
                ],
                "files": [str(file) for file in files],
                "provenance": asdict(found.provenance),
            }
        )
        screen.line(f"{found.unit}, by {by}: of {found.images} images")
        shown = [
            name
            for name in _FIELDS
            if any(getattr(exemplar, name) not in (None, "") for exemplar in found)
        ]
        screen.table(
            shown, ([_cell(getattr(exemplar, name)) for name in shown] for exemplar in found)
        )


def _cell(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def statistics(
    model: ModelName,
    unit: Annotated[
        str, typer.Argument(metavar="UNIT", help="layer:unit, or layer for all its units")
    ],
    dataset: DataSet,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Tell what units do over a data set: moments, sparsity, quantiles, histogram."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).statistics(unit, dataset=dataset)
        units = [found] if isinstance(found, UnitStatistics) else found
        screen.result(
            {
                "images": units[0].images,
                "units": [_numbers(unit) for unit in units],
                "provenance": asdict(units[0].provenance),
            }
        )
        screen.line(f"{unit}: of {units[0].images} images")
        header = (
            "unit",
            "minimum",
            "maximum",
            "mean",
            "variance",
            "active share",
            "active images",
            "sparsity",
        )
        screen.table(header, map(_statistics_row, units))
        if isinstance(found, UnitStatistics):
            screen.line(
                f"\nmaxima of images, {found.span[0]:.4g} {_bars(found.counts)} "
                f"{found.span[1]:.4g}\n"
            )
            screen.table(
                ("share below", "maximum"),
                ((f"{share:.4g}", f"{value:.4g}") for share, value in found.quantiles.items()),
            )


def _bars(counts: tuple[int, ...]) -> str:
    """A histogram in one line: a blank for nothing, and eight heights."""
    top = max(counts, default=0)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // top) if top else 0] for count in counts)


def _numbers(unit: UnitStatistics) -> dict[str, object]:
    return {
        name: value for name, value in asdict(unit).items() if name not in ("images", "provenance")
    }


def _statistics_row(u: UnitStatistics) -> tuple[object, ...]:
    values = (u.minimum, u.maximum, u.mean, u.variance, u.active_share, u.active_images, u.sparsity)
    return (u.unit, *(f"{value:.4g}" for value in values))
