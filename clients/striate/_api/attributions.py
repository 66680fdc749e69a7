"""Attributions: how much every pixel has to do with a class or a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from striate._requests.priority import PriorityName, priority_value
from striate._rpc.batching import check_count, send
from striate._rpc.checks import at_least, choice, number, seed_value
from striate.errors import invalid
from striate.images import Batch, as_batch, naming
from striate.images.labels import Labels, as_indices
from striate.results.attributions import Attributions
from striate.v1 import attribution_pb2 as pb

if TYPE_CHECKING:
    from striate._api.context import ModelContext
    from striate.images import Images

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
CompositeName = Literal[
    "epsilon",
    "gamma",
    "alpha-beta",
    "epsilon-plus",
    "epsilon-plus-flat",
    "epsilon-gamma-box",
    "epsilon-alpha2-beta1",
    "epsilon-alpha2-beta1-flat",
]
METHODS: dict[str, pb.AttributionMethod.ValueType] = {
    name: pb.AttributionMethod.Value(f"ATTRIBUTION_METHOD_{name.upper().replace('-', '_')}")
    for name in get_args(AttributionName)
}
COMPOSITES: dict[str, pb.LrpComposite.ValueType] = {
    name: pb.LrpComposite.Value(f"LRP_COMPOSITE_{name.upper().replace('-', '_')}")
    for name in get_args(CompositeName)
}
_MOST = 64  # images of one request
_PNG_BYTES = 6.5  # of the two pictures of a pixel, where they cannot be packed


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """What holds for every image of a request, see Model.attribute."""

    method: AttributionName
    unit: str | None
    steps: int | None
    samples: int | None
    noise: float | None
    baseline: float | None
    window: int | None
    stride: int | None
    layer: str | None
    composite: CompositeName | None
    epsilon: float | None
    gamma: float | None
    alpha: float | None
    seed: int
    opacity: float
    deterministic: bool
    priority: PriorityName | None

    def message(self, model: str) -> pb.AttributeRequest:
        """Makes the request without its images.

        Args:
            model: Name of the model.

        Returns:
            The request.

        Raises:
            InvalidArgument: A setting is out of its range.
        """
        at_least(1, steps=self.steps, samples=self.samples, window=self.window, stride=self.stride)
        noise = 0.0 if self.noise is None else number("noise", self.noise, 1e-6, 1.0)
        return pb.AttributeRequest(
            model=model,
            method=choice("method", self.method, METHODS),
            unit=self.unit or "",
            steps=self.steps or 0,
            samples=self.samples or 0,
            noise=noise,
            baseline=None if self.baseline is None else number("baseline", self.baseline, 0, 1),
            window=self.window or 0,
            stride=self.stride or 0,
            layer=self.layer or "",
            composite=pb.LRP_COMPOSITE_UNSPECIFIED
            if self.composite is None
            else choice("composite", self.composite, COMPOSITES),
            epsilon=_optional("epsilon", self.epsilon, 1e-12),
            gamma=_optional("gamma", self.gamma, 0),
            alpha=_optional("alpha", self.alpha, 1),
            seed=seed_value("seed", self.seed),
            overlay_opacity=number("opacity", self.opacity, 0, 1),
            deterministic=self.deterministic,
            priority=priority_value(self.priority),
        )


def _optional(name: str, value: float | None, least: float) -> float | None:
    """A setting of LRP's rules, checked."""
    return None if value is None else number(name, value, least, 1000)


def attribute(
    net: ModelContext,
    images: Images,
    target: Labels | None,
    settings: AttributionSettings,
    timeout: float | None,
) -> Attributions:
    """Measures how much every pixel has to do with a class or a unit, see Model.attribute.

    Args:
        net: The model, with its connection.
        images: One image or several, see `striate.images`.
        target: Classes by index or name, one each or one for all, None for the model's own
            predictions, or for the unit of the settings.
        settings: What holds for every image.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        A map an image, in their order.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    if settings.unit is not None and target is not None:
        raise invalid("unit", "must not be given with target")
    common = settings.message(net.info.name)
    batch = as_batch(images)
    with naming(batch.names):
        classes = as_indices(target, len(batch), net.info.classes, "target")

    def request(rows: range) -> pb.AttributeRequest:
        message = pb.AttributeRequest(
            images=batch.message(rows),
            classes=classes[rows.start : rows.stop],
            first_image=rows.start,
        )
        message.MergeFrom(common)
        return message

    spans = _spans(net, batch, settings.deterministic)
    with naming(batch.names):
        responses, provenance = send(net.caller, net.interpret.Attribute, spans, request, timeout)
    check_count(sum(len(response.images) for response in responses), len(batch))
    return Attributions.read(responses, provenance, settings.method)


def _spans(net: ModelContext, batch: Batch, whole_groups: bool) -> list[range]:
    """The rows of each message: at most 64, and as many as fit with their maps and pictures."""
    height, width = net.info.input_size
    reply_row = int((4 * net.info.channels + _PNG_BYTES) * height * width)
    return [
        range(low, min(low + _MOST, span.stop))
        for span in batch.spans(reply_row, whole_groups)
        for low in range(span.start, span.stop, _MOST)
    ]
