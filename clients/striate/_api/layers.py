"""What a layer is made of and answers: filters, tuning curves and activations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from striate._requests.priority import PriorityName, priority_value
from striate._rpc.checks import at_least, choice, number, positive
from striate.errors import invalid
from striate.images import as_batch, naming
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
    """Reads the weights of a convolution, see Model.filters.

    Args:
        net: The model, with its connection.
        layer: Its name, None for the first convolution.
        scale: Stretch the colours of each filter, or of all filters alike.
        zoom: Side of a weight in pixels, 0 for the server's choice.
        order: By channel, or sorted by orientation or hue.
        analyze: With Gabor fits and colours.
        spectra: With Fourier spectra.
        timeout: Seconds, None for the connection's default.

    Returns:
        The weights and their picture.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
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
    """Measures how units answer to gratings, see Model.tuning.

    Args:
        net: The model, with its connection.
        layer: Its name, None for the first convolution.
        orientations: How many of half a turn, None for the server's default.
        wavelengths: In pixels, at least one, None for the server's default.
        phases: How many of a whole turn, None for the server's default.
        contrast: Of the gratings, above 0 and at most 1, None for the server's default.
        priority: Against other requests, None for the server's default.
        timeout: Seconds, None for the connection's default.

    Returns:
        The curves of every unit.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
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
    """Reads the feature maps of a layer for one image, see Model.activations.

    Args:
        net: The model, with its connection.
        image: One image, see `striate.images`.
        layer: Its name.
        k: Units whose maps are drawn, strongest first, at least 1, None for the server's default.
        all_units: With the values of every unit.
        order: What "strongest" is: by the peak, the mean or the magnitude.
        timeout: Seconds, None for the connection's default.

    Returns:
        The maps.

    Raises:
        InvalidArgument: There is not one image, or a value is out of its range.
        StriateError: The server refused or failed.
    """
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
    with naming(batch.names):
        response = net.caller.unary(net.interpret.GetActivations, request, timeout)
    return Activations.read(response)
