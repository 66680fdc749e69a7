"""Exemplar indexes: building them, and what they know of units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from striate._api.datasets import list_datasets
from striate._api.operation import Operation
from striate._requests.share import share_words
from striate._rpc.batching import check_count
from striate._rpc.checks import at_least, choice, number, whole
from striate.errors import DatasetNotFound, invalid
from striate.images.labels import as_indices
from striate.results.exemplars import Exemplars
from striate.results.unit_statistics import LayerStatistics, UnitStatistics
from striate.v1 import exemplars_pb2

if TYPE_CHECKING:
    from striate._api.context import Connection, ModelContext
    from striate._rpc.deadline import Deadline
    from striate.images.labels import Label

OrderName = Literal["max", "min", "mean", "magnitude", "quantile"]

_ORDERS: dict[OrderName, exemplars_pb2.ExemplarOrder.ValueType] = {
    "max": exemplars_pb2.EXEMPLAR_ORDER_MAX,
    "min": exemplars_pb2.EXEMPLAR_ORDER_MIN,
    "mean": exemplars_pb2.EXEMPLAR_ORDER_MEAN,
    "magnitude": exemplars_pb2.EXEMPLAR_ORDER_MAGNITUDE,
    "quantile": exemplars_pb2.EXEMPLAR_ORDER_QUANTILE,
}
_MOST_LABEL = 2**32 - 1


def build_index(
    connection: Connection,
    model: str,
    dataset: str,
    layers: str | Sequence[str],
    *,
    k: int,
    limit: int,
    class_k: int | None,
    shard_images: int | None,
    quantiles: Sequence[float] | None,
    skip_bad: bool,
    share: str | Iterable[str],
    timeout: float | None,
) -> Operation:
    """Starts to build an exemplar index, see Service.build_index.

    Args:
        connection: To the server.
        model: Name of a loaded model.
        dataset: Name of a data set of the server.
        layers: Name of one layer, or names of several.
        k: Exemplars of a unit that are kept, at least 1.
        limit: Images that are read, 0 for all.
        class_k: Exemplars of a unit and class that are kept, 0 for none, None for the server's
            default.
        shard_images: Images that a restart may have to do again, None for the server's default.
        quantiles: Quantiles in [0, 1] whose exemplars are kept, None for the server's default.
        skip_bad: Leave out images that cannot be used.
        share: Callers and roles who may see the operation, too.
        timeout: Seconds, None for the connection's default.

    Returns:
        The operation.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused.
    """
    at_least(1, k=k, shard_images=shard_images)
    at_least(0, limit=limit, class_k=class_k)
    shares = [
        number(f"quantiles[{place}]", share, most=1.0)
        for place, share in enumerate(quantiles or ())
    ]
    request = exemplars_pb2.BuildExemplarIndexRequest(
        model=model,
        dataset=dataset,
        layers=[layers] if isinstance(layers, str) else layers,
        k=k,
        limit=limit,
        class_k=class_k,
        shard_images=shard_images or 0,
        quantiles=shares,
        skip_bad=skip_bad,
        share=share_words(share),
    )
    state = connection.caller.unary(connection.interpret.BuildExemplarIndex, request, timeout)
    return Operation(connection.operations, state)


def exemplars(
    net: ModelContext,
    unit: str,
    k: int | None,
    *,
    dataset: str,
    order: OrderName,
    label: Label | None,
    images: bool,
    skip_bad: bool,
    timeout: float | None,
) -> Exemplars:
    """Finds the images on which a unit is most active, see Model.exemplars.

    Args:
        net: The model, with its connection.
        unit: "layer:unit".
        k: How many, at least 1, None for the server's default.
        dataset: Its name, with an exemplar index.
        order: What "most" is: by the maximum, the minimum, the mean, the magnitude or quantiles.
        label: Only images of this class of the data set, by index or name, None for all.
        images: With the pictures themselves.
        skip_bad: Leave out exemplars whose images cannot be used any more.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The exemplars, in that order.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    at_least(1, k=k)
    deadline = net.caller.deadline(timeout)
    request = exemplars_pb2.FindExemplarsRequest(
        model=net.info.name,
        unit=unit,
        dataset=dataset,
        k=k or 0,
        order=choice("order", order, _ORDERS),
        without_images=not images,
        skip_bad=skip_bad,
    )
    if label is not None:
        request.label = _label_number(net, label, dataset, deadline)
    return Exemplars.read(
        net.caller.unary(net.interpret.FindExemplars, request, deadline.remaining())
    )


def statistics(
    net: ModelContext, unit: str, dataset: str, timeout: float | None
) -> UnitStatistics | LayerStatistics:
    """Reads what a unit, or all units of a layer, do over a data set, see Model.statistics.

    Args:
        net: The model, with its connection.
        unit: "layer:unit", or the name of a layer.
        dataset: Its name, with an exemplar index.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The statistics of the unit, or of the layer's units.
    """
    request = exemplars_pb2.GetUnitStatisticsRequest(
        model=net.info.name, unit=unit, dataset=dataset
    )
    found = LayerStatistics.read(
        net.caller.unary(net.interpret.GetUnitStatistics, request, timeout)
    )
    if ":" not in unit:
        return found
    check_count(len(found), 1)
    return found[0]


def _label_number(net: ModelContext, label: Label, dataset: str, deadline: Deadline) -> int:
    """The number of a label, for a name by the data set's own list of classes."""
    if not isinstance(label, str):
        return whole("label", label, 0, _MOST_LABEL)
    listed = list_datasets(net.connection, None, deadline.remaining())
    known = {found.name: found for found in listed}
    if dataset not in known:
        raise DatasetNotFound(
            f"no data set is called {dataset!r}; known: {', '.join(known) or 'none'}"
        )
    info = known[dataset]
    if info.error and not info.classes:
        raise invalid(
            "label",
            f"the class names of {dataset!r} are not known ({info.error}): use an index",
        )
    return as_indices(label, 1, info.classes, "label")[0]
