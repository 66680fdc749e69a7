"""From VisualizeRequest to what is asked for: counts, size, recipe, and what making it
would take.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from interp.feature.visualize import Settings
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import objective as wire_objective
from service.rpc.wire import recipe as wire_recipe
from service.rpc.wire import units as wire_units
from service.rpc.wire.objective import Where
from service.visualization.spec import Apart, Goal, Recipe
from striate.v1 import visualize_pb2 as pb

MOST_PICTURES = 64
MOST_VARIANTS = 16
EMPTY = (
    "objectives",
    "composed",
    "variants",
    "diversity",
    "start",
    "preview_every",
    "include_tensor",
)  # where only the manner is asked
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


def manner_alone(request: pb.VisualizeRequest, field: str) -> None:
    """InvalidField unless a request that only says how pictures are made says no more."""
    given = {described.name for described, _ in request.ListFields()}
    for name in EMPTY:
        if name in given:
            raise InvalidField(field + name, "must be empty")


def preprocessing(request: pb.VisualizeRequest, field: str, model: HostedModel) -> Preprocessing:
    """How the model takes images, for pictures of the size asked for: the same share of an image is
    cropped.
    """
    seen = model.preprocessing
    if not request.size:
        return seen
    size = within(f"{field}size", request.size, 16, 1024)
    resize = max(size, round(seen.resize * size / max(seen.height, seen.width)))
    return replace(seen, height=size, width=size, resize=resize)


def recipe(request: pb.VisualizeRequest, field: str, shape: tuple[int, int, int]) -> Recipe:
    """How pictures of this shape are made; start images and diversity come by `wanted`.

    Raises:
        InvalidField: something is out of range, or does not go with the rest.
    """
    space, dataset = wire_recipe.space(request.parameterization, f"{field}parameterization")
    if request.HasField("start") and space[0] in _NO_START:
        raise InvalidField(f"{field}start", f"does not go with {space[0]}")
    regularizers = wire_recipe.regularizers(request.regularizers, f"{field}regularizers")
    for i, (kind, _) in enumerate(regularizers):
        if kind in _OPERATORS and space[0] in _NO_START:
            raise InvalidField(
                f"{field}regularizers[{i}].{kind}",
                f"does not go with {space[0]}, which cannot take up a changed picture",
            )
    certification = f"{field}certification"
    indexed, seeds, retries = wire_recipe.certification(request.certification, certification)
    return Recipe(
        shape,
        steps=within(f"{field}steps", request.steps, 1, 4096, default=Settings.steps),
        rate=wire_recipe.above(
            f"{field}learning_rate",
            request.learning_rate,
            1.0,
            default=BEGUN_RATE if request.HasField("start") else Settings.rate,
        ),
        seed=request.seed,
        space=space,
        dataset=dataset,
        alpha=request.parameterization.alpha,
        regularizers=regularizers,
        views=wire_recipe.views(
            request.transforms,
            request.without_transforms,
            f"{field}transforms",
            "without_transforms",
        ),
        variants=request.variants or 1,
        indexed=indexed,
        seeds=seeds,
        retries=retries,
    )


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
    return Wanted(wire_objective.goals(request, "", where), replace(made, apart=apart, start=start))


def held_bytes(request: pb.VisualizeRequest, made: Recipe, pictures: int, where: Where) -> int:
    """Bytes that the making of so many pictures holds between passes, images of likenesses and
    their activations included.
    """
    plane = 4 * math.prod(made.shape[1:])
    held = pictures * plane * made.planes(wire_images.STATE_COPIES)
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
                        wire_units.path(term.likeness.layer, "composed", where.model).layer
                    ],
                    term.likeness.kind,
                )
