"""Between messages and values: filters, tuning curves and activations."""

from collections.abc import Iterable, Sequence

import numpy as np

from interp.filters.activations import UnitActivation, check_shape
from interp.filters.analysis import FilterAnalysis
from interp.filters.gratings import Gratings, default_wavelengths
from interp.filters.tuning import Tuning
from interp.filters.weights import first_convolution
from interp.layer import LOGITS
from interp.network.describe import LayerInfo
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import units as wire_units
from striate.v1 import filters_pb2 as pb

MOST_WAVELENGTHS = 16


def angle(degrees: float, period: float) -> float:
    """An angle from 0 to below a period, also after it is rounded to float32, as messages
    carry it.
    """
    return float(np.float32(degrees) % np.float32(period))


def analyses(found: Iterable[FilterAnalysis]) -> list[pb.FilterAnalysis]:
    """Analyses of filters as messages."""
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
        )
        for one in found
    ]


def map_layer(text: str, model: HostedModel) -> LayerInfo:
    """The layer with rows and columns that a request names; the first convolution by default.

    Raises:
        InvalidField: it is a unit, or a layer without rows and columns.
        UnknownLayer: there is no such layer.
    """
    if not text:
        try:
            text = first_convolution(model.network)
        except ValueError as error:
            raise InvalidField("layer", str(error)) from error
    name = whole_layer(text, model)
    info = next((one for one in model.layers if one.name == name), None)
    if info is None or len(info.output_shape) != 3:
        raise InvalidField("layer", f"{name} has no rows and columns")
    return info


def whole_layer(text: str, model: HostedModel) -> str:
    """The name of a layer, or "logits", whose output is (units,) or (units, rows, columns). Raises
    InvalidField, UnknownLayer.
    """
    path = wire_units.parse_path(text, "layer", model)
    if path.unit is not None:
        raise InvalidField("layer", f"is the unit {path}, must be a whole layer")
    try:
        check_shape(model.network.output_shapes[path.layer])
    except ValueError as error:
        raise InvalidField("layer", str(error)) from error
    return path.layer


def gratings(request: pb.MeasureTuningRequest, layer: LayerInfo, model: HostedModel) -> Gratings:
    """The gratings of a request. Raises InvalidField."""
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
    """What every unit prefers as messages."""
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


def unit_activations(
    units: Iterable[UnitActivation], layer: str, classes: Sequence[str]
) -> list[pb.UnitActivation]:
    """Units as messages, with class names if the layer is the logits."""
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
