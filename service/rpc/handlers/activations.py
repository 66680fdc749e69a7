"""GetActivations: the feature maps of a layer."""

from math import prod

from torch import Tensor

from interp.filters.activations import Activations, UnitOrder, draw_activations, strongest_units
from service.imaging import png
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, known, required, within
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import filters_pb2 as pb

_ORDERS: dict[int, UnitOrder] = {
    pb.ACTIVATION_ORDER_MEAN: "mean",
    pb.ACTIVATION_ORDER_MAGNITUDE: "magnitude",
}
_DRAWN = 3  # bytes of a value in a picture that cannot be packed


class ActivationHandler:
    """Answers GetActivations."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def get_activations(
        self, request: pb.GetActivationsRequest, context: Context
    ) -> pb.GetActivationsResponse:
        """One forward pass, shared with whatever else runs; the maps are drawn in the pool."""
        with self._zoo.use(required("model", request.model)) as model:
            known("order", request.order, pb.ActivationOrder.DESCRIPTOR)
            layer = wire_filters.whole_layer(request.layer, model)
            shape = model.network.output_shapes[layer]
            k = min(within("k", request.k, 1, 4096, default=16), shape[0])
            returned = shape[0] if request.all_units else k
            if prod(shape[1:]) * (4 * returned + _DRAWN * k) > wire_images.MOST_BYTES:
                raise InvalidField(
                    "all_units" if request.all_units else "k",
                    f"layer {layer} has maps too large for one answer",
                )
            image = await self._image(request, model)
            procedure = strongest_units(image, layer, k, _ORDERS.get(request.order, "peak"))
            found = await self._compute.solve(
                context, model, procedure, image.nbytes + 4 * prod(shape), wire_priority.priority(0)
            )
            response = await self._compute.run_in_pool(_response, found, request.all_units)
            response.layer = layer
            response.units.extend(wire_filters.unit_activations(found.units, layer, model.classes))
            response.provenance.CopyFrom(wire_provenance.provenance(model))
            return response

    async def _image(self, request: pb.GetActivationsRequest, model: HostedModel) -> Tensor:
        """The one image (1, C, H, W); errors name this request's field."""
        try:
            within("images (their number)", wire_images.count(request.image), 1, 1)
            return await self._compute.decode_images(request.image, model.preprocessing)
        except (InvalidField, wire_images.InvalidImage) as error:
            raise type(error)(
                error.field.replace("images", "image", 1), error.description
            ) from error


def _response(found: Activations, all_units: bool) -> pb.GetActivationsResponse:
    maps = found.of_units
    return pb.GetActivationsResponse(
        activations=wire_tensors.from_array(found.maps if all_units else maps),
        png=png(draw_activations(maps).transpose(2, 0, 1)),
    )
