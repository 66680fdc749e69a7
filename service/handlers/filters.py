"""RenderFilters: the weights of a convolution."""

from interp.filters import NORMALIZATION, Scale, filter_weights, first_convolution, render_filters
from interp.layer import dotted
from service import wire
from service.errors import InvalidField
from service.handlers.base import Interpreter
from service.images import png
from service.manners import Context
from striate.v1 import filters_pb2 as pb


class FilterHandlers(Interpreter):
    """RenderFilters."""

    async def RenderFilters(self, request: pb.RenderFiltersRequest, context: Context) -> pb.RenderFiltersResponse:
        """Weights are read between two ticks and drawn in the pool."""
        scale: Scale = "global" if request.scale == pb.FILTER_SCALE_GLOBAL else "filter"
        zoom = wire.within("zoom", request.zoom, 0, 32)
        with self._house.model(request.model) as model:
            try:
                layer = (
                    dotted(wire.short("layer", request.layer), model.network.layers) if request.layer else first_convolution(model.network)
                )
                weights = await self._house.on_device(lambda: filter_weights(model.network, layer))
                picture = await self._house.aside(lambda: png(render_filters(weights, scale, zoom).transpose(2, 0, 1)))
            except ValueError as error:
                raise InvalidField("layer", str(error)) from error
            return pb.RenderFiltersResponse(
                layer=layer,
                weights=wire.tensor(weights.float().numpy()),
                png=picture,
                normalization=NORMALIZATION[scale],
                provenance=wire.provenance(model),
            )
