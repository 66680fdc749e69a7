"""The command that lists a model's layers."""

from __future__ import annotations

from dataclasses import asdict

from striate._cli.arguments import ModelName
from striate._cli.command import command
from striate._cli.session import Session
from striate.results.models import Layer, ReceptiveField

_HEADER = (
    "layer",
    "type",
    "kernel",
    "stride",
    "output",
    "parameters",
    "multiply-adds",
    "receptive field",
    "no units",
)


@command()
def layers(session: Session, model: ModelName) -> None:
    """List a model's layers in the order of the forward pass."""
    found = session.service.model(model).layers
    session.screen.result({"model": model, "layers": [asdict(layer) for layer in found]})
    session.screen.table(_HEADER, map(_row, found))


def _row(layer: Layer) -> tuple[object, ...]:
    extents = (
        "x".join(map(str, values)) for values in (layer.kernel, layer.stride, layer.output_shape)
    )
    field = _receptive_field(layer.receptive_field)
    costs = layer.parameters, layer.multiply_adds
    return (layer.name, layer.type, *extents, *costs, field, layer.unavailable)


def _receptive_field(field: ReceptiveField | None) -> str:
    if field is None:
        return ""
    return "whole image" if field.is_global else "x".join(map(str, field.size))
