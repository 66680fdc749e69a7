"""Between the messages about exemplars and statistics, and the values of an index."""

from interp.exemplars import crop_rectangle
from interp.layer import LayerPath
from interp.network.describe import ReceptiveField
from service.datasets import Dataset
from service.imaging import Preprocessing, decode, png
from service.index.types import Hit, Order, UnitStatistics
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import index_plan
from service.rpc.wire import units as wire_units
from striate.v1 import exemplars_pb2 as pb

MOST = 100  # exemplars of one request

Box = tuple[int, int, int, int]  # top, left, height, width in pixels

_ORDERS: dict[int, Order] = {
    pb.EXEMPLAR_ORDER_UNSPECIFIED: "max",
    pb.EXEMPLAR_ORDER_MAX: "max",
    pb.EXEMPLAR_ORDER_MIN: "min",
    pb.EXEMPLAR_ORDER_MEAN: "mean",
    pb.EXEMPLAR_ORDER_MAGNITUDE: "magnitude",
    pb.EXEMPLAR_ORDER_QUANTILE: "quantile",
}


def order(request: pb.FindExemplarsRequest) -> Order:
    """By what the images of a request are exemplars."""
    known("order", request.order, pb.ExemplarOrder.DESCRIPTOR)
    return _ORDERS[request.order]


def count(request: pb.FindExemplarsRequest) -> int:
    """How many exemplars a request wants: by default 9, and all there are of quantiles."""
    return within(
        "k",
        request.k,
        1,
        MOST,
        default=index_plan.MOST_QUANTILES if order(request) == "quantile" else 9,
    )


def label(request: pb.FindExemplarsRequest, dataset: Dataset) -> int | None:
    """The label that a request wants exemplars of; None for any."""
    if not request.HasField("label"):
        return None
    if order(request) != "max":
        raise InvalidField("label", "goes with EXEMPLAR_ORDER_MAX alone")
    if not dataset.labelled:
        raise InvalidField("label", f"data set {dataset.name!r} has no labels")
    return within("label", request.label, 0, dataset.label_count - 1)


def unit(text: str, model: HostedModel) -> LayerPath:
    """A unit of the model, "layer:unit"."""
    return wire_units.read_unit(text, "unit", model, positions=False)


def units(text: str, model: HostedModel) -> LayerPath:
    """A unit of the model or a whole layer, "layer:unit" or "layer"."""
    path = wire_units.parse_path(text, "unit", model)
    if path.central or path.position is not None:
        raise InvalidField("unit", "must be of the form layer:unit or layer, without a position")
    return (
        path
        if path.unit is None
        else wire_units.resolve_path(path, "unit", model.network.output_shapes[path.layer])
    )


def exemplar(hit: Hit, area: Box) -> pb.Exemplar:
    """All of a message but what takes reading the image."""
    top, left, height, width = area
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


def draw(message: pb.Exemplar, dataset: Dataset, preprocessing: Preprocessing) -> None:
    """Read the image of an exemplar and fill in its name, label and pictures. Decodes and encodes:
    not for the event loop.

    Raises:
        DatasetError: the image cannot be read.
        BadImage: it cannot be decoded.
    """
    (sample,) = dataset.read(message.id, 1)
    message.name = sample.name
    if sample.label is not None:
        message.label = sample.label
        message.label_name = (
            dataset.classes[sample.label] if sample.label < len(dataset.classes) else ""
        )
    image = preprocessing.apply(decode(sample.image))  # (C, H, W) uint8
    top, left, height, width = (
        message.crop_top,
        message.crop_left,
        message.crop_height,
        message.crop_width,
    )
    crop = image[:, top : top + height, left : left + width]
    message.image_png = png(image)
    message.crop_png = message.image_png if crop.shape == image.shape else png(crop)


def box(hit: Hit, path: LayerPath, by: Order, model: HostedModel) -> Box:
    """The receptive field of a hit in the network's input; all of it where that is global, and for
    means.
    """
    field = next((info.receptive_field for info in model.layers if info.name == path.layer), None)
    extent = model.preprocessing.height, model.preprocessing.width
    if by == "mean" or field is None or field.is_global:
        return 0, 0, *extent
    return _crop((hit.row, hit.column), field, extent)


def _crop(position: tuple[int, int], field: ReceptiveField, extent: tuple[int, int]) -> Box:
    offset, jump, size = (
        (field.offset_y, field.offset_x),
        (field.jump_y, field.jump_x),
        (field.height, field.width),
    )
    return crop_rectangle(position, offset, jump, size, extent)


def statistics(layer: str, found: UnitStatistics) -> pb.UnitStatistics:
    """The statistics of a unit of a layer as message."""
    return pb.UnitStatistics(
        unit=str(LayerPath(layer, found.unit)),
        minimum=found.minimum,
        maximum=found.maximum,
        maximum_mean=found.maximum_mean,
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
