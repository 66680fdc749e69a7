"""Attribute: how much every pixel has to do with a class or a unit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from interp.attack.unanswered import unchecked
from interp.attribution.registry import HookedMethod, ProcedureMethod
from interp.attribution.result import Attribution, MethodNotApplicable
from interp.attribution.variations import MAX_PROBE_ROWS
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe, Procedure
from interp.seeds import generators
from service.engine.job import Draining, OutOfMemory
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, required
from service.rpc.wire import attribution as wire_attribution
from service.rpc.wire import images as wire_images
from service.rpc.wire import models as wire_models
from service.rpc.wire import priority as wire_priority
from service.rpc.wire.attribution import AttributionSpec
from service.rpc.wire.not_finite import check_rows
from striate.v1 import attribution_pb2 as pb

T = TypeVar("T")

# images' worth of memory that a probe's rows and their gradients take
_PASS_COPIES = 4 * MAX_PROBE_ROWS


class AttributionHandler:
    """Answers Attribute."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        """Take what it uses.

        Args:
            zoo: the loaded models.
            compute: the pool and the device.
        """
        self._zoo, self._compute = zoo, compute

    async def attribute(
        self, request: pb.AttributeRequest, context: Context
    ) -> pb.AttributeResponse:
        """Attribute the scores of images to their pixels.

        Methods that ask for gradients alone share the engine's passes; the others run on a replica
        of the network beside them, an image at a time.
        """
        with self._zoo.use(required("model", request.model)) as model:
            spec = wire_attribution.read(request, model)
            wire_models.check_deterministic(model, request.deterministic, "deterministic")
            priority = wire_priority.priority(request.priority)
            x = await self._compute.decode_images(request.images, model.preprocessing)
            memory = 4 * x.nbytes + wire_images.image_bytes(_PASS_COPIES, model)
            attribution, paths = await self._compute.solve(
                context,
                model,
                unchecked(_attribute(x, model.network, spec)),
                memory,
                priority,
                request.deterministic,
            )
            layer = ""
            if isinstance(spec.method, HookedMethod):
                network = await self._replica(model)
                if spec.method.takes_layer:
                    layer = await self._grad_cam_layer(network, paths[0], spec.settings.layer)
                    spec = replace(spec, settings=replace(spec.settings, layer=layer))
                attribution = await self._hooked(x, network, paths, spec)
            check_rows(attribution.score, attribution.values, attribution.delta)
            return await self._compute.encode(
                wire_attribution.response, attribution, paths, x, model, spec, layer
            )

    async def _replica(self, model: HostedModel) -> Network:
        """A network of its own, copied between two ticks: while a pass runs there are hooks."""
        try:
            return await self._compute.run_on_device(model.network.replica)
        except Draining:
            raise
        except Exception as error:  # a user's own network may be anything
            raise MethodNotApplicable(
                f"the network cannot be copied for this method's hooks ({_first_line(error)}): "
                f"choose a method without them, such as occlusion"
            ) from error

    async def _grad_cam_layer(self, network: Network, path: LayerPath, layer: str) -> str:
        """The layer whose maps Grad-CAM takes: the one named, or for "" its default."""
        check_layer = await self._compute.run_in_pool(_load_check_layer)
        try:
            return await self._beside(partial(check_layer, network, path, layer))
        except ValueError as error:
            raise InvalidField("layer", str(error)) from error

    async def _hooked(
        self, x: Tensor, network: Network, paths: Sequence[LayerPath], spec: AttributionSpec
    ) -> Attribution:
        """The attribution of images by a method with hooks, an image at a time."""
        method = spec.method
        assert isinstance(method, HookedMethod)
        await self._compute.run_in_pool(_load_check_layer)  # captum, which takes seconds
        explain = await self._beside(partial(method.prepare, network, paths[0], spec.settings))

        def explain_row(row: int) -> Attribution:
            return _on_host(explain(x[row : row + 1].to(network.device), paths[row]))

        rows = [await self._beside(partial(explain_row, row)) for row in range(len(x))]
        deltas = [row.delta for row in rows if row.delta is not None]
        return Attribution(
            torch.cat([row.values for row in rows]),
            torch.cat([row.score for row in rows]),
            torch.cat(deltas) if deltas else None,
        )

    async def _beside(self, call: Callable[[], T]) -> T:
        try:
            return await self._compute.run_beside_device(call)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                "one image's pass with hooks does not fit into the device's memory"
            ) from error
        except MethodNotApplicable:
            raise
        except RuntimeError as error:  # of torch: the network does not bear hooks or gradients
            raise MethodNotApplicable(
                f"the network fails under this method's hooks or gradients "
                f"({_first_line(error)}): choose a method without them, such as occlusion"
            ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _load_check_layer() -> Callable[[Network, LayerPath, str], str]:
    """Import captum, which takes seconds: not for the event loop."""
    from interp.attribution.grad_cam import check_layer

    return check_layer


def _attribute(
    x: Tensor, network: Network, spec: AttributionSpec
) -> Procedure[tuple[Attribution, list[LayerPath]]]:
    """What is explained, and by a method that is a procedure how; by another one nothing yet."""
    x, classes = x.to(network.device, network.dtype), spec.classes
    if spec.path is None and not classes:
        answer = yield Probe(x, logits=True)
        assert answer.logits is not None
        classes = answer.logits.argmax(1).tolist()
    paths = [spec.path] * len(x) if spec.path else [LayerPath(LOGITS, c) for c in classes]
    if not isinstance(spec.method, ProcedureMethod):
        return Attribution(x[:0], x[:0]), paths
    rows = generators(spec.seed, spec.first_image, len(x))
    objective = activation(paths, network.device)
    attribution = yield from spec.method.run(x, objective, spec.settings, rows)
    return _on_host(attribution), paths


def _on_host(attribution: Attribution) -> Attribution:
    delta = attribution.delta
    return Attribution(
        attribution.values.float().cpu(),
        attribution.score.float().cpu(),
        None if delta is None else delta.float().cpu(),
    )
