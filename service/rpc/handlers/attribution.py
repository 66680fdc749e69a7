"""Attribute: how much every pixel has to do with a class or a unit."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from interp.attribution.registry import HookedMethod, ProcedureMethod
from interp.attribution.result import Attribution, MethodNotApplicable
from interp.attribution.variations import MAX_PROBE_ROWS
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import Probe, Procedure
from interp.seeds import generators
from service.engine.job import NotFinite, OutOfMemory
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, required
from service.rpc.wire import attribution as wire_attribution
from service.rpc.wire import images as wire_images
from service.rpc.wire import models as wire_models
from service.rpc.wire import priority as wire_priority
from service.rpc.wire.attribution import AttributionSpec
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
        # however many requests ask for hooks, one image's pass lies between two ticks
        self._device_lock = asyncio.Lock()

    async def attribute(
        self, request: pb.AttributeRequest, context: Context
    ) -> pb.AttributeResponse:
        """Attribute the scores of images to their pixels.

        Methods that ask for gradients alone share the engine's passes; the others have the device
        to themselves, an image at a time.
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
                _attribute(x, model.network, spec),
                memory,
                priority,
                request.deterministic,
            )
            layer = ""
            if isinstance(spec.method, HookedMethod):
                if spec.method.takes_layer:
                    layer = await self._grad_cam_layer(model, paths[0], spec.settings.layer)
                    spec = replace(spec, settings=replace(spec.settings, layer=layer))
                attribution = await self._hooked(x, model, paths, spec)
            if not all(torch.isfinite(t).all() for t in (attribution.values, attribution.score)):
                raise NotFinite("the network gave values that are infinite or not numbers")
            return await self._compute.run_in_pool(
                wire_attribution.response, attribution, paths, x, model, spec, layer
            )

    async def _grad_cam_layer(self, model: HostedModel, path: LayerPath, layer: str) -> str:
        """The layer whose maps Grad-CAM takes: the one named, or for "" its default."""
        check_layer = await self._compute.run_in_pool(_load_check_layer)
        try:
            return await self._on_device(partial(check_layer, model.network, path, layer))
        except ValueError as error:
            raise InvalidField("layer", str(error)) from error

    async def _hooked(
        self, x: Tensor, model: HostedModel, paths: Sequence[LayerPath], spec: AttributionSpec
    ) -> Attribution:
        """The attribution of images by a method with hooks, an image at a time."""
        method, network = spec.method, model.network
        assert isinstance(method, HookedMethod)
        await self._compute.run_in_pool(_load_check_layer)  # captum, which takes seconds
        explain = await self._on_device(partial(method.prepare, network, paths[0], spec.settings))

        def explain_row(row: int) -> Attribution:
            return _on_host(explain(x[row : row + 1].to(network.device), paths[row]))

        rows = [await self._on_device(partial(explain_row, row)) for row in range(len(x))]
        deltas = [row.delta for row in rows if row.delta is not None]
        return Attribution(
            torch.cat([row.values for row in rows]),
            torch.cat([row.score for row in rows]),
            torch.cat(deltas) if deltas else None,
        )

    async def _on_device(self, call: Callable[[], T]) -> T:
        try:
            async with self._device_lock:
                return await self._compute.run_on_device(call)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                "one image's pass with hooks does not fit into the device's memory"
            ) from error
        except MethodNotApplicable:
            raise
        except RuntimeError as error:  # of torch: the network does not bear hooks or gradients
            line = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise MethodNotApplicable(
                f"the network fails under this method's hooks or gradients ({line}): choose a "
                f"method without them, such as occlusion"
            ) from error


def _load_check_layer() -> Callable[[Network, LayerPath, str], str]:
    """Import captum, which takes seconds: not for the event loop, nor for the engine's thread."""
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
