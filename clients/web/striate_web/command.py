"""`striate web`: the command by which the client's command line serves the microscope."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def web(
    server: Annotated[
        str, typer.Option("--server", metavar="HOST:PORT", help="The gRPC server.")
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: a free one.")
    ] = 8080,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="A name by which browsers reach the microscope, beside localhost; repeat it.",
        ),
    ] = None,
    https: Annotated[
        bool,
        typer.Option(
            "--https", help="Browsers reach it by https, through a proxy: secure cookies."
        ),
    ] = False,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            "--frame",
            metavar="ORIGIN",
            help="Origin of pages that may show the microscope in a frame, such as a notebook's, "
            "http://localhost:8888; repeat it. Without it no page may.",
        ),
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls", help="Speak TLS with the server.")] = None,
    ca: Annotated[
        str | None, typer.Option("--ca", metavar="FILE", help="Authority of its certificate.")
    ] = None,
    certificate: Annotated[
        str | None, typer.Option("--certificate", metavar="FILE", help="Own certificate for it.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="FILE", help="Its private key.")
    ] = None,
) -> None:
    """Look at every unit of the server's networks in the browser.

    Visitors sign in with their own tokens; the microscope has none.
    """
    from striate import StriateError
    from striate_web.serving import serve
    from striate_web.settings import Settings

    target = server or os.environ.get("STRIATE_SERVER") or "localhost:50051"
    try:
        settings = Settings(
            target,
            host,
            port,
            tls,
            ca,
            certificate,
            key,
            tuple(name or ()),
            secure=https,
            frames=tuple(frame or ()),
        )
        served = serve(settings)
    except (StriateError, ValueError) as error:
        typer.echo(f"striate web: {error}", err=True)
        raise typer.Exit(2) from None
    if not served:
        raise typer.Exit(1)
