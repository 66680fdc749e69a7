"""From requests for pictures to what they are to show, and what making them would take."""

import math
from collections.abc import Iterator, Sequence

from interp.feature.settings import PictureSettings
from interp.layer import Form
from service.rpc.validation import InvalidField, above, known, within
from service.rpc.wire import images as wire_images
from service.rpc.wire.pictures import objective as wire_objective
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.visualization.spec import Diversity, PictureRequest
from striate.v1 import visualize_pb2 as pb

MOST_PICTURES = 64
MOST_VARIANTS = 16
# The default where pictures start at images: they keep something of them.
INIT_IMAGE_LEARNING_RATE = 0.02
_FORMS: dict[int, Form] = {
    pb.UNIT_FORM_UNSPECIFIED: "value",
    pb.UNIT_FORM_VALUE: "value",
    pb.UNIT_FORM_NEG: "neg",
    pb.UNIT_FORM_ABS: "abs",
}
_SHOWN_COPIES = 3  # a view, its gradient, and the picture that is measured
_GRAM_COPIES = 3  # a Gram matrix, its unit length, its gradient


def objective_count(request: pb.VisualizeRequest) -> int:
    """Read how many objectives a request has.

    Args:
        request: to read.

    Returns:
        Their number, 1 to 64.

    Raises:
        InvalidField: They, or they and their variants, are too many, or both kinds are given.
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
    number = variants(request)
    if count * number > MOST_PICTURES:
        raise InvalidField(
            "variants",
            f"{number} of each of {count} objectives are more than {MOST_PICTURES} pictures",
        )
    return count


def variants(request: pb.VisualizeRequest) -> int:
    """Read how many pictures of each objective a request asks for.

    Args:
        request: to read.

    Returns:
        Their number, 1 to 16.

    Raises:
        InvalidField: They are too many.
    """
    return within("variants", request.variants, 1, MOST_VARIANTS, default=1)


def form(request: pb.VisualizeLayerRequest) -> Form:
    """Read what of every unit of a layer is shown.

    Args:
        request: to read.

    Returns:
        The form.

    Raises:
        InvalidField: The enumeration has no such value.
    """
    known("form", request.form, pb.UnitForm.DESCRIPTOR)
    return _FORMS[request.form]


def settings(request: pb.VisualizeRequest, where: ModelAtSize) -> PictureSettings:
    """Read how the pictures are made.

    Args:
        request: whose start images, if there are any, set the default of the learning rate.
        where: the model, for pictures of the size asked for.

    Returns:
        The settings, see `service.rpc.wire.pictures.settings.read`.

    Raises:
        InvalidField: Something is out of range, or does not go with the rest.
    """
    starts = request.HasField("start")
    learning_rate = INIT_IMAGE_LEARNING_RATE if starts else PictureSettings.learning_rate
    result = wire_settings.read(
        request.settings, where.preprocessing.shape, where.input_size, learning_rate
    )
    if starts and not result.parameterization.encodes:
        raise InvalidField("start", f"does not go with {result.parameterization.name}")
    return result


def picture_request(
    request: pb.VisualizeRequest, made: PictureSettings, where: ModelAtSize
) -> PictureRequest:
    """Read the whole of a Visualize request. Decodes images: not for the event loop.

    Args:
        request: to read.
        made: its settings.
        where: what its objectives are checked against.

    Returns:
        The request: picture j of objective i is row i * variants + j.

    Raises:
        InvalidField: Something is out of range, or does not go with the rest.
        BadImage: An image cannot be decoded.
    """
    diversity, init_images, count = None, None, objective_count(request)
    number = variants(request)
    if request.HasField("diversity"):
        if number < 2:
            raise InvalidField("diversity", "needs at least 2 variants")
        weight = above(
            "diversity.weight", request.diversity.weight, wire_objective.MOST_WEIGHT, default=1.0
        )
        diversity = Diversity(where.layer("diversity.layer"), weight)
    if request.HasField("start"):
        init_images = wire_objective.images(request.start, "start", (1, count), where.preprocessing)
    objectives = wire_objective.objectives(request, where)
    return PictureRequest(
        [objective for objective in objectives for _ in range(number)],
        made,
        variants=number,
        diversity=diversity,
        init_images=init_images,
    )


def picture_bytes(made: PictureSettings, pictures: int) -> int:
    """Estimate what the making of pictures holds between passes.

    Args:
        made: how.
        pictures: how many.

    Returns:
        Bytes.
    """
    plane = 4 * math.prod(made.shape[1:])
    planes = wire_images.STATE_COPIES * (made.shape[0] + made.alpha)
    held = plane * (planes + made.parameterization.hidden_planes)
    if made.shown_shape != made.shape:
        held += _SHOWN_COPIES * 4 * math.prod(made.shown_shape)
    return pictures * held


def likeness_bytes(request: pb.VisualizeRequest, made: PictureSettings, where: ModelAtSize) -> int:
    """Estimate what images that pictures are to be like hold, and their activations.

    Args:
        request: to read.
        made: its settings.
        where: what its objectives are checked against.

    Returns:
        Bytes.

    Raises:
        InvalidField: There are too many variants.
    """
    held, plane = 0, 4 * math.prod(made.shown_shape[1:])
    for shape, kind in _likenesses(request, where):
        kept = shape[0] ** 2 if kind == pb.LIKENESS_KIND_STYLE else math.prod(shape)
        held += plane * made.shape[0] * 2 + variants(request) * 4 * kept
    return held


def gram_bytes(request: pb.VisualizeRequest, pictures: int, where: ModelAtSize) -> int:
    """Estimate the Gram matrices, for style and diversity, that one pass over all pictures holds.

    Args:
        request: to read.
        pictures: of the request.
        where: what its objectives are checked against.

    Returns:
        Bytes.

    Raises:
        InvalidField: Diversity names a unit, or a layer without units.
    """
    squares = [
        variants(request) * shape[0] ** 2
        for shape, kind in _likenesses(request, where)
        if kind == pb.LIKENESS_KIND_STYLE
    ]
    if request.HasField("diversity"):
        layer = where.layer("diversity.layer")
        squares.append(pictures * where.shapes[layer][0] ** 2)
    return 4 * _GRAM_COPIES * sum(squares)


def _likenesses(
    request: pb.VisualizeRequest, where: ModelAtSize
) -> Iterator[tuple[Sequence[int], int]]:
    """The layer's shape and the kind of every likeness that is asked for."""
    for i, objective in enumerate(request.composed):
        for j, term in enumerate(objective.terms):
            if term.WhichOneof("kind") == "likeness":
                path = where.paths[f"composed[{i}].terms[{j}].likeness.layer"]
                yield where.shapes[path.layer], term.likeness.kind
