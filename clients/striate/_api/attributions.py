"""How much every pixel has to do with a class or a unit: the part of a model's handle that asks for
attributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from striate._requests.attack import PRIORITIES, SEEDS, PriorityName
from striate._rpc.batching import check_count, send
from striate._rpc.checks import at_least, choice, number, whole
from striate.errors import invalid
from striate.images import Batch, as_batch
from striate.labels import Labels, as_indices
from striate.results.attributions import Attributions
from striate.v1 import attribution_pb2 as pb

if TYPE_CHECKING:
    from striate._rpc.caller import Caller
    from striate.images import Images
    from striate.results.models import ModelInfo
    from striate.v1 import interpret_pb2_grpc

AttributionName = Literal[
    "saliency",
    "input-x-gradient",
    "integrated-gradients",
    "smooth-grad",
    "guided-backprop",
    "deep-lift",
    "grad-cam",
    "guided-grad-cam",
    "occlusion",
    "lrp",
]
METHODS: dict[str, pb.AttributionMethod.ValueType] = {
    "saliency": pb.ATTRIBUTION_METHOD_SALIENCY,
    "input-x-gradient": pb.ATTRIBUTION_METHOD_INPUT_X_GRADIENT,
    "integrated-gradients": pb.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    "smooth-grad": pb.ATTRIBUTION_METHOD_SMOOTH_GRAD,
    "guided-backprop": pb.ATTRIBUTION_METHOD_GUIDED_BACKPROP,
    "deep-lift": pb.ATTRIBUTION_METHOD_DEEP_LIFT,
    "grad-cam": pb.ATTRIBUTION_METHOD_GRAD_CAM,
    "guided-grad-cam": pb.ATTRIBUTION_METHOD_GUIDED_GRAD_CAM,
    "occlusion": pb.ATTRIBUTION_METHOD_OCCLUSION,
    "lrp": pb.ATTRIBUTION_METHOD_LRP,
}
_MOST = 64  # images of one request
_PNG_BYTES = 6.5  # of the two pictures of a pixel, where they cannot be packed


class Attributing:
    """The attributions of one model."""

    _caller: Caller
    _interpret: interpret_pb2_grpc.InterpretServiceStub
    info: ModelInfo

    def attribute(
        self,
        images: Images,
        method: AttributionName = "integrated-gradients",
        target: Labels | None = None,
        *,
        unit: str | None = None,
        steps: int | None = None,
        samples: int | None = None,
        noise: float | None = None,
        baseline: float | None = None,
        window: int | None = None,
        stride: int | None = None,
        layer: str | None = None,
        seed: int = 0,
        opacity: float = 0.6,
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Attributions:
        """How much every pixel of the images has to do with a class, or with a unit.

        images: see `striate.images.as_batch`; target: the class to be explained, index or name, one
        for all or one an image, or None for the network's own prediction; unit: "layer:unit",
        "layer:unit@row,column" or "layer:unit@center" instead of a class; steps: of integrated
        gradients, 1 to 1000 (None: 50); samples, noise: copies that SmoothGrad takes, 1 to 1000
        (25), and the standard deviation of their noise (0.15); baseline: pixel value in [0, 1]
        where integrated gradients and DeepLift begin (0, black) and that occlusion covers with
        (0.5); window, stride: of occlusion, in pixels (an eighth of the image, half the window);
        layer: of Grad-CAM (the last one with rows and columns); seed: of SmoothGrad's noise;
        opacity: of the heat map over the image, 0 to 1; deterministic: gradients do not depend on
        what else the server does; priority: None for interactive. A setting of another method, but
        for the seed, is refused. Many images go in parts, with the same result. Raises
        LayerNotFound, InvalidArgument, BadImage, and FailedPrecondition where a method cannot be
        right on this network.
        """
        if unit is not None and target is not None:
            raise invalid("unit", "must not be given with target")
        at_least(1, steps=steps, samples=samples, window=window, stride=stride)
        common = pb.AttributeRequest(
            model=self.info.name,
            method=choice("method", method, METHODS),
            unit=unit or "",
            steps=steps or 0,
            samples=samples or 0,
            noise=0.0 if noise is None else number("noise", noise, 1e-6, 1.0),
            baseline=None if baseline is None else number("baseline", baseline, 0.0, 1.0),
            window=window or 0,
            stride=stride or 0,
            layer=layer or "",
            seed=whole("seed", seed, 0, SEEDS),
            overlay_opacity=number("opacity", opacity, 0.0, 1.0),
            deterministic=deterministic,
            priority=choice("priority", priority, PRIORITIES),
        )
        batch = as_batch(images)
        classes = as_indices(target, len(batch), self.info.classes, "target")
        spans = self._attribution_spans(batch, deterministic)
        parts, provenance = send(
            self._caller,
            self._interpret.Attribute,
            spans,
            partial(_request, common, batch, classes),
            timeout,
        )
        check_count(sum(len(part.images) for part in parts), len(batch))
        return Attributions.read(parts, provenance, method)

    def _attribution_spans(self, batch: Batch, whole_groups: bool) -> list[range]:
        """The rows of each request: at most 64, and as many as fit a message with their maps and
        pictures.
        """
        height, width = self.info.input_size
        spans = batch.spans(
            int((4 * self.info.channels + _PNG_BYTES) * height * width), whole_groups
        )
        return [
            range(low, min(low + _MOST, span.stop))
            for span in spans
            for low in range(span.start, span.stop, _MOST)
        ]


def _request(
    common: pb.AttributeRequest, batch: Batch, classes: Sequence[int], rows: range
) -> pb.AttributeRequest:
    """The request for some rows of a batch."""
    request = pb.AttributeRequest(
        images=batch.part(rows), classes=classes[rows.start : rows.stop], first_image=rows.start
    )
    request.MergeFrom(common)
    return request
