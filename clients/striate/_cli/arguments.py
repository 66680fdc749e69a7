"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate._cli import completion
from striate._cli.command import option_group
from striate.attacks import epsilons
from striate.errors import InvalidArgument


def fraction(value: str | float) -> float:
    """Reads the number in "8/255" or "0.03"; a number, as defaults are, stays itself.

    Raises:
        typer.BadParameter: The text is no number.
    """
    try:
        return epsilons.fraction("number", value)
    except InvalidArgument as error:
        raise typer.BadParameter(error.fields["number"]) from None


def number_option(help_text: str, **more: Any) -> Any:
    """Makes an option that takes a number such as "0.03" or "8/255"."""
    return typer.Option(parser=fraction, metavar="NUMBER", help=help_text, **more)


ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Name of a model.", autocompletion=completion.loaded_models
    ),
]
Pictures = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGES", help="Picture files, or folders of them."),
]
UnitName = Annotated[
    str,
    typer.Argument(
        metavar="UNIT",
        help="layer:unit; neg(layer:unit), or -layer:unit, or abs(layer:unit)",
        autocompletion=completion.units,
    ),
]
IndexedDataset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="A data set with an index of the layer.",
        autocompletion=completion.datasets,
    ),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="Class to be taken for: one for all, or repeated, one an image; or "
        '"random" or "least-likely".',
    ),
]
ImageFormatOption = Annotated[
    Literal["float32", "png"], typer.Option("--format", help="png: 8 bits, inside the ball.")
]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="The same bytes whatever else the server does.")
]
ResultFolder = Annotated[
    Path | None, typer.Option(help="Folder for images and results.json. Default: write none.")
]


def _labels(
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="True class, index or name: one for all, or repeated, one an image."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="The same, separated by commas.")
    ] = None,
) -> list[str] | None:
    """Reads the labels of --label or --labels.

    Raises:
        typer.BadParameter: Both are given.
    """
    if label and labels:
        raise typer.BadParameter("give --label or --labels, not both", param_hint="--labels")
    return labels.split(",") if labels else label


LABELS = option_group(_labels)

Share = Annotated[
    list[str] | None,
    typer.Option(
        "--share",
        metavar="NAME|ROLE",
        help="Who may read it beside you and admins: a caller's name, or read, compute or admin "
        "for all who have that role. Repeatable. Default: nobody.",
    ),
]
