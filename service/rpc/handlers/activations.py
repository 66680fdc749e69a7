"""GetActivations: the feature maps of a layer."""

from math import prod

from interp.filters.activations import Activations, draw_activations, strongest_units
from interp.layer import quoted
from service.engine.job import Priority
from service.imaging import png
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.rpc.wire import activations as wire_activations
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.activations import ActivationSpec
from service.rpc.wire.not_finite import naming_image
from striate.v1 import filters_pb2 as pb


class ActivationHandler:
    """Answers GetActivations."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def get_activations(
        self, request: pb.GetActivationsRequest, context: Context
    ) -> pb.GetActivationsResponse:
        """Run one forward pass, shared with whatever else runs, and draw the maps in the pool."""
        with self._zoo.use(required("model", request.model)) as model:
            spec = wire_activations.read_activations(request, model)
            image = await self._compute.decode_images(
                request.image, model.preprocessing, field="image"
            )
            with naming_image(field="image"):
                activations = await self._compute.solve(
                    context,
                    model,
                    strongest_units(image, spec.layer, spec.k, spec.order),
                    image.nbytes + 4 * prod(model.network.output_shapes[spec.layer]),
                    Priority.INTERACTIVE,
                    gradients=False,
                )
            response = await self._compute.encode(_response, activations, spec)
            response.units.extend(
                wire_activations.unit_activations(activations.units, spec.layer, model.classes)
            )
            response.provenance.CopyFrom(wire_provenance.provenance(model))
            return response


def _response(activations: Activations, spec: ActivationSpec) -> pb.GetActivationsResponse:
    """The maps and their picture."""
    maps = activations.of_units
    return pb.GetActivationsResponse(
        layer=quoted(spec.layer),
        activations=wire_tensors.from_array(activations.maps if spec.all_units else maps),
        png=png(draw_activations(maps).transpose(2, 0, 1)),
    )
