"""RenderFilters: the weights of a convolution, and what they look like in numbers."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.filters.analysis import analyze_filters, sort_filters
from interp.filters.spectra import render_spectra
from interp.filters.weights import NORMALIZATION, filter_weights, render_filters
from interp.layer import quoted
from service.imaging import png
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, required
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.filters import FilterSpec
from striate.v1 import filters_pb2 as pb


class FilterHandler:
    """Answers RenderFilters."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def render_filters(
        self, request: pb.RenderFiltersRequest, context: Context
    ) -> pb.RenderFiltersResponse:
        """Read weights between two ticks, and analyze and draw them in the pool."""
        with self._zoo.use(required("model", request.model)) as model:
            spec = wire_filters.read_filters(request, model)
            try:
                weights = await self._compute.run_on_device(
                    lambda: filter_weights(model.network, spec.layer)
                )
            except ValueError as error:
                raise InvalidField("layer", str(error)) from error
            spacing = wire_filters.weight_spacing(spec, len(weights[0]), model)
            response = await self._compute.encode(_response, spec, weights, spacing)
            response.provenance.CopyFrom(wire_provenance.provenance(model))
            return response


def _response(spec: FilterSpec, weights: Tensor, spacing: int) -> pb.RenderFiltersResponse:
    """All but where the filters came from. Raises InvalidField for weights that cannot be drawn."""
    ordered = spec.order != "channel"
    try:
        analyses = analyze_filters(weights, spacing) if spec.analyzed else []
        places = sort_filters(analyses, spec.order) if ordered else list(range(len(weights)))
        tiles = weights[places]
        picture = render_filters(tiles, spec.scale, spec.zoom)
        spectra = render_spectra(tiles, spec.scale, spec.zoom) if spec.spectra else None
    except ValueError as error:
        raise InvalidField("layer", str(error)) from error
    return pb.RenderFiltersResponse(
        layer=quoted(spec.layer),
        weights=wire_tensors.from_array(weights.float().numpy()),
        png=_png(picture),
        normalization=NORMALIZATION[spec.scale],
        order=places,
        analyses=wire_filters.analyses(analyses) if spec.analyze else [],
        spectra_png=b"" if spectra is None else _png(spectra),
    )


def _png(picture: NDArray[np.uint8]) -> bytes:
    return png(picture.transpose(2, 0, 1))
