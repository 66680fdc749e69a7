"""Names for the shell to complete, as the server has them at that moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from striate.errors import StriateError
from striate.service import Service, connect

_PATIENCE = 2.0  # seconds; a shell that waits longer for a Tab is no help

_Names = Callable[[Service, dict[str, Any]], Iterable[str]]


def _completion(names: _Names) -> Callable[[typer.Context, str], list[str]]:
    """What typer asks for an argument's completions; none where the server does not answer."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        target = _server(context)
        try:
            with connect(target, timeout=_PATIENCE) as service:
                return [
                    name for name in names(service, context.params) if name.startswith(incomplete)
                ]
        except StriateError:
            return []

    return complete


def _server(context: typer.Context) -> str:
    from striate._cli.command import default_server

    outer = context.parent.params.get("server") if context.parent is not None else None
    return context.params.get("server") or outer or default_server()


def _units(service: Service, given: dict[str, Any]) -> Iterable[str]:
    net = service.model(given["model"]) if given.get("model") else None
    for layer in net.layers if net is not None else ():
        if not layer.unavailable:
            yield f"{layer.name}:"
    for name in net.classes if net is not None else ():
        yield f"logits:{name}"


loaded_models = _completion(lambda service, _: (m.name for m in service.models()))
all_models = _completion(lambda service, _: (m.name for m in service.models(True)))
datasets = _completion(lambda service, _: (d.name for d in service.datasets()))
operations = _completion(lambda service, _: (o.name for o in service.operations()))
layers = _completion(
    lambda service, given: (
        layer.name for layer in (service.model(given["model"]).layers if given.get("model") else ())
    )
)
units = _completion(_units)
