"""The command that loads a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from striate._cli import completion
from striate._cli.command import command
from striate._cli.label_file import read_label_file
from striate._cli.session import Session


@command()
def load(
    session: Session,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name of a model that can be loaded, or hf:ORGANIZATION/REPOSITORY of Hugging "
            "Face's hub, or timm:NAME of timm's registry.",
            autocompletion=completion.all_models,
        ),
    ],
    weights: Annotated[
        str,
        typer.Option(
            help='"random" or a member of torchvision\'s Weights enum. Default: the published ones.'
        ),
    ] = "",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text file with one class name a line, in the order of the logits. Default: the "
            "names that are known.",
        ),
    ] = None,
) -> None:
    """Load a model."""
    info = session.service.load(model, weights, labels=read_label_file(labels)).info
    session.screen.result({"model": asdict(info)})
    session.screen.line(
        f"{info.name}: {info.state}, weights {info.weights}, {info.parameters} "
        f"parameters, sha256 {info.digest}, licence {info.license or 'not stated'}, from "
        f"{info.source or 'a source not stated'}"
    )
