"""The handle on one model: what its units see; what fools it is in `fooling`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, overload

from striate.attack_request import PRIORITIES, PriorityName
from striate.call import Caller
from striate.checks import at_least, choice, positive
from striate.errors import Internal
from striate.exemplars import Exemplars
from striate.fooling import Fooling
from striate.images import as_batch
from striate.info import Layer, ModelInfo
from striate.parts import check_count, send
from striate.results import Classifications, Filters, Prediction, Progress, Visualization, Visualizations
from striate.v1 import exemplars_pb2, filters_pb2, interpret_pb2, interpret_pb2_grpc, model_pb2, robustness_pb2_grpc, visualize_pb2

if TYPE_CHECKING:
    from striate.images import Images

_SCALES = {"filter": filters_pb2.FILTER_SCALE_PER_FILTER, "global": filters_pb2.FILTER_SCALE_GLOBAL}
_PREDICTION_BYTES = 16  # of one prediction on the wire beside its label


class VisualizeOptions(TypedDict, total=False):
    """The settings of Model.visualize, whose description they share."""

    steps: int | None
    learning_rate: float | None
    seed: int
    size: int | None
    transforms: bool
    preview_every: int
    deterministic: bool
    priority: PriorityName | None
    on_progress: Callable[[Progress], object] | None
    timeout: float | None


class Model(Fooling):
    """One loaded model. Every call takes `timeout` in seconds (None: the connection's), raises a StriateError, and on Ctrl-C is
    cancelled on the server too."""

    def __init__(self, caller: Caller, description: model_pb2.GetModelResponse) -> None:
        self._caller = caller
        self._interpret = interpret_pb2_grpc.InterpretServiceStub(caller.channel)
        self._robustness = robustness_pb2_grpc.RobustnessServiceStub(caller.channel)
        self.info = ModelInfo.read(description.model)
        self.layers = [Layer.read(layer) for layer in description.layers]  # in the order of the forward pass

    def __repr__(self) -> str:
        height, width = self.input_size
        return f"Model({self.name!r}, {self.info.channels}x{height}x{width}, {len(self.layers)} layers, {len(self.classes)} classes)"

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.info.name

    @property
    def input_size(self) -> tuple[int, int]:
        """Input height and width in pixels."""
        return self.info.input_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.info.classes

    def classify(self, images: Images, k: int = 5, *, timeout: float | None = None) -> Classifications:
        """The k most probable classes of every image (a single image too gives a list of one).

        images: see `striate.images.as_batch`. Raises InvalidArgument, BadImage.
        """
        at_least(1, k=k)
        batch = as_batch(images)
        longest = max((len(name.encode()) for name in self.classes), default=0)
        spans = batch.spans(min(k, len(self.classes) or k) * (longest + _PREDICTION_BYTES))

        def request(rows: range) -> interpret_pb2.ClassifyRequest:
            return interpret_pb2.ClassifyRequest(model=self.name, images=batch.part(rows), k=k)

        parts, provenance = send(self._caller, self._interpret.Classify, spans, request, timeout)
        found = [[Prediction(p.label, p.index, p.probability) for p in image.predictions] for part in parts for image in part.images]
        check_count(len(found), len(batch))
        return Classifications(found, provenance)

    @overload
    def visualize(self, objectives: str, **options: Unpack[VisualizeOptions]) -> Visualization: ...
    @overload
    def visualize(self, objectives: list[str] | tuple[str, ...], **options: Unpack[VisualizeOptions]) -> Visualizations: ...
    def visualize(
        self,
        objectives: str | list[str] | tuple[str, ...],
        *,
        steps: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        size: int | None = None,
        transforms: bool = True,
        preview_every: int = 0,
        deterministic: bool = False,
        priority: PriorityName | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        timeout: float | None = None,
    ) -> Visualization | Visualizations:
        """The picture that an objective likes best, or for a list of up to 64 the list of theirs, optimized as one batch.

        objectives: "layer:unit", "layer:unit@row,column", "layer" or "logits:class"; steps: 1 to 4096 (server's default 256);
        learning_rate: above 0 to 1 (0.05); seed: picks start and transforms; size: picture height and width, 16 to 1024 pixels (the
        network's); transforms: optimize under random jitter, rotation and scale; preview_every: pictures of every so many steps in
        `on_progress`; deterministic: the result does not depend on what else the server does; priority: None for interactive;
        on_progress: called with a Progress as steps are done. Raises LayerNotFound, InvalidArgument, NotFinite.
        """
        names = [objectives] if isinstance(objectives, str) else list(objectives)
        at_least(1, objectives=len(names), steps=steps, size=size)
        at_least(0, seed=seed, preview_every=preview_every)
        positive(learning_rate=learning_rate)
        request = visualize_pb2.VisualizeRequest(
            model=self.name,
            objectives=names,
            steps=steps or 0,
            learning_rate=learning_rate or 0,
            seed=seed,
            size=size or 0,
            without_transforms=not transforms,
            preview_every=preview_every,
            deterministic=deterministic,
            priority=choice("priority", priority, PRIORITIES),
        )
        found = self._run_visualize(request, on_progress, timeout)
        return found[0] if isinstance(objectives, str) else found

    def _run_visualize(
        self, request: visualize_pb2.VisualizeRequest, on_progress: Callable[[Progress], object] | None, timeout: float | None
    ) -> Visualizations:
        with closing(self._caller.stream(self._interpret.Visualize, request, timeout)) as events:
            for event in events:
                if event.HasField("result"):
                    found = Visualizations.read(event.result)
                    check_count(len(found), len(request.objectives))
                    return found
                if on_progress is not None:
                    on_progress(Progress.read(event.progress))
        raise Internal("the server ended a visualization without a result")

    def filters(
        self, layer: str | None = None, scale: Literal["filter", "global"] = "filter", zoom: int = 0, *, timeout: float | None = None
    ) -> Filters:
        """The weights of a convolution (the first one by default), exact and as a picture.

        scale: each "filter" in its own range, or one "global" range; zoom: pixels a weight, 1 to 32, 0 picks one.
        Raises LayerNotFound, InvalidArgument.
        """
        at_least(0, zoom=zoom)
        request = filters_pb2.RenderFiltersRequest(model=self.name, layer=layer or "", scale=choice("scale", scale, _SCALES), zoom=zoom)
        return Filters.read(self._caller.unary(self._interpret.RenderFilters, request, timeout))

    def exemplars(self, unit: str, k: int = 9, *, dataset: str, timeout: float | None = None) -> Exemplars:
        """The k images of a data set on which a unit ("layer:unit") is most active, highest first.

        Raises IndexNotFound if `Service.build_index` has not run for that layer, LayerNotFound, DatasetNotFound.
        """
        at_least(1, k=k)
        request = exemplars_pb2.FindExemplarsRequest(model=self.name, unit=unit, dataset=dataset, k=k)
        return Exemplars.read(self._caller.unary(self._interpret.FindExemplars, request, timeout))
