"""What pictures are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from striate._requests.objective import objective_message
from striate._requests.picture_settings import PictureOptions, PictureSettings
from striate._rpc.checks import at_least, choice, number, optional_whole, positive, whole
from striate.errors import invalid
from striate.images import as_batch_of
from striate.objective import Objective, Unit, as_objective
from striate.v1 import dossier_pb2
from striate.v1 import visualize_pb2 as pb

if TYPE_CHECKING:
    from striate.images import Images
    from striate.objective.expression import FormName
    from striate.results.models import Layer
    from striate.results.visualization import Progress

_FORMS: dict[FormName, pb.UnitForm.ValueType] = {
    "value": pb.UNIT_FORM_UNSPECIFIED,
    "neg": pb.UNIT_FORM_NEG,
    "abs": pb.UNIT_FORM_ABS,
}


class VisualizeOptions(PictureOptions, total=False):
    """The keyword arguments of Model.visualize besides `variants`, as type checkers want them."""

    diversity: str | tuple[str, float] | None
    start: Images | None
    dataset: str | None
    preview_every: int
    include_tensor: bool
    on_progress: Callable[[Progress], object] | None
    timeout: float | None


def visualize_request(
    model: str,
    objectives: Sequence[str | Objective],
    *,
    variants: int | None,
    diversity: str | tuple[str, float] | None = None,
    start: Images | None = None,
    dataset: str | None = None,
    preview_every: int = 0,
    include_tensor: bool = False,
    **settings: Any,
) -> pb.VisualizeRequest:
    """Makes the request of Model.visualize, whose arguments it takes.

    Returns:
        The request.

    Raises:
        InvalidArgument: A value is out of its range.
        OSError: The path of an image cannot be read.
    """
    request = pb.VisualizeRequest(
        model=model, settings=PictureSettings(**settings).message(dataset)
    )
    _add_objectives(request, objectives)
    if variants is not None:
        request.variants = whole("variants", variants, 1, 16)
    if diversity is not None:
        request.diversity.CopyFrom(_diversity(diversity, request.variants))
    if start is not None:
        batch = as_batch_of(sorted({1, len(objectives)}), start, "start")
        request.start.CopyFrom(batch.message(range(len(batch))))
    at_least(0, preview_every=preview_every)
    request.preview_every, request.include_tensor = preview_every, include_tensor
    return request


def layer_request(
    model: str,
    layers: Sequence[Layer],
    layer: str,
    units: range | None,
    form: FormName,
    sheet: bool,
    dataset: str | None,
    settings: PictureSettings,
) -> pb.VisualizeLayerRequest:
    """Makes the request of Model.visualize_layer, whose arguments it takes.

    Args:
        model: Name of the model.
        layers: The model's layers.
        layer: Name of the layer.
        units: The units, None for all.
        form: What of every unit is maximized.
        sheet: End with one picture of all.
        dataset: Data set of the certificates, or None.
        settings: How every picture is made.

    Returns:
        The request.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    if units is not None and (
        not isinstance(units, range) or units.step != 1 or not units or units.start < 0
    ):
        raise invalid(
            "units", f"must be a range that rises by 1, such as range(16, 32), is {units!r}"
        )
    known = next((one.output_shape[0] for one in layers if one.name == layer), None)
    if units and known and units.stop > known:
        raise invalid(
            "units", f"of {layer} are 0 to {known - 1}, not {units.start} to {units.stop - 1}"
        )
    return pb.VisualizeLayerRequest(
        model=model,
        settings=settings.message(dataset),
        layer=layer,
        first_unit=units.start if units else 0,
        unit_count=len(units) if units else 0,
        sheet=sheet,
        form=choice("form", form, _FORMS),
    )


def facets_request(
    model: str,
    unit: str,
    dataset: str,
    exemplars: int | None,
    facets: int | None,
    by_layer: str | None,
    settings: PictureSettings,
) -> pb.FindFacetsRequest:
    """Makes the request of Model.facets, whose arguments it takes.

    Returns:
        The request.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    return pb.FindFacetsRequest(
        model=model,
        settings=settings.message(dataset),
        unit=unit,
        dataset=dataset,
        exemplars=optional_whole("exemplars", exemplars, 2, 100),
        facets=optional_whole("facets", facets, 1, 8),
        by_layer=by_layer or "",
    )


def dossier_request(
    model: str,
    unit: str,
    dataset: str,
    *,
    pictures: int | None,
    exemplars: int | None,
    images: int | None,
    epsilon: float | None,
    attack_steps: int | None,
    facets: bool,
    settings: PictureSettings,
) -> dossier_pb2.CompileDossierRequest:
    """Makes the request of Model.dossier, whose arguments it takes.

    Returns:
        The request.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    positive(epsilon=epsilon)
    return dossier_pb2.CompileDossierRequest(
        model=model,
        settings=settings.message(dataset),
        unit=unit,
        dataset=dataset,
        pictures=optional_whole("pictures", pictures, 1, 4),
        exemplars=optional_whole("exemplars", exemplars, 1, 36),
        images=optional_whole("images", images, 1, 512),
        epsilon=0 if epsilon is None else number("epsilon", epsilon, 0, 1),
        attack_steps=optional_whole("attack_steps", attack_steps, 1, 1000),
        facets=facets,
    )


def _add_objectives(request: pb.VisualizeRequest, objectives: Sequence[Objective | str]) -> None:
    """Writes the objectives into the request, as plain strings where each is a single unit."""
    at_least(1, objectives=len(objectives))
    found = [as_objective(one) for one in objectives]
    if all(isinstance(one, Unit) for one in found):
        request.objectives.extend(map(repr, found))
    else:
        request.composed.extend(map(objective_message, found))


def _diversity(diversity: str | tuple[str, float], variants: int) -> pb.Diversity:
    """The message of "layer" or ("layer", weight)."""
    if variants < 2:
        raise invalid("diversity", "pushes the variants of an objective apart: ask for at least 2")
    layer, weight = (diversity, None) if isinstance(diversity, str) else diversity
    positive(diversity=weight)
    return pb.Diversity(layer=layer, weight=weight or 0)
