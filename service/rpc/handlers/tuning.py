"""MeasureTuning: what gratings units answer to."""

from math import prod

from interp.filters.gratings import Gratings
from interp.filters.tuning import Tuning, grating_batch_size, measure_responses
from interp.layer import quoted
from interp.network.describe import LayerInfo
from service.engine.job import Priority
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import required
from service.rpc.wire import filters as wire_filters
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
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
            response = await self._compute.encode(wire_filters.tuning_response, tuning)
            response.layer = quoted(layer.name)
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
