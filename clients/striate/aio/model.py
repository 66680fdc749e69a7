"""The handle on one model, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from striate._api.visualizations import layer_call, visualize_call
from striate.aio.awaited import Twin, awaited
from striate.aio.pictures import AsyncLayerPictures, PictureStream
from striate.model import Model

if TYPE_CHECKING:
    from striate._api.context import ModelContext
    from striate._api.visualizations import Several
    from striate._requests.picture_settings import PictureOptions
    from striate._requests.visualize import VisualizeOptions
    from striate._rpc.loop_caller import LoopCaller
    from striate.objective import Objective
    from striate.objective.expression import FormName
    from striate.results.models import Layer, ModelInfo


class AsyncModel(Twin[Model]):
    """One loaded model, see striate.Model, whose arguments, results and errors these methods have.

    Attributes:
        info: What the model is.
        layers: Its layers in the order of the forward pass.
    """

    classify = awaited(Model.classify)
    facets = awaited(Model.facets)
    dossier = awaited(Model.dossier)
    filters = awaited(Model.filters)
    tuning = awaited(Model.tuning)
    activations = awaited(Model.activations)
    exemplars = awaited(Model.exemplars)
    statistics = awaited(Model.statistics)
    attribute = awaited(Model.attribute)
    attack = awaited(Model.attack)
    epsilon_curve = awaited(Model.epsilon_curve)

    def __init__(self, context: ModelContext, caller: LoopCaller) -> None:
        super().__init__(Model(context), caller)
        self._context = context
        self.info: ModelInfo = context.info
        self.layers: list[Layer] = context.layers

    def __repr__(self) -> str:
        return f"Async{self._handle!r}"

    @property
    def name(self) -> str:
        """The name by which requests call it."""
        return self.info.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.info.classes

    def visualize(
        self,
        objectives: str | Objective | Several,
        *,
        variants: int | None = None,
        **options: Unpack[VisualizeOptions],
    ) -> PictureStream:
        """Makes the pictures of one objective or several; the work begins with the first event.

        Args:
            objectives: As for Model.visualize, but for whole layers.
            variants: Pictures of each objective, None for one.
            options: As for Model.visualize, but for `on_progress`.

        Returns:
            The pictures' way: iterate over it, or await it for the pictures.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        settings: dict[str, Any] = {**options}
        timeout = settings.pop("timeout", None)
        request, expected = visualize_call(self._context, objectives, variants, settings)
        events = self._caller.listen(self._context.interpret.Visualize, request, timeout)
        return PictureStream(events, expected)

    def visualize_layer(
        self,
        layer: str,
        *,
        units: range | None = None,
        form: FormName = "value",
        sheet: bool = False,
        dataset: str | None = None,
        timeout: float | None = None,
        **options: Unpack[PictureOptions],
    ) -> AsyncLayerPictures:
        """Makes the pictures of a layer's units, or finds those that the server has kept; the work
        begins with the first.

        Args:
            layer: Its name.
            units: Some of its units, None for all.
            form: "value", "neg" for minus every unit or "abs" for its magnitude.
            sheet: Whether the server ends with all pictures as one, which is not kept here.
            dataset: Compare with its index, None for one that the server has.
            timeout: Seconds for all of it, None for the connection's default.
            options: How pictures are made, as for Model.visualize.

        Returns:
            The pictures, as they are done.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        from striate.results.layer_pictures import LayerPictures

        request = layer_call(self._context, layer, units, form, sheet, dataset, options)
        events = self._caller.listen(self._context.interpret.VisualizeLayer, request, timeout)
        return AsyncLayerPictures(LayerPictures(layer, None, sheet, form), events)
