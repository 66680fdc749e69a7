"""Between messages and values: filters and tuning curves."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from interp.filters.analysis import FilterAnalysis, FilterOrder
from interp.filters.gratings import Gratings, default_wavelengths
from interp.filters.tuning import Tuning
from interp.filters.tuning_picture import draw_tuning
from interp.filters.weights import Scale, first_convolution
from interp.layer import quoted
from interp.network.describe import LayerInfo
from service.imaging import png
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import units as wire_units
from striate.v1 import filters_pb2 as pb

MOST_WAVELENGTHS = 16

_SCALES: dict[int, Scale] = {pb.FILTER_SCALE_GLOBAL: "global"}
_ORDERS: dict[int, FilterOrder] = {
    pb.FILTER_ORDER_ORIENTATION: "orientation",
    pb.FILTER_ORDER_HUE: "hue",
}


@dataclass(frozen=True)
class FilterSpec:
    """How the filters of a layer are to be drawn.

    Attributes:
        layer: the dotted name of a convolution.
        zoom: pixels a weight, 0 for what makes tiles of about 48 pixels.
        analyze: also fit Gabor functions and measure colour.
        spectra: also draw amplitude spectra.
    """

    layer: str
    scale: Scale
    order: FilterOrder
    zoom: int
    analyze: bool
    spectra: bool

    @property
    def analyzed(self) -> bool:
        """Whether filters are analyzed, for the response or to bring them into order."""
        return self.analyze or self.order != "channel"


def read_filters(request: pb.RenderFiltersRequest, model: HostedModel) -> FilterSpec:
    """Read how filters are to be drawn; by default those of the first convolution.

    Args:
        request: as it was sent.
        model: the loaded model that is asked for.

    Returns:
        The settings, checked.

    Raises:
        InvalidField: a setting is out of range, or the network has no convolution.
        UnknownLayer: there is no such layer.
    """
    known("scale", request.scale, pb.FilterScale.DESCRIPTOR)
    known("order", request.order, pb.FilterOrder.DESCRIPTOR)
    return FilterSpec(
        layer=_convolution(request.layer, model),
        scale=_SCALES.get(request.scale, "filter"),
        order=_ORDERS.get(request.order, "channel"),
        zoom=within("zoom", request.zoom, 0, 32),
        analyze=request.analyze,
        spectra=request.spectra,
    )


def _convolution(text: str, model: HostedModel) -> str:
    """The dotted name of the layer that is named, by default the first convolution."""
    if text:
        return wire_units.parse_module(text, "layer", model)
    try:
        return first_convolution(model.network)
    except ValueError as error:
        raise InvalidField("layer", str(error)) from error


def weight_spacing(spec: FilterSpec, channels: int, model: HostedModel) -> int:
    """Find the distance in pixels between a layer's weights, which analyses need.

    Args:
        channels: input channels of the layer's filters.

    Returns:
        The layer's dilation, or 1 where nothing is analyzed.

    Raises:
        InvalidField: the layer cannot be analyzed.
    """
    if not spec.analyzed:
        return 1
    field, layer = "analyze" if spec.analyze else "order", spec.layer
    if channels not in (1, 3):
        raise InvalidField(field, f"layer {layer} has {channels} input channels, must have 1 or 3")
    down, across = next(info.dilation for info in model.layers if info.name == layer) or (1, 1)
    if down != across:
        raise InvalidField(
            field, f"layer {layer} is dilated by {down} down and by {across} across, must be alike"
        )
    return down


def angle(degrees: float, period: float) -> float:
    """Bring an angle into the range from 0 to below a period, also after it is rounded to float32,
    as messages carry it.

    Args:
        degrees: any angle.
        period: of the angle, in degrees, e.g. 180 for orientations.

    Returns:
        The angle in degrees.
    """
    return float(np.float32(degrees) % np.float32(period))


def analyses(found: Iterable[FilterAnalysis]) -> list[pb.FilterAnalysis]:
    """Write the analyses of filters.

    Args:
        found: the analyses, one a filter.

    Returns:
        One message a filter, in their order.
    """
    return [
        pb.FilterAnalysis(
            orientation=angle(one.gabor.orientation, 180),
            wavelength=one.gabor.wavelength,
            phase=angle(one.gabor.phase + 180, 360) - 180 if one.gabor.wavelength else 0,
            sigma_across=one.gabor.across,
            sigma_along=one.gabor.along,
            center_row=one.gabor.row,
            center_column=one.gabor.column,
            r_squared=one.gabor.r_squared,
            color_share=one.colour.share,
            opponency=one.colour.opponency,
            hue=angle(one.colour.hue, 360),
            peak_orientation=angle(one.peak_orientation, 180),
            peak_wavelength=one.peak_wavelength,
            orientation_determined=one.gabor.is_oriented,
        )
        for one in found
    ]


def map_layer(text: str, model: HostedModel) -> LayerInfo:
    """Read the name of a layer with rows and columns; by default the first convolution.

    Args:
        text: the name; empty for the first convolution.
        model: the loaded model that is asked for.

    Returns:
        The layer's description.

    Raises:
        InvalidField: it is a unit, or a layer without rows and columns.
        UnknownLayer: there is no such layer.
    """
    name = wire_units.read_layer(text or quoted(_convolution("", model)), "layer", model)
    info = next((one for one in model.layers if one.name == name), None)
    if info is None or len(info.output_shape) != 3:
        raise InvalidField("layer", f"{name} has no rows and columns")
    return info


def gratings(request: pb.MeasureTuningRequest, layer: LayerInfo, model: HostedModel) -> Gratings:
    """Read the gratings that units are to be shown.

    Args:
        layer: whose units are measured; its receptive field sets the default wavelengths.

    Raises:
        InvalidField: there are too many, or one is out of range.
    """
    side = min(model.network.shape[1:])
    if len(request.wavelengths) > MOST_WAVELENGTHS:
        raise InvalidField(
            "wavelengths",
            f"there are {len(request.wavelengths)}, must be at most {MOST_WAVELENGTHS}",
        )
    chosen = tuple(
        within(f"wavelengths[{i}]", value, 2.0, float(side))
        for i, value in enumerate(request.wavelengths)
    )
    field = layer.receptive_field
    return Gratings(
        wavelengths=chosen
        or default_wavelengths(
            model.network.shape, max(field.height, field.width) if field else side
        ),
        orientations=within("orientations", request.orientations, 4, 72, default=18),
        phases=within("phases", request.phases, 1, 16, default=8),
        contrast=within("contrast", request.contrast, 0.0, 1.0, default=1.0),
    )


def unit_tunings(tuning: Tuning) -> list[pb.UnitTuning]:
    """Write what every unit prefers.

    Args:
        tuning: of all units of a layer.

    Returns:
        One message a unit, in their order.
    """
    return [
        pb.UnitTuning(
            orientation=angle(one.orientation, 180),
            wavelength=one.wavelength,
            selectivity=one.selectivity,
            response=one.response,
            baseline=one.baseline,
        )
        for one in map(tuning.preference, range(len(tuning.responses)))
    ]


def tuning_response(tuning: Tuning) -> pb.MeasureTuningResponse:
    """Write tuning curves, with their picture drawn: not for the event loop.

    Args:
        tuning: of all units of a layer.

    Returns:
        all of the response but the layer, and where the curves came from.
    """
    return pb.MeasureTuningResponse(
        orientations=tuning.orientations.tolist(),
        wavelengths=tuning.wavelengths.tolist(),
        responses=wire_tensors.from_array(tuning.responses),
        units=unit_tunings(tuning),
        png=png(draw_tuning(tuning).transpose(2, 0, 1)),
    )
