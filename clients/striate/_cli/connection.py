"""The options that say which server a command asks, and how it is reached."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from striate.service import Service, connect

DEFAULT_SERVER = "localhost:50051"

Server = Annotated[
    str,
    typer.Option(
        "--server", metavar="HOST:PORT", help="The server; STRIATE_SERVER says it for all commands."
    ),
]
Tls = Annotated[bool | None, typer.Option("--tls", help="Speak TLS; or STRIATE_TLS=1.")]
Authority = Annotated[
    str | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="Speak TLS with a server whose certificate this authority signed; or STRIATE_CA.",
    ),
]
Certificate = Annotated[
    str | None,
    typer.Option(
        "--certificate", metavar="FILE", help="Your own certificate; or STRIATE_CERTIFICATE."
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="FILE", help="Its private key; or STRIATE_KEY."),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="Your token. Better in STRIATE_TOKEN: what runs here can read a command's options.",
    ),
]

# By the names of the arguments of `connect`, beside the server's.
SECURITY: Mapping[str, Any] = {
    "tls": Tls,
    "ca": Authority,
    "certificate": Certificate,
    "key": Key,
    "token": Token,
}


def default_server() -> str:
    """The server of commands that name none: STRIATE_SERVER, else localhost:50051."""
    return os.environ.get("STRIATE_SERVER") or DEFAULT_SERVER


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Makes the parameter of an option."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def connection_options() -> tuple[inspect.Parameter, ...]:
    """The options as parameters."""
    security = (keyword(name, annotation, None) for name, annotation in SECURITY.items())
    return (keyword("server", Server, DEFAULT_SERVER), *security)


def open_connection(given: Mapping[str, Any], timeout: float | None) -> Service:
    """Opens the connection that options ask for.

    Args:
        given: The options' values by name; others are left alone.
        timeout: Seconds of each call, None for no limit.

    Returns:
        The connection.

    Raises:
        InvalidArgument: A value cannot be used.
    """
    security: dict[str, Any] = {name: given.get(name) for name in SECURITY}
    return connect(given.get("server") or default_server(), timeout=timeout, **security)
