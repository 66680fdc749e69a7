"""The command line `striate`.

Exit codes: 0 well; 1 a bar that was asked for was missed; 2 wrong usage or argument; 3 something of
that name not found; 4 server unreachable; 5 not now (deadline, cancelled, queue full, model in
use); 6 the server failed; 7 an audit that `--require-valid` asked for is suspect; 130 Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

import typer

from striate._cli.command import Json, Timeout
from striate._cli.connection import (
    Authority,
    Certificate,
    Key,
    Server,
    Tls,
    Token,
    default_server,
)
from striate._cli.interpret.activations import activations
from striate._cli.interpret.attribute import attribute
from striate._cli.interpret.classify import classify
from striate._cli.interpret.dossier import dossier
from striate._cli.interpret.exemplars import exemplars
from striate._cli.interpret.facets import facets
from striate._cli.interpret.filters import filters
from striate._cli.interpret.index import index
from striate._cli.interpret.statistics import statistics
from striate._cli.interpret.tuning import tuning
from striate._cli.interpret.visualize import visualize
from striate._cli.negative_units import NegativeUnitCommand
from striate._cli.robustness.attack import attack
from striate._cli.robustness.audit import audit
from striate._cli.robustness.curve import curve
from striate._cli.server.datasets import datasets
from striate._cli.server.delete_dataset import delete_dataset
from striate._cli.server.export import export
from striate._cli.server.health import health
from striate._cli.server.layers import layers
from striate._cli.server.load import load
from striate._cli.server.models import models
from striate._cli.server.operations import operations
from striate._cli.server.unload import unload
from striate._cli.server.usage import usage

app = typer.Typer(
    help="See what each unit of a network sees, and what fools the whole, on a Striate server.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
_COMMANDS: tuple[Callable[..., None], ...] = (  # in the order of the help; named by their functions
    models,
    layers,
    load,
    export,
    unload,
    datasets,
    delete_dataset,
    classify,
    visualize,
    facets,
    dossier,
    filters,
    tuning,
    activations,
    index,
    exemplars,
    statistics,
    attribute,
    attack,
    curve,
    audit,
    operations,
    health,
    usage,
)


def joined(point: EntryPoint) -> Callable[..., None]:
    """Loads a command of another distribution.

    Args:
        point: Its entry point.

    Returns:
        The command; one that says what is missing where it cannot be loaded, so that the others
        go on.
    """
    try:
        found: Callable[..., None] = point.load()
    except ImportError as error:
        reason = str(error)
    else:
        return found

    def missing() -> None:
        """Cannot be started: a part of it is not installed."""
        typer.echo(f"striate {point.name} is not installed whole: {reason}", err=True)
        raise typer.Exit(2)

    return missing


COMMANDS = {command.__name__: command for command in _COMMANDS}
for _name, _command in COMMANDS.items():
    app.command(_name, cls=NegativeUnitCommand)(_command)
_JOINED = [point.name for point in entry_points(group="striate.commands")]
for _point in entry_points(group="striate.commands"):  # of distributions that are installed beside
    app.command(_point.name)(joined(_point))


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("striate-client"))
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    server: Server = "",
    tls: Tls = None,
    ca: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Token = None,
    timeout: Timeout = None,
    as_json: Json = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the client's version."
        ),
    ] = False,
) -> None:
    """Options before the command are the defaults of those behind it."""
    defaults = {
        "server": server or default_server(),
        "tls": tls,
        "ca": ca,
        "certificate": certificate,
        "key": key,
        "token": token,
        "timeout": timeout,
        "as_json": as_json,
    }
    context.default_map = dict.fromkeys((*COMMANDS, *_JOINED), defaults)


def main() -> None:
    """Runs the `striate` script."""
    app(prog_name="striate")
