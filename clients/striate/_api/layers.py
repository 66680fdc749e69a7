"""What a layer is made of and answers: the part of a model's handle that asks for filters, tuning
curves and activations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from striate._requests.attack import PRIORITIES, PriorityName
from striate._rpc.checks import at_least, choice, number, positive
from striate.errors import invalid
from striate.images import as_batch
from striate.v1 import filters_pb2

if TYPE_CHECKING:
    from striate._rpc.caller import Caller
    from striate.images import One
    from striate.results.activations import Activations
    from striate.results.filters import Filters
    from striate.results.models import ModelInfo
    from striate.results.tuning import Tuning
    from striate.v1 import interpret_pb2_grpc

ScaleName = Literal["filter", "global"]
FilterOrderName = Literal["channel", "orientation", "hue"]
ActivationOrderName = Literal["peak", "mean", "magnitude"]

_SCALES: dict[ScaleName, filters_pb2.FilterScale.ValueType] = {
    "filter": filters_pb2.FILTER_SCALE_PER_FILTER,
    "global": filters_pb2.FILTER_SCALE_GLOBAL,
}
_FILTER_ORDERS: dict[FilterOrderName, filters_pb2.FilterOrder.ValueType] = {
    "channel": filters_pb2.FILTER_ORDER_UNSPECIFIED,
    "orientation": filters_pb2.FILTER_ORDER_ORIENTATION,
    "hue": filters_pb2.FILTER_ORDER_HUE,
}
_ACTIVATION_ORDERS: dict[ActivationOrderName, filters_pb2.ActivationOrder.ValueType] = {
    "peak": filters_pb2.ACTIVATION_ORDER_UNSPECIFIED,
    "mean": filters_pb2.ACTIVATION_ORDER_MEAN,
    "magnitude": filters_pb2.ACTIVATION_ORDER_MAGNITUDE,
}


class Measuring:
    """The filters, tuning curves and activations of one model."""

    _caller: Caller
    _interpret: interpret_pb2_grpc.InterpretServiceStub
    info: ModelInfo

    def filters(
        self,
        layer: str | None = None,
        scale: ScaleName = "filter",
        zoom: int = 0,
        *,
        order: FilterOrderName = "channel",
        analyze: bool = False,
        spectra: bool = False,
        timeout: float | None = None,
    ) -> Filters:
        """The weights of a convolution (the first one by default), exact and as a picture.

        scale: each "filter" in its own range, or one "global" range; zoom: pixels a weight, 1 to
        32, 0 picks one; order: of the tiles, by "channel", by "orientation" (Gabor functions first,
        then what none fits) or by "hue" (coloured ones first); analyze: also fit Gabor functions
        and measure colours; spectra: also draw amplitude spectra. Orders other than by channel, and
        analyses, are for filters of 1 or 3 input channels. Raises LayerNotFound, InvalidArgument.
        """
        from striate.results.filters import Filters

        at_least(0, zoom=zoom)
        request = filters_pb2.RenderFiltersRequest(
            model=self.info.name,
            layer=layer or "",
            scale=choice("scale", scale, _SCALES),
            zoom=zoom,
            order=choice("order", order, _FILTER_ORDERS),
            analyze=analyze,
            spectra=spectra,
        )
        return Filters.read(self._caller.unary(self._interpret.RenderFilters, request, timeout))

    def tuning(
        self,
        layer: str | None = None,
        *,
        orientations: int | None = None,
        wavelengths: Iterable[float] | None = None,
        phases: int | None = None,
        contrast: float | None = None,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Tuning:
        """How the units of a layer with rows and columns (the first convolution by default) answer
        to gratings.

        orientations: how many, 4 to 72 (server's default 18); wavelengths: pixels a period, up to
        16, each at least 2 and at most the image's shorter side (6 that suit the layer); phases:
        how many, 1 to 16 (8); contrast: Michelson's, above 0 to 1 (1); priority: None for
        interactive. Raises LayerNotFound, InvalidArgument.
        """
        from striate.results.tuning import Tuning

        at_least(1, orientations=orientations, phases=phases)
        positive(contrast=contrast)
        chosen = [
            number(f"wavelengths[{place}]", value)
            for place, value in enumerate(() if wavelengths is None else wavelengths)
        ]
        if wavelengths is not None and not chosen:
            raise invalid("wavelengths", "must hold at least one")
        request = filters_pb2.MeasureTuningRequest(
            model=self.info.name,
            layer=layer or "",
            orientations=orientations or 0,
            wavelengths=chosen,
            phases=phases or 0,
            contrast=contrast or 0,
            priority=choice("priority", priority, PRIORITIES),
        )
        return Tuning.read(self._caller.unary(self._interpret.MeasureTuning, request, timeout))

    def activations(
        self,
        image: One,
        layer: str,
        k: int | None = None,
        *,
        all_units: bool = False,
        order: ActivationOrderName = "peak",
        timeout: float | None = None,
    ) -> Activations:
        """The feature maps of a layer, or of "logits", for one image, strongest units first.

        image: as for `classify`, but one; k: units listed and drawn, 1 to 4096 (server's default
        16); all_units: `maps` holds the whole layer, in its own order; order: by the largest
        activation ("peak"), the "mean" or the largest "magnitude" over positions. Raises
        LayerNotFound, InvalidArgument, BadImage.
        """
        from striate.results.activations import Activations

        at_least(1, k=k)
        batch = as_batch(image)
        if len(batch) != 1:
            raise invalid("image", f"must be one image, are {len(batch)}")
        request = filters_pb2.GetActivationsRequest(
            model=self.info.name,
            image=batch.part(range(1)),
            layer=layer,
            k=k or 0,
            all_units=all_units,
            order=choice("order", order, _ACTIVATION_ORDERS),
        )
        return Activations.read(
            self._caller.unary(self._interpret.GetActivations, request, timeout)
        )
