"""The command that builds an exemplar index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from striate._cli import completion
from striate._cli.arguments import ModelName, Share, fraction
from striate._cli.command import command
from striate._cli.left_out import SkipBad, print_left_out
from striate._cli.operation_progress import wait_for
from striate._cli.session import Session
from striate.results.index import IndexProgress


@command()
def index(
    session: Session,
    model: ModelName,
    dataset: Annotated[
        str,
        typer.Option(help="Name of a data set.", autocompletion=completion.datasets),
    ],
    layer: Annotated[
        list[str],
        typer.Option(help="A layer; repeat the option for more.", autocompletion=completion.layers),
    ],
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
    skip_bad: SkipBad = False,
    share: Share = None,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Print the operation's name and do not wait for its end."),
    ] = False,
) -> None:
    """Build the index that `exemplars` and `statistics` look into. Ctrl-C cancels it on the
    server.
    """
    screen = session.screen
    operation = session.service.build_index(
        model,
        dataset,
        layer,
        k=k,
        limit=limit,
        class_k=class_k,
        shard_images=shard_images,
        quantiles=quantile,
        skip_bad=skip_bad,
        share=share or (),
    )
    if detach:
        screen.result({"operation": operation.name})
        screen.line(operation.name)
        return
    with screen.bar(f"index {model}") as bar:

        def show(progress: Any) -> None:
            if isinstance(progress, IndexProgress):
                left_out = progress.images_left_out
                note = f"{left_out} left out" if left_out else ""
                bar.update(progress.images_done, progress.images_total, note)

        report = wait_for(operation, session.timeout, show)
    screen.result({"operation": operation.name, "report": asdict(report)})
    screen.line(f"{report.units} units of {', '.join(layer)} indexed over {report.images} images")
    print_left_out(screen, report.images_left_out, report.left_out)
