"""Pictures of what units of a model see.

What only these calls need is imported where they are made: `import striate` stays light.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from striate._rpc.batching import check_count
from striate.errors import Internal, invalid
from striate.images import names_of, naming

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate._api.context import ModelContext
    from striate._requests.picture_settings import PictureOptions
    from striate._requests.visualize import VisualizeOptions
    from striate.objective import Objective, Unit
    from striate.objective.expression import FormName, WholeLayer
    from striate.results.dossier import Dossier
    from striate.results.facets import Facets
    from striate.results.layer_pictures import LayerPictures
    from striate.results.visualization import Progress, Visualization, Visualizations
    from striate.v1 import visualize_pb2

    Several = (
        list[str]
        | list[Objective]
        | list[Unit]
        | list[str | Objective]
        | tuple[str | Objective, ...]
    )

# options of visualize that a whole layer goes without
_OF_SINGLE_PICTURES = ("diversity", "start", "preview_every", "include_tensor", "on_progress")


def visualize(
    net: ModelContext,
    objectives: str | Objective | Several,
    variants: int | None,
    options: VisualizeOptions,
) -> Visualization | Visualizations | LayerPictures:
    """Makes the pictures of one objective, of several, or of a whole layer, see Model.visualize.

    Args:
        net: The model, with its connection.
        objectives: One objective, several, or the units of a layer such as "layer2.0:*".
        variants: Pictures of each, None for one that stands for itself.
        options: The other arguments of Model.visualize.

    Returns:
        One picture, all of several, or those of a layer as they are done.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    from striate.objective import Objective
    from striate.objective.expression import whole_layer

    layer = whole_layer(objectives)
    if layer is not None:
        return _whole_layer(net, layer, variants, options)
    settings: dict[str, Any] = {**options}
    on_progress, timeout = settings.pop("on_progress", None), settings.pop("timeout", None)
    request, expected = visualize_call(net, objectives, variants, settings)
    with naming(names_of(settings.get("start"))):
        found = _run(net, request, expected, on_progress, timeout)
    return found[0] if isinstance(objectives, str | Objective) and variants is None else found


def visualize_call(
    net: ModelContext,
    objectives: str | Objective | Several,
    variants: int | None,
    settings: dict[str, Any],
) -> tuple[visualize_pb2.VisualizeRequest, int]:
    """Makes the request for the pictures of one objective or several.

    Args:
        net: The model, with its connection.
        objectives: One objective, or several.
        variants: Pictures of each, None for one.
        settings: The other arguments of Model.visualize, without `on_progress` and `timeout`.

    Returns:
        The request, and how many pictures answer it.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
    """
    from striate._requests.visualize import visualize_request
    from striate.objective import Objective

    several = [objectives] if isinstance(objectives, str | Objective) else list(objectives)
    request = visualize_request(net.info.name, several, variants=variants, **settings)
    count = len(request.objectives) or len(request.composed)
    return request, count * (request.variants or 1)


def visualize_layer(
    net: ModelContext,
    layer: str,
    units: range | None,
    form: FormName,
    sheet: bool,
    dataset: str | None,
    timeout: float | None,
    options: PictureOptions,
) -> LayerPictures:
    """Makes the pictures of a layer's units; the call begins with the first.

    Args:
        net: The model, with its connection.
        layer: Its name.
        units: Some of its units, None for all.
        sheet: With the sheet of all pictures at the end.
        dataset: Compare with its index, None for one that the server has.
        timeout: Seconds for all of it, None for the connection's default.
        options: How pictures are made.

    Returns:
        The pictures, as they are done.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    from striate.results.layer_pictures import LayerPictures

    request = layer_call(net, layer, units, form, sheet, dataset, options)
    responses = net.caller.stream(net.interpret.VisualizeLayer, request, timeout)
    return LayerPictures(layer, responses, sheet, form)


def layer_call(
    net: ModelContext,
    layer: str,
    units: range | None,
    form: FormName,
    sheet: bool,
    dataset: str | None,
    options: PictureOptions,
) -> visualize_pb2.VisualizeLayerRequest:
    """Makes the request for the pictures of a layer's units; the arguments are those of
    `visualize_layer`.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
    """
    from striate._requests.picture_settings import PictureSettings
    from striate._requests.visualize import layer_request

    settings = PictureSettings(**options)
    return layer_request(net.info.name, net.layers, layer, units, form, sheet, dataset, settings)


def facets(
    net: ModelContext,
    unit: str,
    dataset: str,
    exemplars: int | None,
    count: int | None,
    by_layer: str | None,
    timeout: float | None,
    options: PictureOptions,
) -> Facets:
    """Finds the different things that a unit sees, see Model.facets.

    Args:
        net: The model, with its connection.
        unit: "layer:unit".
        dataset: Its name, with an exemplar index.
        exemplars: That are grouped, None for the server's default.
        count: Of facets, None for the server's choice.
        by_layer: Layer by whose activations they are grouped, None for the server's choice.
        timeout: Seconds, None for the connection's default.
        options: How pictures are made.

    Returns:
        The facets.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    from striate._requests.picture_settings import PictureSettings
    from striate._requests.visualize import facets_request
    from striate.results.facets import Facets

    settings = PictureSettings(**options)
    request = facets_request(net.info.name, unit, dataset, exemplars, count, by_layer, settings)
    return Facets.read(net.caller.unary(net.interpret.FindFacets, request, timeout), unit)


def dossier(
    net: ModelContext,
    unit: str,
    dataset: str,
    timeout: float | None,
    options: PictureOptions,
    **counts: Any,
) -> Dossier:
    """Compiles one unit's page, see Model.dossier.

    Args:
        net: The model, with its connection.
        unit: "layer:unit".
        dataset: Its name, with an exemplar index.
        timeout: Seconds, None for the connection's default.
        options: How pictures are made.
        counts: The other arguments of Model.dossier.

    Returns:
        The page.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    from striate._requests.picture_settings import PictureSettings
    from striate._requests.visualize import dossier_request
    from striate.results.dossier import Dossier

    settings = PictureSettings(**options)
    request = dossier_request(net.info.name, unit, dataset, settings=settings, **counts)
    return Dossier.read(net.caller.unary(net.interpret.CompileDossier, request, timeout))


def _whole_layer(
    net: ModelContext,
    whole: WholeLayer,
    variants: int | None,
    options: VisualizeOptions,
) -> LayerPictures:
    """The pictures of "layer:*". Raises InvalidArgument for options of single pictures."""
    settings: dict[str, Any] = {**options}
    values = [settings.pop(name, None) for name in _OF_SINGLE_PICTURES]
    if variants is not None or any(_is_given(value) for value in values):
        *names, last = "variants", *_OF_SINGLE_PICTURES
        raise invalid("objectives", f"a whole layer goes without {', '.join(names)} and {last}")
    dataset, timeout = settings.pop("dataset", None), settings.pop("timeout", None)
    return visualize_layer(net, *whole, True, dataset, timeout, settings)  # type: ignore[arg-type]


def _is_given(value: object) -> bool:
    """Says whether an option is more than its default: None, False or 0."""
    return value is not None and not (isinstance(value, int) and value == 0)


def _run(
    net: ModelContext,
    request: visualize_pb2.VisualizeRequest,
    expected: int,
    on_progress: Callable[[Progress], object] | None,
    timeout: float | None,
) -> Visualizations:
    from striate.results.visualization import Progress, Visualizations

    found: Visualizations | None = None
    with closing(net.caller.stream(net.interpret.Visualize, request, timeout)) as responses:
        for response in responses:  # to the end, or the call would count as cancelled
            if response.HasField("result"):
                found = Visualizations.read(response.result)
                check_count(len(found), expected)
            elif on_progress is not None:
                on_progress(Progress.read(response.progress))
    if found is None:
        raise Internal("the server ended a visualization without a result")
    return found
