"""What units see, as pictures: the part of a model's handle that asks for visualizations, facets
and dossiers.

What only these calls need is imported where they are made: `import striate` stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Unpack, overload

from striate._requests.expression import whole_layer
from striate._rpc.batching import check_count
from striate._rpc.checks import at_least, number, positive, whole
from striate.errors import Internal, invalid
from striate.v1 import dossier_pb2, visualize_pb2

if TYPE_CHECKING:
    from striate._requests.picture_options import PictureOptions, VisualizeOptions
    from striate._rpc.caller import Caller
    from striate.images import Images
    from striate.objective import Objective, Unit
    from striate.results.dossier import Dossier
    from striate.results.facets import Facets
    from striate.results.layer_pictures import LayerPictures
    from striate.results.models import Layer, ModelInfo
    from striate.results.visualization import Progress, Visualization, Visualizations
    from striate.v1 import interpret_pb2_grpc

    Several = (
        list[str]
        | list[Objective]
        | list[Unit]
        | list[str | Objective]
        | tuple[str | Objective, ...]
    )


class Visualizing:
    """The pictures of one model."""

    _caller: Caller
    _interpret: interpret_pb2_grpc.InterpretServiceStub
    info: ModelInfo
    layers: list[Layer]

    @overload
    def visualize(
        self,
        objectives: str | Objective,
        *,
        variants: None = None,
        **options: Unpack[VisualizeOptions],
    ) -> Visualization: ...
    @overload
    def visualize(
        self, objectives: str | Objective, *, variants: int, **options: Unpack[VisualizeOptions]
    ) -> Visualizations: ...
    @overload
    def visualize(
        self,
        objectives: Several,
        *,
        variants: int | None = None,
        **options: Unpack[VisualizeOptions],
    ) -> Visualizations: ...
    def visualize(
        self,
        objectives: str | Objective | Several,
        *,
        variants: int | None = None,
        diversity: str | tuple[str, float] | None = None,
        start: Images | None = None,
        dataset: str | None = None,
        preview_every: int = 0,
        include_tensor: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> Visualization | Visualizations | LayerPictures:
        """The picture that an objective likes best, or for a list of up to 64 the list of theirs,
        optimized as one batch.

        objectives: "layer:unit", "layer:unit@row,column", "layer:unit@center", "layer" or
        "logits:class", a sum of them such as "layer:7 - 0.5*layer:8", or what striate.Unit,
        Direction and Like compose to; "layer:*" and "layer:16-31" give what `visualize_layer` does;
        variants: so many pictures an objective, 1 to 16, which makes the result a list; diversity:
        a layer, or (layer, weight), in which variants are pushed apart; start: begin at these
        images, one or one an objective; dataset: whose maxima certificates compare with (that with
        the most indexed images); preview_every: pictures of every so many steps in `on_progress`;
        include_tensor: also exact pixels; on_progress: called with a Progress as steps are done.

        steps: 1 to 4096 (server's default 256); learning_rate: above 0 to 1 (0.1, or 0.02 with
        start); seed: picks start and transforms; size: picture height and width, 16 to 1024 pixels
        (the network's); transforms: True for random jitter, rotation and scale, False for none, or
        a sequence of views of striate.view; parameterization: of striate.space (Fourier); alpha:
        also optimize transparency; regularizers: of striate.regularize; seeds: optimize from so
        many more, 0 to 16, for the certificate; retries: so often again where a picture is dead or
        below the data set's maximum, 0 to 8 (2); deterministic: the result does not depend on what
        else the server does; priority: None for interactive. Raises LayerNotFound, InvalidArgument,
        NotFinite, IndexNotFound.
        """
        from striate.objective import Objective

        layer = whole_layer(objectives)
        if layer is not None:
            own = (
                variants,
                diversity,
                start,
                preview_every or None,
                include_tensor or None,
                on_progress,
            )
            if any(value is not None for value in own):
                words = "variants, diversity, start, preview_every, include_tensor and on_progress"
                raise invalid("objectives", f"a whole layer goes without {words}")
            return self.visualize_layer(
                layer[0], units=layer[1], dataset=dataset, timeout=timeout, **settings
            )
        one = isinstance(objectives, str | Objective)
        several = [objectives] if isinstance(objectives, str | Objective) else list(objectives)
        request = self._visualize_request(several, variants, diversity, start, dataset, settings)
        at_least(0, preview_every=preview_every)
        request.preview_every, request.include_tensor = preview_every, include_tensor
        found = self._run_visualize(request, on_progress, timeout)
        return found[0] if one and variants is None else found

    def visualize_layer(
        self,
        layer: str,
        *,
        units: range | None = None,
        sheet: bool = True,
        dataset: str | None = None,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> LayerPictures:
        """The pictures of every unit of a layer, or of `units`, as they finish: go through the
        result, or ask for its `sheet`.

        The server keeps finished units, also over a restart. sheet: end with one picture of all;
        all else as in `visualize`. Raises InvalidArgument, and while iterating LayerNotFound,
        NotFinite, IndexNotFound.
        """
        from striate._requests.visualize import Settings
        from striate.results.layer_pictures import LayerPictures

        if units is not None and (
            not isinstance(units, range) or units.step != 1 or not units or units.start < 0
        ):
            raise invalid(
                "units", f"must be a range that rises by 1, such as range(16, 32), is {units!r}"
            )
        known = next((one.output_shape[0] for one in self.layers if one.name == layer), None)
        if units and known and units.stop > known:
            raise invalid(
                "units", f"of {layer} are 0 to {known - 1}, not {units.start} to {units.stop - 1}"
            )
        request = visualize_pb2.VisualizeLayerRequest(
            model=self.info.name,
            settings=Settings(**settings).message(dataset),
            layer=layer,
            first_unit=units.start if units else 0,
            unit_count=len(units) if units else 0,
            sheet=sheet,
        )
        return LayerPictures(
            layer, self._caller.stream(self._interpret.VisualizeLayer, request, timeout), sheet
        )

    def facets(
        self,
        unit: str,
        *,
        dataset: str,
        exemplars: int | None = None,
        facets: int | None = None,
        by_layer: str | None = None,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> Facets:
        """The different things that a unit ("layer:unit") sees: its exemplars clustered, and a
        picture begun at each cluster.

        dataset: with an index of the layer; exemplars: so many of the strongest are clustered, 2 to
        100 (the index's k); facets: clusters, 1 to 8, None for as many as separate best; by_layer:
        whose mean activations are clustered (the layer before the unit's); all else as in
        `visualize`. Raises IndexNotFound, LayerNotFound, DatasetNotFound, InvalidArgument.
        """
        from striate._requests.visualize import Settings
        from striate.results.facets import Facets

        request = visualize_pb2.FindFacetsRequest(
            model=self.info.name,
            settings=Settings(**settings).message(dataset),
            unit=unit,
            dataset=dataset,
            exemplars=0 if exemplars is None else whole("exemplars", exemplars, 2, 100),
            facets=0 if facets is None else whole("facets", facets, 1, 8),
            by_layer=by_layer or "",
        )
        return Facets.read(self._caller.unary(self._interpret.FindFacets, request, timeout), unit)

    def dossier(
        self,
        unit: str,
        *,
        dataset: str,
        pictures: int | None = None,
        exemplars: int | None = None,
        images: int | None = None,
        epsilon: float | None = None,
        attack_steps: int | None = None,
        facets: bool = False,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> Dossier:
        """One unit ("layer:unit") on one page.

        dataset: with an index of the layer; pictures: from different seeds, 1 to 4 (server's
        default 1); exemplars: 1 to 36 (9); images: of the data set that ablation and PGD are run
        on, 1 to 512 (64); epsilon: of PGD in Linf, above 0 to 1 (8/255); attack_steps: its steps, 1
        to 1000 (10); facets: also find them; all else as in `visualize`. Raises IndexNotFound,
        LayerNotFound, DatasetNotFound, InvalidArgument.
        """
        from striate._requests.visualize import Settings
        from striate.results.dossier import Dossier

        positive(epsilon=epsilon)
        request = dossier_pb2.CompileDossierRequest(
            model=self.info.name,
            settings=Settings(**settings).message(dataset),
            unit=unit,
            dataset=dataset,
            pictures=0 if pictures is None else whole("pictures", pictures, 1, 4),
            exemplars=0 if exemplars is None else whole("exemplars", exemplars, 1, 36),
            images=0 if images is None else whole("images", images, 1, 512),
            epsilon=0 if epsilon is None else number("epsilon", epsilon, 0, 1),
            attack_steps=0
            if attack_steps is None
            else whole("attack_steps", attack_steps, 1, 1000),
            facets=facets,
        )
        return Dossier.read(self._caller.unary(self._interpret.CompileDossier, request, timeout))

    def _visualize_request(
        self,
        objectives: list[str | Objective],
        variants: int | None,
        diversity: str | tuple[str, float] | None,
        start: Images | None,
        dataset: str | None,
        settings: PictureOptions,
    ) -> visualize_pb2.VisualizeRequest:
        from striate._requests.visualize import (
            Settings,
            add_objectives,
            add_start,
            diversity_message,
        )

        request = visualize_pb2.VisualizeRequest(
            model=self.info.name, settings=Settings(**settings).message(dataset)
        )
        add_objectives(request, objectives)
        if variants is not None:
            request.variants = whole("variants", variants, 1, 16)
        if diversity is not None:
            request.diversity.CopyFrom(diversity_message(diversity, request.variants))
        add_start(request, start, len(objectives))
        return request

    def _run_visualize(
        self,
        request: visualize_pb2.VisualizeRequest,
        on_progress: Callable[[Progress], object] | None,
        timeout: float | None,
    ) -> Visualizations:
        from striate.results.visualization import Progress, Visualizations

        expected = (len(request.objectives) or len(request.composed)) * (request.variants or 1)
        with closing(self._caller.stream(self._interpret.Visualize, request, timeout)) as events:
            for event in events:
                if event.HasField("result"):
                    found = Visualizations.read(event.result)
                    check_count(len(found), expected)
                    return found
                if on_progress is not None:
                    on_progress(Progress.read(event.progress))
        raise Internal("the server ended a visualization without a result")
