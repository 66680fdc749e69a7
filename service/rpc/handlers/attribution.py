"""Attribute: how much every pixel has to do with a class or a unit."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from interp import attribution
from interp.attribution import Attributed, Explain
from interp.attribution.picture import heat_map, overlay
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.probe import Probe, Procedure
from interp.seeds import generators
from service.engine.job import NotFinite, OutOfMemory
from service.imaging import png
from service.models.zoo import HostedModel, ModelZoo
from service.rpc.compute import Compute
from service.rpc.context import Context
from service.rpc.validation import InvalidField, known, required, within
from service.rpc.wire import attack as wire_attack
from service.rpc.wire import images as wire_images
from service.rpc.wire import priority as wire_priority
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import units as wire_units
from striate.v1 import attribution_pb2 as pb

T = TypeVar("T")

MOST_IMAGES = 64
_PASS_COPIES = (
    4 * attribution.ROWS
)  # images' worth of memory that a probe's rows and their gradients take
_UNSIGNED = (pb.ATTRIBUTION_METHOD_SALIENCY, pb.ATTRIBUTION_METHOD_GRAD_CAM)
_CAMS = (pb.ATTRIBUTION_METHOD_GRAD_CAM, pb.ATTRIBUTION_METHOD_GUIDED_GRAD_CAM)
_OWN: dict[str, tuple[int, ...]] = {  # settings of some methods alone
    "steps": (pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,),
    "samples": (pb.ATTRIBUTION_METHOD_SMOOTH_GRAD,),
    "noise": (pb.ATTRIBUTION_METHOD_SMOOTH_GRAD,),
    "baseline": (
        pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
        pb.ATTRIBUTION_METHOD_DEEP_LIFT,
        pb.ATTRIBUTION_METHOD_OCCLUSION,
    ),
    "window": (pb.ATTRIBUTION_METHOD_OCCLUSION,),
    "stride": (pb.ATTRIBUTION_METHOD_OCCLUSION,),
    "layer": _CAMS,
}

Ask = Callable[[Tensor, Objective], Procedure[Attributed]]
Hook = Callable[[Network, LayerPath], Explain]


@dataclass(frozen=True)
class Settings:
    """The settings of a request, checked, with every default filled in."""

    steps: int
    samples: int
    noise: float
    path_baseline: float
    cover: float
    window: int
    stride: int
    seed: int
    first: int
    opacity: float

    @staticmethod
    def read(request: pb.AttributeRequest, model: HostedModel) -> "Settings":
        """Raises InvalidField, also for a setting that the method does not have."""
        _own(request)
        side = min(model.network.shape[1:])
        window = within(
            "window", request.window, 1, max(model.network.shape[1:]), default=max(1, side // 8)
        )
        given = (
            within("baseline", request.baseline, 0.0, 1.0) if request.HasField("baseline") else None
        )
        return Settings(
            steps=within("steps", request.steps, 1, 1000, default=50),
            samples=within("samples", request.samples, 1, 1000, default=25),
            noise=within("noise", request.noise, 1e-6, 1.0, default=0.15),
            path_baseline=0.0 if given is None else given,
            cover=0.5 if given is None else given,
            window=window,
            stride=within("stride", request.stride, 1, window, default=max(1, window // 2)),
            seed=request.seed,
            first=request.first_image,
            opacity=within("overlay_opacity", request.overlay_opacity, 0.0, 1.0)
            if request.HasField("overlay_opacity")
            else 0.6,
        )

    def ask(self, method: int) -> Ask | None:
        """The method as a procedure, if it is one."""
        asks: dict[int, Ask] = {
            pb.ATTRIBUTION_METHOD_SALIENCY: attribution.saliency,
            pb.ATTRIBUTION_METHOD_INPUT_X_GRADIENT: attribution.input_x_gradient,
            pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS: lambda x, o: (
                attribution.integrated_gradients(x, o, self.steps, self.path_baseline)
            ),
            pb.ATTRIBUTION_METHOD_SMOOTH_GRAD: lambda x, o: attribution.smooth_grad(
                x, o, generators(self.seed, self.first, len(x)), self.samples, self.noise
            ),
            pb.ATTRIBUTION_METHOD_OCCLUSION: lambda x, o: attribution.occlusion(
                x, o, self.window, self.stride, self.cover
            ),
        }
        return asks.get(method)

    def hook(self, method: int, layer: str) -> Hook:
        """The method as what makes a private copy; `layer` is that of Grad-CAM. Not for the event
        loop: captum takes seconds to load.
        """
        from interp.attribution import backward

        hooks: dict[int, Hook] = {
            pb.ATTRIBUTION_METHOD_GUIDED_BACKPROP: backward.guided_backprop,
            pb.ATTRIBUTION_METHOD_DEEP_LIFT: lambda network, path: backward.deep_lift(
                network, path, self.path_baseline
            ),
            pb.ATTRIBUTION_METHOD_GRAD_CAM: lambda network, path: backward.grad_cam(
                network, path, layer
            ),
            pb.ATTRIBUTION_METHOD_GUIDED_GRAD_CAM: lambda network, path: backward.guided_grad_cam(
                network, path, layer
            ),
            pb.ATTRIBUTION_METHOD_LRP: backward.lrp,
        }
        return hooks[method]


class AttributionHandler:
    """Answers Attribute."""

    def __init__(self, zoo: ModelZoo, compute: Compute) -> None:
        self._zoo, self._compute = zoo, compute
        self._turn = (
            asyncio.Lock()
        )  # however many ask for hooks, one image's pass lies between two ticks

    async def attribute(
        self, request: pb.AttributeRequest, context: Context
    ) -> pb.AttributeResponse:
        """Methods that ask for gradients alone share the engine's passes; the others have the
        device to themselves, an image at a time.
        """
        with self._zoo.use(required("model", request.model)) as model:
            count = _count(request, model)
            path, classes = _explained(request, model, count)
            settings, priority = (
                Settings.read(request, model),
                wire_priority.priority(request.priority),
            )
            x = await self._compute.decode_images(request.images, model.preprocessing)
            ask, layer = settings.ask(request.method), ""
            memory = 4 * x.nbytes + wire_images.image_bytes(_PASS_COPIES, model)
            procedure = _ask(x, model.network, path, classes, ask)
            found, paths = await self._compute.solve(
                context, model, procedure, memory, priority, request.deterministic
            )
            if ask is None:
                layer = await self._cam_layer(request, model, paths[0])
                found = await self._hooked(
                    x,
                    model,
                    paths,
                    await self._compute.run_in_pool(settings.hook, request.method, layer),
                )
            if not all(torch.isfinite(t).all() for t in (found.values, found.score)):
                raise NotFinite("the network gave values that are infinite or not numbers")
            response = await self._compute.run_in_pool(
                _response, found, paths, x, model, request.method in _UNSIGNED, settings.opacity
            )
            response.layer = layer
            return response

    async def _cam_layer(
        self, request: pb.AttributeRequest, model: HostedModel, path: LayerPath
    ) -> str:
        """Grad-CAM's layer; "" for other methods."""
        if request.method not in _CAMS:
            return ""
        wanted = (
            wire_units.parse_path(request.layer, "layer", model) if request.layer else LayerPath("")
        )
        if wanted.unit is not None:
            raise InvalidField("layer", "must name a layer, not a unit")
        try:
            return await self._on_device(
                lambda: attribution.check_source(model.network, path, wanted.layer)
            )
        except ValueError as error:
            raise InvalidField("layer", str(error)) from error

    async def _hooked(
        self, x: Tensor, model: HostedModel, paths: Sequence[LayerPath], hook: Hook
    ) -> Attributed:
        explain = await self._on_device(lambda: hook(model.network, paths[0]))

        def one(row: int) -> Attributed:
            return _on_host(explain(x[row : row + 1].to(model.network.device), paths[row]))

        rows = [await self._on_device(lambda row=row: one(row)) for row in range(len(x))]  # type: ignore[misc]
        deltas = [row.delta for row in rows if row.delta is not None]
        return Attributed(
            torch.cat([row.values for row in rows]),
            torch.cat([row.score for row in rows]),
            torch.cat(deltas) if deltas else None,
        )

    async def _on_device(self, call: Callable[[], T]) -> T:
        try:
            async with self._turn:
                return await self._compute.run_on_device(call)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                "one image's pass with hooks does not fit into the device's memory"
            ) from error


def _count(request: pb.AttributeRequest, model: HostedModel) -> int:
    """The number of images, which must fit into one answer."""
    known("method", request.method, pb.AttributionMethod.DESCRIPTOR)
    if request.method == pb.ATTRIBUTION_METHOD_UNSPECIFIED:
        raise InvalidField("method", "is required")
    channels, height, width = model.network.shape
    bytes_an_image = (
        (4 * channels + 2 * 3.1) * height * width
    )  # float32, and two PNGs that cannot be packed
    most = min(MOST_IMAGES, max(1, math.floor(wire_images.MOST_BYTES / bytes_an_image)))
    return within("images (their number)", wire_images.count(request.images), 1, most)


def _own(request: pb.AttributeRequest) -> None:
    """InvalidField for a setting of another method: it would change nothing, and its sender
    believes that it does.
    """
    for field, _ in request.ListFields():
        owners = _OWN.get(field.name, (request.method,))
        if request.method not in owners:
            names = (
                pb.AttributionMethod.DESCRIPTOR.values_by_number[owner].name for owner in owners
            )
            raise InvalidField(field.name, f"is a setting of {' and '.join(names)} alone")


def _explained(
    request: pb.AttributeRequest, model: HostedModel, count: int
) -> tuple[LayerPath | None, list[int]]:
    """The unit, or the classes of the images: none for their predictions."""
    if request.unit and request.classes:
        raise InvalidField("unit", "cannot be given with classes")
    if request.unit:
        return wire_units.read_unit(request.unit, "unit", model), []
    classes = list(request.classes) * (count if len(request.classes) == 1 else 1)
    wire_attack.classes(classes, "classes", count, model)
    return None, classes


def _ask(
    x: Tensor, network: Network, path: LayerPath | None, classes: Sequence[int], method: Ask | None
) -> Procedure[tuple[Attributed, list[LayerPath]]]:
    """What is explained, and by a method that is a procedure how; by another one nothing yet."""
    x = x.to(network.device, network.dtype)
    if path is None and not classes:
        answer = yield Probe(x, logits=True)
        assert answer.logits is not None
        classes = answer.logits.argmax(1).tolist()
    paths = [path] * len(x) if path is not None else [LayerPath(LOGITS, c) for c in classes]
    if method is None:
        return Attributed(x[:0], x[:0]), paths
    found = yield from method(x, activation(paths, network.device))
    return _on_host(found), paths


def _on_host(found: Attributed) -> Attributed:
    return Attributed(
        found.values.float().cpu(),
        found.score.float().cpu(),
        None if found.delta is None else found.delta.float().cpu(),
    )


def _response(
    found: Attributed,
    paths: Sequence[LayerPath],
    x: Tensor,
    model: HostedModel,
    unsigned: bool,
    opacity: float,
) -> pb.AttributeResponse:
    """Draws the pictures: for the pool."""
    values = np.ascontiguousarray(found.values.numpy())
    response = pb.AttributeResponse(
        attributions=wire_tensors.from_array(values), provenance=wire_provenance.provenance(model)
    )
    for row, path in enumerate(paths):
        heat = heat_map(values[row], signed=not unsigned)
        response.images.add(
            objective=str(path),
            label=model.classes[path.unit or 0] if path.layer == LOGITS else "",
            score=found.score[row].item(),
            convergence_delta=None if found.delta is None else found.delta[row].item(),
            overlay_png=png(overlay(x[row].numpy(), heat, opacity)),
            heat_map_png=png(heat),
        )
    return response
