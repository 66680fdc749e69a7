"""Commands about the server: its models, data sets, operations and health."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from striate._api.operation import Operation
from striate._cli.console import (
    BAR_MISSED,
    DEFAULT_SERVER,
    Json,
    ModelName,
    Server,
    Timeout,
    session,
)
from striate.results.audit import AuditProgress
from striate.results.datasets import DatasetInfo
from striate.results.index import IndexProgress
from striate.results.models import Layer, ModelInfo

_HEALTH_TIMEOUT = 10.0  # seconds; a health check that hangs is no health check


def _size(info: ModelInfo) -> str:
    return "x".join(map(str, (info.channels, *info.input_size))) if info.channels else ""


def models(
    available: Annotated[
        bool, typer.Option("--available", help="Also those that can be loaded by name.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """List the models."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.models(include_available=available)
        screen.result({"models": [asdict(info) for info in found]})
        rows = (
            (
                m.name,
                m.state,
                m.architecture,
                m.weights,
                _size(m),
                len(m.classes) or "",
                m.parameters or "",
            )
            for m in found
        )
        screen.table(
            ("model", "state", "architecture", "weights", "input", "classes", "parameters"), rows
        )


def layers(
    model: ModelName,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """List a model's layers in the order of the forward pass."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.model(model).layers
        screen.result({"model": model, "layers": [asdict(layer) for layer in found]})
        header = (
            "layer",
            "type",
            "kernel",
            "stride",
            "output",
            "parameters",
            "multiply-adds",
            "receptive field",
        )
        screen.table(header, (_layer_row(layer) for layer in found))


def _layer_row(layer: Layer) -> tuple[object, ...]:
    field = layer.receptive_field
    seen = (
        ""
        if field is None
        else "whole image"
        if field.is_global
        else "x".join(map(str, field.size))
    )
    extents = (
        "x".join(map(str, values)) for values in (layer.kernel, layer.stride, layer.output_shape)
    )
    return (layer.name, layer.type, *extents, layer.parameters, layer.multiply_adds, seen)


def load(
    model: ModelName,
    weights: Annotated[
        str,
        typer.Option(
            help='"random" or a member of torchvision\'s Weights enum. Default: the published ones.'
        ),
    ] = "",
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Load a model."""
    with session(server, timeout, as_json) as (service, screen):
        info = service.load(model, weights).info
        screen.result({"model": asdict(info)})
        screen.line(
            f"{info.name}: {info.state}, weights {info.weights}, {info.parameters} "
            f"parameters, sha256 {info.digest}"
        )


def unload(
    model: ModelName,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Unload a model."""
    with session(server, timeout, as_json) as (service, screen):
        freed = service.unload(model)
        screen.result({"model": model, "freed_bytes": freed})
        screen.line(f"{model}: {freed / 2**20:.1f} MiB given back")


def datasets(
    model: Annotated[
        str | None,
        typer.Option(help="Also show how the labels map to this model's classes, and its indexes."),
    ] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """List the data sets that the server reads."""
    with session(server, timeout, as_json) as (service, screen):
        found = service.datasets(model)
        screen.result({"datasets": [asdict(dataset) for dataset in found]})
        screen.table(
            ("data set", "from", "images", "labels", "classes mapped", "indexed layers", "error"),
            map(_dataset_row, found),
        )


def _dataset_row(d: DatasetInfo) -> tuple[object, ...]:
    if d.error:
        return (d.name, d.uri, "", "", "", "", d.error)
    mapped = sum(i >= 0 for i in d.class_indices) or ""
    return (
        d.name,
        d.uri,
        d.size,
        "yes" if d.labelled else "no",
        mapped,
        ", ".join(d.indexed_layers),
        "",
    )


def operations(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One operation. Default: all.")
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the named operation.")] = False,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """List operations, or cancel one."""
    if cancel and name is None:
        raise typer.BadParameter("name the operation to cancel", param_hint="NAME")
    with session(server, timeout, as_json) as (service, screen):
        if name is not None and cancel:
            service.operation(name).cancel()
        found = service.operations() if name is None else [service.operation(name)]
        screen.result({"operations": [_operation(operation) for operation in found]})
        rows = ((o.name, "yes" if o.done else "no", _progress(o), o.error) for o in found)
        screen.table(("operation", "done", "progress", "error"), rows)


def _progress(operation: Operation) -> str:
    match operation.metadata:
        case IndexProgress() as p:
            return f"index {p.model} on {p.dataset}: {p.images_done} of {p.images_total} images"
        case AuditProgress() as p:
            return (
                f"audit {', '.join(p.models)} on {p.dataset}: {p.images_done} of "
                f"{p.images_total} images, {p.stage}"
            )
    return ""


def _operation(operation: Operation) -> dict[str, Any]:
    progress = operation.metadata
    error = operation.error
    return {
        "name": operation.name,
        "done": operation.done,
        "progress": asdict(progress)
        if isinstance(progress, IndexProgress | AuditProgress)
        else None,
        "error": None if error is None else f"{error.code.name}: {error}",
    }


def health(
    model: Annotated[str | None, typer.Option(help="Of one model. Default: of the server.")] = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Say whether the server is SERVING; exit code 0 only if it is."""
    with session(server, timeout, as_json) as (service, screen):
        state = service.health(model, timeout=_HEALTH_TIMEOUT if timeout is None else timeout)
        screen.result({"status": state, "model": model, "service_version": service.version})
        screen.line(state)
        if state != "SERVING":
            raise typer.Exit(BAR_MISSED)
