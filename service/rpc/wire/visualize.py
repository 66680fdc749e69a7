"""From VisualizeRequest to what is asked for: counts, size, recipe, and what making it
would take.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interp.feature.visualize import Settings
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import objective as wire_objective
from service.rpc.wire import recipe as wire_recipe
from service.rpc.wire import units as wire_units
from service.rpc.wire.objective import Where
from service.visualization.spec import Apart, Goal, Part, Recipe
from striate.v1 import visualize_pb2 as pb

MOST_PICTURES = 64
MOST_VARIANTS = 16
_NO_START = ("cppn", "maco")  # no picture can be brought into these
_OPERATORS = ("blur", "clip")
BEGUN_RATE = 0.02  # at which a picture keeps something of the image that it began at
_GRAM_COPIES = 3  # a Gram matrix, its unit length, its gradient


@dataclass(frozen=True, eq=False)
class Wanted:
    """A checked request: picture j of goal i is row i * variants + j."""

    goals: Sequence[Goal]
    recipe: Recipe

    @property
    def of_row(self) -> list[Goal]:
        """The goal of each picture."""
        return [goal for goal in self.goals for _ in range(self.recipe.variants)]


def number(request: pb.VisualizeRequest) -> int:
    """Objectives of a request. Raises InvalidField unless they and their variants are few
    enough.
    """
    if request.objectives and request.composed:
        raise InvalidField("composed", "must be empty with objectives")
    field, count = (
        ("composed", len(request.composed))
        if request.composed
        else ("objectives", len(request.objectives))
    )
    if not 1 <= count <= MOST_PICTURES:
        raise InvalidField(field, f"there are {count}, must be from 1 to {MOST_PICTURES}")
    variants = within("variants", request.variants, 1, MOST_VARIANTS, default=1)
    if count * variants > MOST_PICTURES:
        raise InvalidField(
            "variants",
            f"{variants} of each of {count} objectives are more than {MOST_PICTURES} pictures",
        )
    return count


def preprocessing(settings: pb.PictureSettings, model: HostedModel) -> Preprocessing:
    """How the model takes images, for pictures of the size asked for: the same share of an image is
    cropped.
    """
    own = model.preprocessing
    if not settings.size:
        return own
    size = within("settings.size", settings.size, 16, 1024)
    resize = max(size, round(own.resize * size / max(own.height, own.width)))
    return replace(own, height=size, width=size, resize=resize)


def recipe(
    settings: pb.PictureSettings,
    shape: tuple[int, int, int],
    variants: int = 1,
    from_images: bool = False,
) -> Recipe:
    """How pictures of this shape are made; start images and diversity come by `wanted`.

    Args:
        settings: those of a request.
        shape: (C, H, W) as the network takes them.
        variants: pictures an objective.
        from_images: the pictures begin at images instead of noise.

    Raises:
        InvalidField: something is out of range, or does not go with the rest.
    """
    field = "settings."
    space, dataset = wire_recipe.space(settings.parameterization, f"{field}parameterization")
    if from_images and space[0] in _NO_START:
        raise InvalidField("start", f"does not go with {space[0]}")
    return Recipe(
        shape,
        steps=within(f"{field}steps", settings.steps, 1, 4096, default=Settings.steps),
        rate=wire_recipe.above(
            f"{field}learning_rate",
            settings.learning_rate,
            1.0,
            default=BEGUN_RATE if from_images else Settings.rate,
        ),
        seed=settings.seed,
        space=space,
        dataset=dataset,
        alpha=settings.parameterization.alpha,
        regularizers=_regularizers(settings, space[0]),
        views=wire_recipe.views(
            settings.transforms,
            settings.without_transforms,
            f"{field}transforms",
            "without_transforms",
        ),
        variants=variants,
        **_certification(settings),
    )


def _regularizers(settings: pb.PictureSettings, space: str) -> tuple[Part, ...]:
    """The terms and operators, which the space has to be able to take."""
    field = "settings.regularizers"
    found = wire_recipe.regularizers(settings.regularizers, field)
    for i, (kind, _) in enumerate(found):
        if kind in _OPERATORS and space in _NO_START:
            raise InvalidField(
                f"{field}[{i}].{kind}",
                f"does not go with {space}, which cannot take up a changed picture",
            )
    return found


def _certification(settings: pb.PictureSettings) -> dict[str, Any]:
    indexed, seeds, retries = wire_recipe.certification(
        settings.certification, "settings.certification"
    )
    return {"indexed": indexed, "seeds": seeds, "retries": retries}


def wanted(request: pb.VisualizeRequest, made: Recipe, where: Where) -> Wanted:
    """The whole of a Visualize request; decodes images: not for the event loop. Raises
    InvalidField, UnknownLayer, BadImage.
    """
    apart, start, count = None, None, number(request)
    if request.HasField("diversity"):
        if made.variants < 2:
            raise InvalidField("diversity", "needs at least 2 variants")
        layer = where.layer(request.diversity.layer, "diversity.layer").layer
        apart = Apart(
            layer,
            wire_recipe.above(
                "diversity.weight", request.diversity.weight, wire_recipe.MOST_WEIGHT, default=1.0
            ),
        )
    if request.HasField("start"):
        start = wire_objective.images(request.start, "start", (1, count), where.preprocessing)
    return Wanted(wire_objective.goals(request, where), replace(made, apart=apart, start=start))


def held_bytes(made: Recipe, pictures: int) -> int:
    """Bytes that the making of so many pictures holds between passes."""
    plane = 4 * math.prod(made.shape[1:])
    return pictures * plane * made.planes(wire_images.STATE_COPIES)


def likeness_bytes(request: pb.VisualizeRequest, made: Recipe, where: Where) -> int:
    """Bytes of the images of a request's likenesses, and of their activations."""
    plane, held = 4 * math.prod(made.shape[1:]), 0
    for shape, kind in _likenesses(request, where):
        kept = shape[0] ** 2 if kind == pb.LIKENESS_KIND_STYLE else math.prod(shape)
        held += plane * made.shape[0] * 2 + made.variants * 4 * kept
    return held


def gram_bytes(request: pb.VisualizeRequest, made: Recipe, pictures: int, where: Where) -> int:
    """Bytes of the Gram matrices that one pass over all pictures may hold, for style and
    diversity.
    """
    squares = [
        made.variants * shape[0] ** 2
        for shape, kind in _likenesses(request, where)
        if kind == pb.LIKENESS_KIND_STYLE
    ]
    if request.HasField("diversity"):
        squares.append(
            pictures
            * where.shapes[where.layer(request.diversity.layer, "diversity.layer").layer][0] ** 2
        )
    return 4 * _GRAM_COPIES * sum(squares)


def _likenesses(request: pb.VisualizeRequest, where: Where) -> Iterator[tuple[Sequence[int], int]]:
    """The layer's shape and the kind of every likeness that is asked for."""
    for objective in request.composed:
        for term in objective.terms:
            if term.WhichOneof("kind") == "likeness":
                yield (
                    where.shapes[
                        wire_units.parse_path(term.likeness.layer, "composed", where.model).layer
                    ],
                    term.likeness.kind,
                )
