"""Commands about what the units of a network see."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.console import DEFAULT_SERVER, Json, ModelName, Pictures, Server, Timeout, image_files, session
from striate.results import Progress, Visualization, file_name

Objectives = Annotated[list[str], typer.Argument(metavar="OBJECTIVE", help="layer:unit, layer:unit@row,column, layer or logits:class.")]


def classify(
    model: ModelName,
    images: Pictures,
    k: Annotated[int, typer.Option("-k", min=1, help="Classes an image.")] = 5,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Name the most probable classes of images."""
    with session(server, timeout, as_json) as (service, screen):
        files = image_files(images)
        found = service.model(model).classify(list(files), k=k)
        rows = list(zip(files, found, strict=True))
        screen.result({
            "images": [{"file": str(file), "predictions": [asdict(p) for p in predictions]} for file, predictions in rows],
            "provenance": asdict(found.provenance),
        })  # fmt: skip
        cells = ((file, p.label, p.index, f"{p.probability:.1%}") for file, predictions in rows for p in predictions)
        screen.table(("image", "class", "index", "probability"), cells)


def visualize(
    model: ModelName,
    objectives: Objectives,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps. Default: the server's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's learning rate, above 0 to 1. Default: the server's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Picks start and transforms.")] = 0,
    size: Annotated[int | None, typer.Option(min=1, help="Picture height and width in pixels. Default: the network's.")] = None,
    transforms: Annotated[bool, typer.Option(help="Optimize under random jitter, rotation and scale.")] = True,
    out: Annotated[Path, typer.Option(help="Folder, or for one objective a picture file.")] = Path(),
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Draw the pictures that units like best."""
    with session(server, timeout, as_json) as (service, screen):
        net = service.model(model)
        with screen.bar(f"visualize {model}") as bar:

            def show(progress: Progress) -> None:
                bar.update(progress.step, progress.steps, f"score {sum(progress.scores) / max(1, len(progress.scores)):.3g}")

            found = net.visualize(
                objectives, steps=steps, learning_rate=learning_rate, seed=seed, size=size, transforms=transforms, on_progress=show
            )
        whole_name = len(found) == 1 and out.suffix != ""
        paths = [item.save(out if whole_name else out / f"{file_name(item.objective)}.png") for item in found]
        rows = list(zip(found, paths, strict=True))
        screen.result({
            "visualizations": [_visualization(item) | {"file": str(path)} for item, path in rows],
            "provenance": asdict(found.provenance),
        })  # fmt: skip
        screen.table(
            ("objective", "activation", "", "file"),
            ((item.objective, f"{item.activation:.4g}", "dead" if item.dead else "", path) for item, path in rows),
        )


def _visualization(item: Visualization) -> dict[str, object]:
    return {"objective": item.objective, "activation": item.activation, "dead": item.dead}


def filters(
    model: ModelName,
    layer: Annotated[str | None, typer.Option(help="A convolution. Default: the first one.")] = None,
    scale: Annotated[Literal["filter", "global"], typer.Option(help="Each filter in its own range, or one for all.")] = "filter",
    zoom: Annotated[int, typer.Option(min=0, max=32, help="Pixels a weight; 0 picks one.")] = 0,
    out: Annotated[Path, typer.Option(help="A picture, or a .npy file for the exact weights.")] = Path("filters.png"),
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Draw a convolution's filters."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).filters(layer, scale=scale, zoom=zoom)
        path = found.save(out)
        screen.result({
            "layer": found.layer,
            "shape": list(found.weights.shape),
            "normalization": found.normalization,
            "file": str(path),
            "provenance": asdict(found.provenance),
        })  # fmt: skip
        screen.line(f"{found.layer} {'x'.join(map(str, found.weights.shape))} -> {path} ({found.normalization})")


def exemplars(
    model: ModelName,
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="layer:unit")],
    dataset: Annotated[str, typer.Option(help="Name of a data set with an index of the layer.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Exemplars wanted.")] = 9,
    out: Annotated[Path | None, typer.Option(help="Folder for the images, crops and a grid. Default: write none.")] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Find the images on which a unit is most active."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).exemplars(unit, k, dataset=dataset)
        files = found.save(out) if out is not None else []
        columns = ("id", "name", "activation", "position", "box", "label", "label_name")
        screen.result({
            "unit": found.unit,
            "images": found.images,
            "exemplars": [{name: getattr(exemplar, name) for name in columns} for exemplar in found],
            "files": [str(file) for file in files],
            "provenance": asdict(found.provenance),
        })  # fmt: skip
        screen.line(f"{found.unit}: the best of {found.images} images")
        rows = ((e.id, e.name, f"{e.activation:.4g}", e.position, e.box, e.label, e.label_name) for e in found)
        screen.table(columns, rows)
