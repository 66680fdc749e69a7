"""The models of a server: listing, describing, loading, exporting and unloading them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from striate._api.context import ModelContext
from striate.errors.user_warnings import warn_user
from striate.results import bundle
from striate.results.listing import Listing
from striate.results.models import LAYER_COLUMNS, MODEL_COLUMNS, Layer, ModelInfo
from striate.v1 import model_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from striate._api.context import Connection


def list_models(
    connection: Connection, include_available: bool, timeout: float | None
) -> list[ModelInfo]:
    """Lists the loaded models, or also those that can be loaded by name, page by page.

    Args:
        connection: To the server.
        include_available: List also those that can be loaded.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The models.
    """
    deadline, found, token = connection.caller.deadline(timeout), list[ModelInfo](), ""
    while True:
        request = model_pb2.ListModelsRequest(include_available=include_available, page_token=token)
        method = connection.models.ListModels
        response = connection.caller.unary(method, request, deadline.remaining())
        found += map(ModelInfo.read, response.models)
        token = response.next_page_token
        if not token:
            return Listing(found, MODEL_COLUMNS)


def find(connection: Connection, name: str, timeout: float | None) -> ModelContext:
    """Finds a loaded model.

    Args:
        connection: To the server.
        name: Of the model.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The model, with its layers.
    """
    request = model_pb2.GetModelRequest(model=name)
    response = connection.caller.unary(connection.models.GetModel, request, timeout)
    layers = Listing((Layer.read(layer) for layer in response.layers), LAYER_COLUMNS)
    return ModelContext(connection, ModelInfo.read(response.model), layers)


def load(
    connection: Connection, name: str, weights: str, labels: Sequence[str], timeout: float | None
) -> ModelContext:
    """Loads a model, or finds it loaded, and issues what loading found odd as warnings.

    Args:
        connection: To the server.
        name: Of the model, or of a source's network, which the answer has another name for.
        weights: Their name; "" for the default ones.
        labels: Class names in the order of the logits; none for those that are known.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The model, with its layers.
    """
    deadline = connection.caller.deadline(timeout)
    request = model_pb2.LoadModelRequest(model=name, weights=weights, labels=labels)
    loaded = connection.caller.unary(connection.models.LoadModel, request, deadline.remaining())
    warn_user(loaded.model.warnings)
    return find(connection, loaded.model.name, deadline.remaining())


def export(connection: Connection, name: str, path: str | Path, timeout: float | None) -> Path:
    """Saves a model's bundle.

    Args:
        connection: To the server.
        name: Of the model.
        path: Where to.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The path.

    Raises:
        Internal: What came is not what the server sent; no file is left.
    """
    request = model_pb2.ExportModelRequest(model=name)
    with closing(connection.caller.stream(connection.models.ExportModel, request, timeout)) as sent:
        return bundle.save(name, sent, path)


def unload(connection: Connection, name: str, timeout: float | None) -> int:
    """Frees a model's memory.

    Args:
        connection: To the server.
        name: Of the model.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The bytes.
    """
    request = model_pb2.UnloadModelRequest(model=name)
    return connection.caller.unary(connection.models.UnloadModel, request, timeout).freed_bytes
