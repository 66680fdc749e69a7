"""Names for the shell to complete, as the server has them at that moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from striate._cli.connection import connection_options, open_connection
from striate.errors import StriateError
from striate.service import Service

_PATIENCE = 2.0  # seconds; a shell that waits longer for a Tab is no help

_Names = Callable[[Service, dict[str, Any]], Iterable[str]]


def _completion(names: _Names) -> Callable[[typer.Context, str], list[str]]:
    """What typer asks for an argument's completions; none where the server does not answer."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            with open_connection(_reached(context), _PATIENCE) as service:
                return [
                    name for name in names(service, context.params) if name.startswith(incomplete)
                ]
        except StriateError:
            return []

    return complete


def _reached(context: typer.Context) -> dict[str, Any]:
    """The options that say how the server is reached, before the command and behind it."""
    outer = context.parent.params if context.parent is not None else {}
    return {
        one.name: context.params.get(one.name) or outer.get(one.name)
        for one in connection_options()
    }


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
