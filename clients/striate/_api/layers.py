"""What a layer is made of and answers: filters, tuning curves and activations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from striate._requests.priority import PriorityName, priority_value
from striate._rpc.checks import at_least, choice, number, positive
from striate.errors import invalid
from striate.images import as_batch
from striate.v1 import filters_pb2

if TYPE_CHECKING:
    from striate._api.context import ModelContext
    from striate.images import One
    from striate.results.activations import Activations
    from striate.results.filters import Filters
    from striate.results.tuning import Tuning

ScaleName = Literal["filter", "global"]
FilterOrderName = Literal["channel", "orientation", "hue"]
ActivationOrderName = Literal["peak", "mean", "magnitude"]

_SCALES: dict[ScaleName, filters_pb2.FilterScale.ValueType] = {
    "filter": filters_pb2.FILTER_SCALE_PER_FILTER,
    "global": filters_pb2.FILTER_SCALE_GLOBAL,
}
_FILTER_ORDERS: dict[FilterOrderName, filters_pb2.FilterOrder.ValueType] = {
    "channel": filters_pb2.FILTER_ORDER_UNSPECIFIED,
    "orientation": filters_pb2.FILTER_ORDER_ORIENTATION,
    "hue": filters_pb2.FILTER_ORDER_HUE,
}
_ACTIVATION_ORDERS: dict[ActivationOrderName, filters_pb2.ActivationOrder.ValueType] = {
    "peak": filters_pb2.ACTIVATION_ORDER_UNSPECIFIED,
    "mean": filters_pb2.ACTIVATION_ORDER_MEAN,
    "magnitude": filters_pb2.ACTIVATION_ORDER_MAGNITUDE,
}


def filters(
    net: ModelContext,
    layer: str | None,
    scale: ScaleName,
    zoom: int,
    *,
    order: FilterOrderName,
    analyze: bool,
    spectra: bool,
    timeout: float | None,
) -> Filters:
    """Reads the weights of a convolution, see Model.filters."""
    from striate.results.filters import Filters

    at_least(0, zoom=zoom)
    request = filters_pb2.RenderFiltersRequest(
        model=net.info.name,
        layer=layer or "",
        scale=choice("scale", scale, _SCALES),
        zoom=zoom,
        order=choice("order", order, _FILTER_ORDERS),
        analyze=analyze,
        spectra=spectra,
    )
    return Filters.read(net.caller.unary(net.interpret.RenderFilters, request, timeout))


def tuning(
    net: ModelContext,
    layer: str | None,
    *,
    orientations: int | None,
    wavelengths: Iterable[float] | None,
    phases: int | None,
    contrast: float | None,
    priority: PriorityName | None,
    timeout: float | None,
) -> Tuning:
    """Measures how units answer to gratings, see Model.tuning."""
    from striate.results.tuning import Tuning

    at_least(1, orientations=orientations, phases=phases)
    positive(contrast=contrast)
    chosen = [
        number(f"wavelengths[{place}]", value)
        for place, value in enumerate(() if wavelengths is None else wavelengths)
    ]
    if wavelengths is not None and not chosen:
        raise invalid("wavelengths", "must hold at least one")
    request = filters_pb2.MeasureTuningRequest(
        model=net.info.name,
        layer=layer or "",
        orientations=orientations or 0,
        wavelengths=chosen,
        phases=phases or 0,
        contrast=contrast or 0,
        priority=priority_value(priority),
    )
    return Tuning.read(net.caller.unary(net.interpret.MeasureTuning, request, timeout))


def activations(
    net: ModelContext,
    image: One,
    layer: str,
    k: int | None,
    *,
    all_units: bool,
    order: ActivationOrderName,
    timeout: float | None,
) -> Activations:
    """Reads the feature maps of a layer for one image, see Model.activations."""
    from striate.results.activations import Activations

    at_least(1, k=k)
    batch = as_batch(image)
    if len(batch) != 1:
        raise invalid("image", f"must be one image, are {len(batch)}")
    request = filters_pb2.GetActivationsRequest(
        model=net.info.name,
        image=batch.message(range(1)),
        layer=layer,
        k=k or 0,
        all_units=all_units,
        order=choice("order", order, _ACTIVATION_ORDERS),
    )
    return Activations.read(net.caller.unary(net.interpret.GetActivations, request, timeout))
