"""The command that deletes an uploaded data set."""

from __future__ import annotations

from typing import Annotated

import typer

from striate._cli import completion
from striate._cli.command import command
from striate._cli.session import Session


@command()
def delete_dataset(
    session: Session,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An uploaded data set, upload-...",
            autocompletion=completion.datasets,
        ),
    ],
) -> None:
    """Delete an uploaded data set that no operation uses."""
    freed = session.service.delete_dataset(dataset)
    session.screen.result({"dataset": dataset, "freed_bytes": freed})
    session.screen.line(f"{dataset}: {freed / 2**20:.1f} MiB given back")
