"""From a request for pictures to the procedure that makes them. Nothing is allocated before the
engine runs it.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from interp.feature.direction import Comparison, cosine, direction, dot, dot_cosine
from interp.feature.diversity import scaled_diversity
from interp.feature.likeness import Likeness, caricature, inversion, likeness, style
from interp.feature.visualize import VisualizationResult, visualize
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import Objective, activation
from interp.objective_batch import stack
from interp.probe import Procedure
from service.visualization.errors import UnfitObjective
from service.visualization.spec import (
    ComposedObjective,
    DirectionObjective,
    LikenessObjective,
    PictureRequest,
    Term,
)

_COMPARISONS: dict[str, Comparison] = {"dot": dot, "cosine": cosine, "dot_cosine": dot_cosine}


def picture_procedure(
    request: PictureRequest, network: Network, thresholds: Sequence[float] | None = None
) -> Procedure[VisualizationResult]:
    """Make the pictures of a request.

    Args:
        request: checked; the spectrum of its parameterization is known.
        network: whose units are shown.
        thresholds: one a picture, what its activation has to reach, NaN where that is unknown;
            None: unknown everywhere.

    Returns:
        One picture an objective, on the host.

    Raises:
        UnfitObjective: A layer is 0 everywhere on an image that pictures are to be like.
    """
    like = torch.zeros((), device=network.device, dtype=network.dtype)
    objective = yield from _objective(request.objectives, like)
    auxiliary = None
    if request.diversity is not None:
        groups = torch.arange(len(request.objectives), device=like.device) // request.variants
        layer, weight = request.diversity.layer, request.diversity.weight
        auxiliary = scaled_diversity(objective, layer, groups, weight)
    bounds = None
    if thresholds is not None:
        bounds = torch.tensor(thresholds, device=like.device, dtype=like.dtype)
    result = yield from visualize(
        objective,
        request.seeded_rows,
        like,
        request.settings,
        thresholds=bounds,
        units=[each.unit for each in request.objectives],
        auxiliary=auxiliary,
        init_images=_init_images(request),
    )
    return result.cpu()


def _init_images(request: PictureRequest) -> Tensor | None:
    """The images to start at, one for all or one a picture."""
    images = request.init_images
    if images is None or len(images) == 1:
        return images
    return images.repeat_interleave(len(request.objectives) // len(images), 0)


def _objective(objectives: Sequence[ComposedObjective], like: Tensor) -> Procedure[Objective]:
    """One row an objective; units alone are scored together, whatever their number."""
    paths = [objective.path for objective in objectives]
    if all(path is not None for path in paths):
        return activation([path for path in paths if path is not None], like.device)
    rows = []
    for objective in objectives:
        rows.append((yield from _sum(objective, like)))
    return stack(rows)


def _sum(objective: ComposedObjective, like: Tensor) -> Procedure[Objective]:
    """The weighted sum of an objective's terms, one row."""
    total = None
    for term in objective.terms:
        score = yield from _term(term, like)
        score = score if term.weight == 1 else score * term.weight
        total = score if total is None else total + score
    assert total is not None
    return total


def _term(term: Term, like: Tensor) -> Procedure[Objective]:
    """A term without its weight, one row."""
    match term.kind:
        case LayerPath():
            return activation([term.kind], like.device)
        case DirectionObjective(layer, vector, comparison, power, position):
            return direction(
                layer, vector[None].to(like), _COMPARISONS[comparison], power, position
            )
        case LikenessObjective(layer, image, kind, power):
            kinds: dict[str, Likeness] = {
                "inversion": inversion,
                "caricature": partial(caricature, power=power),
                "style": style,
            }
            try:
                return (yield from likeness(kinds[kind], layer, image.to(like)))
            except ValueError as error:
                raise UnfitObjective(f"{term.kind}: {error}") from error
