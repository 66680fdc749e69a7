"""MeasureTuning: what gratings units answer to."""

from math import prod

from interp.filters.gratings import Gratings
from interp.filters.tuning import Tuning, grating_batch_size, measure_responses
from interp.filters.tuning_picture import draw_tuning
from interp.network.describe import LayerInfo
from service.engine.job import Priority
from service.imaging import png
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from striate.v1 import filters_pb2 as pb


class TuningHandler:
    """Answers MeasureTuning."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute

    async def measure_tuning(
        self, request: pb.MeasureTuningRequest, context: Context
    ) -> pb.MeasureTuningResponse:
        """Run forward passes, shared with whatever else runs, and draw curves in the pool."""
        with self._zoo.use(required("model", request.model)) as model:
            layer = wire_filters.map_layer(request.layer, model)
            gratings = wire_filters.gratings(request, layer, model)
            priority = wire_priority.priority(request.priority)
            tuning = await measure_tuning(self._compute, context, model, layer, gratings, priority)
            response = await self._compute.run_in_pool(_response, tuning)
            response.layer = layer.name
            response.provenance.CopyFrom(wire_provenance.provenance(model))
            return response


async def measure_tuning(
    compute: Compute,
    context: Context,
    model: HostedModel,
    layer: LayerInfo,
    gratings: Gratings,
    priority: Priority,
) -> Tuning:
    """Measure what gratings the units of a layer answer to.

    Args:
        context: the call, whose deadline counts.
        layer: one with rows and columns.
        gratings: what the units are shown.
    """
    procedure = measure_responses(model.network.shape, layer, gratings)
    memory = _memory(gratings, layer, model)
    return await compute.solve(context, model, procedure, memory, priority)


def _memory(gratings: Gratings, layer: LayerInfo, model: HostedModel) -> int:
    """Bytes of a probe's images and of the maps that answer it, in float32."""
    return 4 * grating_batch_size(gratings) * (prod(model.network.shape) + prod(layer.output_shape))


def _response(tuning: Tuning) -> pb.MeasureTuningResponse:
    """All but the layer and where the curves came from."""
    return pb.MeasureTuningResponse(
        orientations=tuning.orientations.tolist(),
        wavelengths=tuning.wavelengths.tolist(),
        responses=wire_tensors.from_array(tuning.responses),
        units=wire_filters.unit_tunings(tuning),
        png=png(draw_tuning(tuning).transpose(2, 0, 1)),
    )
