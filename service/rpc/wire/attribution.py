"""Attribute's request as values, and its response from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from interp.attribution.occlusion import default_stride, default_window
from interp.attribution.picture import heat_map, overlay
from interp.attribution.registry import (
    ATTRIBUTION_METHODS,
    AttributionMethod,
    AttributionSettings,
)
from interp.attribution.relevance.composites import COMPOSITES
from interp.attribution.result import Attribution
from interp.layer import LOGITS, LayerPath, quoted
from service.imaging import png
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import provenance as wire_provenance
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import units as wire_units
from service.rpc.wire.robustness import attack as wire_attack
from striate.v1 import attribution_pb2 as pb

MOST_IMAGES = 64
MOST_STEPS = 1000  # of integrated gradients, and samples of SmoothGrad
MOST_RULE_SETTING = 1000.0  # of LRP's rules
DEFAULT_OPACITY = 0.6
PNG_BYTES = 3.1  # of a pixel of a picture that cannot be packed

_COMPOSITE_PREFIX = "LRP_COMPOSITE_"  # likewise
_PREFIX = "ATTRIBUTION_METHOD_"  # of the names of the contract's enumeration
_METHOD_SETTINGS = {name for method in ATTRIBUTION_METHODS.values() for name in method.settings}


@dataclass(frozen=True)
class AttributionSpec:
    """A request that has been checked.

    Attributes:
        method: the row of the registry.
        settings: of the method; `layer` is the dotted name of Grad-CAM's layer, or "" for its
            default.
        path: the unit to be explained, its position in numbers; None: a class.
        classes: one an image; empty, where there is no unit either: the network's predictions.
        seed: of SmoothGrad.
        first_image: number of the first image in the caller's whole batch.
        opacity: of the heat map over the image, 0 to 1.
    """

    method: AttributionMethod
    settings: AttributionSettings
    path: LayerPath | None
    classes: list[int]
    seed: int
    first_image: int
    opacity: float


def read(request: pb.AttributeRequest, model: HostedModel) -> AttributionSpec:
    """Check all of a request but the pixels.

    Args:
        request: of any content.
        model: the loaded model that it names.

    Returns:
        the request as values, with every default filled in.

    Raises:
        InvalidField: a field has a value that it may not have, or is a setting of another method.
        UnknownLayer: the model has no such layer.
    """
    method = ATTRIBUTION_METHODS[method_name(request.method)]
    count = _image_count(request, model)
    path, classes = _explained(request, model, count)
    _check_settings_fit(request, method)
    opacity = DEFAULT_OPACITY
    if request.HasField("overlay_opacity"):
        opacity = within("overlay_opacity", request.overlay_opacity, 0.0, 1.0)
    settings = _settings(request, model)
    return AttributionSpec(
        method, settings, path, classes, request.seed, request.first_image, opacity
    )


def method_name(method: int) -> str:
    """Find the name in the registry of a value of the contract's enumeration.

    Args:
        method: number of the enumeration's value.

    Returns:
        The name, in lower case.

    Raises:
        InvalidField: the enumeration has no such value, or the value is that of no method.
    """
    known("method", method, pb.AttributionMethod.DESCRIPTOR)
    if method == pb.ATTRIBUTION_METHOD_UNSPECIFIED:
        raise InvalidField("method", "is required")
    return pb.AttributionMethod.Name(method).removeprefix(_PREFIX).lower()  # type: ignore[arg-type]


def _image_count(request: pb.AttributeRequest, model: HostedModel) -> int:
    """The number of images, whose attributions and two pictures each must fit into one answer."""
    channels, height, width = model.network.shape
    bytes_an_image = (4 * channels + 2 * PNG_BYTES) * height * width
    most = min(MOST_IMAGES, max(1, math.floor(wire_images.MOST_BYTES / bytes_an_image)))
    return within("images (their number)", wire_images.count(request.images), 1, most)


def _explained(
    request: pb.AttributeRequest, model: HostedModel, count: int
) -> tuple[LayerPath | None, list[int]]:
    """The unit, or the classes of the images: none for their predictions."""
    if request.unit and request.classes:
        raise InvalidField("unit", "cannot be given with classes")
    if request.unit:
        return wire_units.read_unit(request.unit, "unit", model), []
    classes = list(request.classes) * (count if len(request.classes) == 1 else 1)
    wire_attack.read_classes(classes, "classes", count, model)
    return None, classes


def _check_settings_fit(request: pb.AttributeRequest, method: AttributionMethod) -> None:
    """Refuse a setting of another method: it would change nothing, and its sender believes that it
    does.
    """
    for field, _ in request.ListFields():
        if field.name in _METHOD_SETTINGS and field.name not in method.settings:
            owners = [
                _PREFIX + name.upper()
                for name, one in ATTRIBUTION_METHODS.items()
                if field.name in one.settings
            ]
            raise InvalidField(field.name, f"is a setting of {' and '.join(owners)} alone")


def _composite(request: pb.AttributeRequest) -> str:
    """The name of LRP's composite; a setting that it does not read is refused."""
    known("composite", request.composite, pb.LrpComposite.DESCRIPTOR)
    value = request.composite or pb.LRP_COMPOSITE_EPSILON
    name = pb.LrpComposite.Name(value).removeprefix(_COMPOSITE_PREFIX).lower()
    for field in ("epsilon", "gamma", "alpha"):
        if request.HasField(field) and field not in COMPOSITES[name].settings:
            owners = [
                _COMPOSITE_PREFIX + other.upper()
                for other, one in COMPOSITES.items()
                if field in one.settings
            ]
            raise InvalidField(field, f"is a setting of {' and '.join(owners)} alone")
    return name


def _optional(
    request: pb.AttributeRequest, field: Literal["epsilon", "gamma", "alpha"], least: float
) -> float | None:
    if not request.HasField(field):
        return None
    value: float = getattr(request, field)
    return within(field, value, least, MOST_RULE_SETTING)


def _settings(request: pb.AttributeRequest, model: HostedModel) -> AttributionSettings:
    _, height, width = model.network.shape
    defaults = AttributionSettings()
    window = within(
        "window", request.window, 1, max(height, width), default=default_window(height, width)
    )
    composite = _composite(request)
    gamma, alpha = _optional(request, "gamma", 0.0), _optional(request, "alpha", 1.0)
    baseline = None
    if request.HasField("baseline"):
        baseline = within("baseline", request.baseline, 0.0, 1.0)
    return AttributionSettings(
        steps=within("steps", request.steps, 1, MOST_STEPS, default=defaults.steps),
        samples=within("samples", request.samples, 1, MOST_STEPS, default=defaults.samples),
        noise=within("noise", request.noise, 1e-6, 1.0, default=defaults.noise),
        baseline=baseline,
        window=window,
        stride=within("stride", request.stride, 1, window, default=default_stride(window)),
        layer=_layer(request.layer, model),
        composite=composite,
        epsilon=_optional(request, "epsilon", 1e-12),
        gamma=defaults.gamma if gamma is None else gamma,
        alpha=defaults.alpha if alpha is None else alpha,
    )


def _layer(name: str, model: HostedModel) -> str:
    """The dotted name of Grad-CAM's layer; "" where none is named."""
    if not name:
        return ""
    path = wire_units.parse_path(name, "layer", model)
    if path.unit is not None:
        raise InvalidField("layer", "must name a layer, not a unit")
    return path.layer


def response(
    attribution: Attribution,
    paths: Sequence[LayerPath],
    x: Tensor,
    model: HostedModel,
    spec: AttributionSpec,
    layer: str,
) -> pb.AttributeResponse:
    """Write a response, with its pictures drawn: not for the event loop.

    Args:
        attribution: of N images, on the CPU, in float32.
        paths: N, what was explained.
        x: the images (N, C, H, W) in [0, 1].
        model: whose attribution this is.
        spec: the request.
        layer: dotted name of the layer that Grad-CAM took; "" for other methods.
    """
    values = np.ascontiguousarray(attribution.values.numpy())
    message = pb.AttributeResponse(
        attributions=wire_tensors.from_array(values),
        provenance=wire_provenance.provenance(model),
        layer=quoted(layer) if layer else "",
    )
    delta = attribution.delta
    for row, path in enumerate(paths):
        heat = heat_map(values[row], spec.method.signed)
        message.images.add(
            objective=str(path),
            label=model.classes[path.unit or 0] if path.layer == LOGITS else "",
            score=attribution.score[row].item(),
            convergence_delta=None if delta is None else delta[row].item(),
            overlay_png=png(overlay(x[row].numpy(), heat, spec.opacity)),
            heat_map_png=png(heat),
        )
    return message
