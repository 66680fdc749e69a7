"""GetActivations' request as values, and units with their values as messages."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interp.filters.activations import UnitActivation, UnitOrder
from interp.layer import LOGITS
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import units as wire_units
from striate.v1 import filters_pb2 as pb

MOST_UNITS = 4096  # whose maps are drawn
_DRAWN = 3  # bytes of a value in a picture that cannot be packed

_ORDERS: dict[int, UnitOrder] = {
    pb.ACTIVATION_ORDER_MEAN: "mean",
    pb.ACTIVATION_ORDER_MAGNITUDE: "magnitude",
}


@dataclass(frozen=True)
class ActivationSpec:
    """Which feature maps are wanted.

    Attributes:
        layer: dotted name, or "logits".
        order: by what units are the strongest.
        k: how many of them.
        all_units: return the maps of the others too.
    """

    layer: str
    order: UnitOrder
    k: int
    all_units: bool


def read_activations(request: pb.GetActivationsRequest, model: HostedModel) -> ActivationSpec:
    """Read which feature maps are wanted.

    Args:
        request: as it was sent.
        model: the loaded model that is asked for.

    Returns:
        The settings, checked.

    Raises:
        InvalidField: a setting is out of range, there is not one image, or the maps are too large.
        UnknownLayer: there is no such layer.
    """
    known("order", request.order, pb.ActivationOrder.DESCRIPTOR)
    layer = wire_units.read_layer(request.layer, "layer", model)
    units, *extent = model.network.output_shapes[layer]
    k = min(within("k", request.k, 1, MOST_UNITS, default=16), units)
    returned = units if request.all_units else k
    if math.prod(extent) * (4 * returned + _DRAWN * k) > wire_images.MOST_BYTES:
        raise InvalidField(
            "all_units" if request.all_units else "k",
            f"layer {layer} has maps too large for one answer",
        )
    within("image (their number)", wire_images.count(request.image, "image"), 1, 1)
    order = _ORDERS.get(request.order, "peak")
    return ActivationSpec(layer, order, k, request.all_units)


def unit_activations(
    units: Iterable[UnitActivation], layer: str, classes: Sequence[str]
) -> list[pb.UnitActivation]:
    """Write units and their values, with class names if the layer is the logits.

    Args:
        units: with their values and positions.
        layer: whose units they are.
        classes: names of the model's classes, by index.

    Returns:
        One message a unit, in their order.
    """
    return [
        pb.UnitActivation(
            unit=one.unit,
            value=one.value,
            row=one.row,
            column=one.column,
            label=classes[one.unit] if layer == LOGITS else "",
        )
        for one in units
    ]
