"""RenderFilters: the weights of a convolution, and what they look like in numbers."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.analysis import FilterOrder, analyze_filters, sort_filters
from interp.filters.spectra import render_spectra
from interp.filters.weights import (
    NORMALIZATION,
    Scale,
    filter_weights,
    first_convolution,
    render_filters,
)
from interp.layer import dotted
from service.imaging import png
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, known, required, short, within
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import filters_pb2 as pb

_SCALES: dict[int, Scale] = {pb.FILTER_SCALE_GLOBAL: "global"}
_ORDERS: dict[int, FilterOrder] = {
    pb.FILTER_ORDER_ORIENTATION: "orientation",
    pb.FILTER_ORDER_HUE: "hue",
}


class FilterHandler:
    """Answers RenderFilters."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def render_filters(
        self, request: pb.RenderFiltersRequest, context: Context
    ) -> pb.RenderFiltersResponse:
        """Weights are read between two ticks, and analyzed and drawn in the pool."""
        known("scale", request.scale, pb.FilterScale.DESCRIPTOR)
        known("order", request.order, pb.FilterOrder.DESCRIPTOR)
        within("zoom", request.zoom, 0, 32)
        with self._zoo.use(required("model", request.model)) as model:
            try:
                layer = _convolution(request.layer, model)
                weights = await self._compute.run_on_device(
                    lambda: filter_weights(model.network, layer)
                )
            except ValueError as error:
                raise InvalidField("layer", str(error)) from error
            spacing = (
                _spacing(request, layer, len(weights[0]), model)
                if request.analyze or request.order in _ORDERS
                else 1
            )
            response = await self._compute.run_in_pool(_drawn, request, weights, spacing)
            response.layer = layer
            response.provenance.CopyFrom(wire_provenance.provenance(model))
            return response


def _convolution(text: str, model: HostedModel) -> str:
    return (
        dotted(short("layer", text), model.network.layers)
        if text
        else first_convolution(model.network)
    )


def _spacing(
    request: pb.RenderFiltersRequest, layer: str, channels: int, model: HostedModel
) -> int:
    """Pixels between the weights of a layer that is to be analyzed. Raises InvalidField for one
    that cannot be.
    """
    field = "analyze" if request.analyze else "order"
    if channels not in (1, 3):
        raise InvalidField(field, f"layer {layer} has {channels} input channels, must have 1 or 3")
    down, across = next(info.dilation for info in model.layers if info.name == layer) or (1, 1)
    if down != across:
        raise InvalidField(
            field, f"layer {layer} is dilated by {down} down and by {across} across, must be alike"
        )
    return down


def _drawn(
    request: pb.RenderFiltersRequest, weights: Tensor, spacing: int
) -> pb.RenderFiltersResponse:
    """All but the layer's name and where it came from. Raises InvalidField for weights that cannot
    be drawn.
    """
    scale, order = _SCALES.get(request.scale, "filter"), _ORDERS.get(request.order, "channel")
    try:
        analyses = (
            analyze_filters(weights, spacing) if request.analyze or order != "channel" else []
        )
        places = sort_filters(analyses, order) if order != "channel" else list(range(len(weights)))
        shown = weights[places]
        picture = render_filters(shown, scale, request.zoom)
        spectra = render_spectra(shown, scale, request.zoom) if request.spectra else None
    except ValueError as error:
        raise InvalidField("layer", str(error)) from error
    return pb.RenderFiltersResponse(
        weights=wire_tensors.from_array(weights.float().numpy()),
        png=_png(picture),
        normalization=NORMALIZATION[scale],
        order=places,
        analyses=wire_filters.analyses(analyses) if request.analyze else [],
        spectra_png=b"" if spectra is None else _png(spectra),
    )


def _png(picture: NDArray[np.uint8]) -> bytes:
    return png(picture.transpose(2, 0, 1))
