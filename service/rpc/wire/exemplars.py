"""Between the messages about exemplars and statistics, and the values of an index."""

from dataclasses import dataclass
from typing import Literal

from interp.exemplars import crop_rectangle, order_of
from interp.layer import LayerPath
from service.datasets import Dataset, Sample
from service.datasets.samples import LeftOut, read_or_leave_out
from service.imaging import Pixels, Preprocessing, decode, png
from service.index.types import Hit, Order, UnitStatistics
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, required, within
from service.rpc.wire import units as wire_units
from service.rpc.wire.index_plan import MOST_QUANTILES
from striate.v1 import exemplars_pb2 as pb

DEFAULT_EXEMPLARS = 9
MOST_EXEMPLARS = 100  # of one request

Box = tuple[int, int, int, int]  # top, left, height, width in pixels
UnitOrder = Literal["max", "min", "mean", "magnitude", "quantile"]

_ORDERS: dict[int, UnitOrder] = {
    pb.EXEMPLAR_ORDER_UNSPECIFIED: "max",
    pb.EXEMPLAR_ORDER_MAX: "max",
    pb.EXEMPLAR_ORDER_MIN: "min",
    pb.EXEMPLAR_ORDER_MEAN: "mean",
    pb.EXEMPLAR_ORDER_MAGNITUDE: "magnitude",
    pb.EXEMPLAR_ORDER_QUANTILE: "quantile",
}


@dataclass(frozen=True)
class ExemplarSpec:
    """A checked request.

    Attributes:
        path: the unit, minus it or its magnitude.
        dataset: its name.
        order: of the index, by what images are exemplars.
        k: how many are wanted, at most.
        with_images: also read the images.
    """

    path: LayerPath
    dataset: str
    order: Order
    k: int
    with_images: bool


def read(request: pb.FindExemplarsRequest, model: HostedModel) -> ExemplarSpec:
    """Read all of a request but its label, which goes by the data set.

    By default there are 9 exemplars, and all that there are by quantiles.

    Args:
        request: as it was sent.
        model: the loaded model that is asked for.

    Returns:
        The settings, checked.

    Raises:
        InvalidField: a setting is out of range, or it is no unit of the layer.
        UnknownLayer: the model has no such layer.
    """
    known("order", request.order, pb.ExemplarOrder.DESCRIPTOR)
    order = _ORDERS[request.order]
    default = MOST_QUANTILES if order == "quantile" else DEFAULT_EXEMPLARS
    path = wire_units.read_unit(request.unit, "unit", model, positions=False, forms=True)
    return ExemplarSpec(
        path=path,
        dataset=required("dataset", request.dataset),
        order=order if path.form == "value" else _order_of_form(order, path),
        k=within("k", request.k, 1, MOST_EXEMPLARS, default=default),
        with_images=not request.without_images,
    )


def _order_of_form(order: UnitOrder, path: LayerPath) -> Order:
    """The order of the index by which images come that a request wants by an order of minus a unit,
    or of its magnitude.
    """
    if order in ("max", "mean"):
        return order_of(path.form, "max" if order == "max" else "mean")
    if path.form == "neg" and order == "min":
        return "max"
    if order == "magnitude":
        return "magnitude"
    also = ", EXEMPLAR_ORDER_MIN" if path.form == "neg" else ""
    raise InvalidField(
        "order",
        f"is EXEMPLAR_ORDER_{order.upper()}, must for {path} be EXEMPLAR_ORDER_MAX, "
        f"EXEMPLAR_ORDER_MEAN{also} or EXEMPLAR_ORDER_MAGNITUDE: the index keeps no other images "
        f"of that; of {path.plain} there are more",
    )


def read_label(
    request: pb.FindExemplarsRequest, spec: ExemplarSpec, dataset: Dataset
) -> int | None:
    """Read the label that exemplars are to have.

    Args:
        request: as it was sent.
        spec: the rest of it.
        dataset: that the exemplars come from.

    Returns:
        The label; None for any.

    Raises:
        InvalidField: the data set has no such label, or the order is another than the maximum of
            the unit itself.
    """
    if not request.HasField("label"):
        return None
    if _ORDERS[request.order] != "max":
        raise InvalidField("label", "goes with EXEMPLAR_ORDER_MAX alone")
    if spec.path.form != "value":
        raise InvalidField(
            "label",
            f"goes with the unit itself, {spec.path.plain}: the index keeps the images of a label "
            f"by its maximum, not those of {spec.path}",
        )
    if not dataset.labelled:
        raise InvalidField("label", f"data set {dataset.name!r} has no labels")
    return within("label", request.label, 0, dataset.label_count - 1)


def read_units(text: str, model: HostedModel) -> LayerPath:
    """Read the name of a unit, "layer:unit", or of a layer for all of its units.

    Args:
        text: the name.
        model: the loaded model that is asked for.

    Returns:
        The path, without a unit where it names a layer.

    Raises:
        InvalidField: it is a neuron, or the layer has no such unit.
        UnknownLayer: the model has no such layer.
    """
    path = wire_units.parse_path(text, "unit", model, forms=True)
    if path.form != "value":
        raise InvalidField(
            "unit", f"is {path}: the statistics of {path.plain} hold both of its ends"
        )
    if path.central or path.position is not None:
        raise InvalidField("unit", "must be of the form layer:unit or layer, without a position")
    if path.unit is None:
        return path
    return wire_units.resolve_path(path, "unit", model.network.output_shapes[path.layer])


def exemplar(hit: Hit, crop: Box) -> pb.Exemplar:
    """Write all of an exemplar but what takes reading its image.

    Args:
        crop: see `crop_box`.
    """
    top, left, height, width = crop
    return pb.Exemplar(
        id=hit.id,
        activation=hit.activation,
        row=hit.row,
        column=hit.column,
        quantile=hit.quantile,
        crop_top=top,
        crop_left=left,
        crop_height=height,
        crop_width=width,
    )


def add_images(
    message: pb.Exemplar, dataset: Dataset, preprocessing: Preprocessing
) -> LeftOut | None:
    """Read the image of an exemplar, and fill in its name, label and pictures. Decodes and encodes:
    not for the event loop.

    Args:
        message: of the exemplar, with its id and crop; it is changed.
        dataset: that the exemplar comes from.
        preprocessing: of the model.

    Returns:
        None, or the image that the data set leaves out.

    Raises:
        DatasetError: the image cannot be read or decoded, and none is left out; the message names
            it.
    """

    def seen(sample: Sample) -> tuple[Sample, Pixels]:
        return sample, preprocessing.apply(decode(sample.image))

    read = read_or_leave_out(dataset, message.id, seen)
    if isinstance(read, LeftOut):
        return read
    sample, image = read  # (C, H, W) uint8
    message.name = sample.name
    if sample.label is not None:
        message.label = sample.label
        if sample.label < len(dataset.classes):
            message.label_name = dataset.classes[sample.label]
    top, left = message.crop_top, message.crop_left
    crop = image[:, top : top + message.crop_height, left : left + message.crop_width]
    message.image_png = png(image)
    message.crop_png = message.image_png if crop.shape == image.shape else png(crop)
    return None


def crop_box(hit: Hit, path: LayerPath, by_mean: bool, model: HostedModel) -> Box:
    """Find the receptive field of an exemplar in the network's input: all of it where that is
    global or not known, and for means.

    Args:
        hit: with the row and column of its position in the layer.
        path: of the unit.
        by_mean: the exemplars are ranked by the mean over positions.
        model: the loaded model that is asked for.

    Returns:
        The rectangle as `crop_rectangle` gives it, or (0, 0, height, width) of the whole input.
    """
    field = next((info.receptive_field for info in model.layers if info.name == path.layer), None)
    extent = model.preprocessing.height, model.preprocessing.width
    if by_mean or field is None or field.is_global:
        return 0, 0, *extent
    return crop_rectangle(
        (hit.row, hit.column),
        (field.offset_y, field.offset_x),
        (field.jump_y, field.jump_x),
        (field.height, field.width),
        field.bounds[2:],
        field.bounds[:2],
    )


def statistics(layer: str, found: UnitStatistics) -> pb.UnitStatistics:
    """Write the statistics of a unit of a layer.

    Args:
        layer: of the unit.
        found: statistics of the unit.

    Returns:
        The message.
    """
    return pb.UnitStatistics(
        unit=str(LayerPath(layer, found.unit)),
        minimum=found.minimum,
        maximum=found.maximum,
        maximum_mean=found.maximum_mean,
        minimum_mean=found.minimum_mean,
        mean=found.mean,
        variance=found.variance,
        active_share=found.active_share,
        active_images=found.active_images,
        sparsity=found.sparsity,
        histogram_low=found.histogram_low,
        histogram_high=found.histogram_high,
        histogram=found.histogram.tolist(),
        quantiles=found.quantiles.tolist(),
        quantile_values=found.quantile_values.tolist(),
    )
