"""The command line `striate`.

Exit codes: 0 well; 1 a bar that was asked for was missed; 2 wrong usage or argument; 3 something of
that name not found; 4 server unreachable; 5 not now (deadline, cancelled, queue full, model in
use); 6 the server failed; 7 an audit that `--require-valid` asked for is suspect; 130 Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from striate._cli import attack as cli_attack
from striate._cli import attribute as cli_attribute
from striate._cli import audit as cli_audit
from striate._cli import classify as cli_network
from striate._cli import curve as cli_curve
from striate._cli import exemplars as cli_exemplars
from striate._cli import layers as cli_measuring
from striate._cli import pictures as cli_pictures
from striate._cli import service as cli_service
from striate._cli.console import Json, Server, Timeout, default_server

app = typer.Typer(
    help="See what each unit of a network sees, and what fools the whole, on a Striate server.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "models": cli_service.models,
    "layers": cli_service.layers,
    "load": cli_service.load,
    "unload": cli_service.unload,
    "datasets": cli_service.datasets,
    "classify": cli_network.classify,
    "visualize": cli_pictures.visualize,
    "facets": cli_pictures.facets,
    "dossier": cli_pictures.dossier,
    "filters": cli_measuring.filters,
    "tuning": cli_measuring.tuning,
    "activations": cli_measuring.activations,
    "index": cli_exemplars.index,
    "exemplars": cli_exemplars.exemplars,
    "statistics": cli_exemplars.statistics,
    "attribute": cli_attribute.attribute,
    "attack": cli_attack.attack,
    "curve": cli_curve.curve,
    "audit": cli_audit.audit,
    "operations": cli_service.operations,
    "health": cli_service.health,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("striate-client"))
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    server: Server = "",
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
    defaults = {"server": server or default_server(), "timeout": timeout, "as_json": as_json}
    context.default_map = dict.fromkeys(COMMANDS, defaults)


def main() -> None:
    """Entry point of the `striate` script."""
    app(prog_name="striate")
