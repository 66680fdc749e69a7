"""From the objectives of a request to composed objectives: units, directions, likenesses, and sums
of them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interp.layer import LOGITS, LayerPath
from service.imaging import Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, above, known, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import units as wire_units
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.visualization.spec import (
    ComposedObjective,
    DirectionObjective,
    LikenessObjective,
    Term,
    unit_objective,
)
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb

MOST_TERMS = 16
MOST_POWER = 16.0
MOST_WEIGHT = 1e6  # of a term: beyond, float32 has no digits left for anything else
COMPARISONS = {
    pb.COMPARISON_UNSPECIFIED: "dot",
    pb.COMPARISON_DOT: "dot",
    pb.COMPARISON_COSINE: "cosine",
    pb.COMPARISON_DOT_COSINE: "dot_cosine",
}
KINDS = {
    pb.LIKENESS_KIND_INVERSION: "inversion",
    pb.LIKENESS_KIND_CARICATURE: "caricature",
    pb.LIKENESS_KIND_STYLE: "style",
}


def paths(request: pb.VisualizeRequest, model: HostedModel) -> dict[str, LayerPath]:
    """Parse all names of layers and units in a request; their numbers are checked later.

    Args:
        request: to read.
        model: whose layers they are.

    Returns:
        Layers and units by the field that names them.

    Raises:
        InvalidField: A name is missing, long, or of no such form, or no gradient leads from its
            layer to the pictures.
        UnknownLayer: There is no such layer.
    """
    texts = {f"objectives[{i}]": text for i, text in enumerate(request.objectives)}
    for i, objective in enumerate(request.composed):
        for j, term in enumerate(objective.terms):
            kind, at = term.WhichOneof("kind"), f"composed[{i}].terms[{j}]"
            if kind == "unit":
                texts[f"{at}.unit"] = term.unit
            elif kind is not None:
                texts[f"{at}.{kind}.layer"] = getattr(term, kind).layer
    if request.HasField("diversity"):
        texts["diversity.layer"] = request.diversity.layer
    found = {
        field: wire_units.parse_path(text, field, model, forms=True)
        for field, text in texts.items()
    }
    for field, path in found.items():
        wire_units.check_gradient(path.layer, field, model)
    return found


def objectives(request: pb.VisualizeRequest, where: ModelAtSize) -> list[ComposedObjective]:
    """Read what the pictures are to raise. Decodes the images of likenesses: not for the event
    loop.

    Args:
        request: to read.
        where: what is checked against.

    Returns:
        The objectives, in order.

    Raises:
        InvalidField: Something is out of range, or does not go with the rest.
        BadImage: An image cannot be decoded.
    """
    if request.objectives:
        numbers = range(len(request.objectives))
        return [unit_objective(where.path(f"objectives[{i}]")) for i in numbers]
    return [
        _composed(message, f"composed[{i}]", where) for i, message in enumerate(request.composed)
    ]


def _composed(message: pb.Objective, field: str, where: ModelAtSize) -> ComposedObjective:
    """A sum of terms."""
    if not 1 <= len(message.terms) <= MOST_TERMS:
        raise InvalidField(
            f"{field}.terms", f"there are {len(message.terms)}, must be from 1 to {MOST_TERMS}"
        )
    terms = [_term(term, f"{field}.terms[{i}]", where) for i, term in enumerate(message.terms)]
    return ComposedObjective(tuple(terms))


def _term(message: pb.Term, field: str, where: ModelAtSize) -> Term:
    """A weighted unit, direction or likeness."""
    weight = 1.0
    if message.HasField("weight"):
        weight = within(f"{field}.weight", message.weight, -MOST_WEIGHT, MOST_WEIGHT)
    match message.WhichOneof("kind"):
        case "unit":
            return Term(where.path(f"{field}.unit"), weight)
        case "direction":
            return Term(_direction(message.direction, f"{field}.direction", where), weight)
        case "likeness":
            return Term(_likeness(message.likeness, f"{field}.likeness", where), weight)
    raise InvalidField(field, "is empty: it must have a unit, a direction or a likeness")


def _direction(message: pb.Direction, field: str, where: ModelAtSize) -> DirectionObjective:
    """A direction in a layer's space."""
    layer = where.layer(f"{field}.layer")
    shape = where.shapes[layer]
    known(f"{field}.comparison", message.comparison, pb.Comparison.DESCRIPTOR)
    comparison = COMPARISONS[message.comparison]
    if message.power and comparison != "dot_cosine":
        raise InvalidField(f"{field}.power", "goes with COMPARISON_DOT_COSINE alone")
    power = above(f"{field}.power", message.power, MOST_POWER, default=1.0)
    position = None
    if message.HasField("row") != message.HasField("column"):
        raise InvalidField(f"{field}.row", "and column must both be given, or none of them")
    if message.HasField("row"):
        position = message.row, message.column
        wire_units.resolve_path(LayerPath(layer, 0, position), field, shape)
    vector = _vector(message.vector, f"{field}.vector", shape[0])
    return DirectionObjective(layer, vector, comparison, power, position)


def _vector(message: types_pb2.Tensor, field: str, units: int) -> Tensor:
    """(units,) float32, brought to a largest magnitude of 1."""
    if tuple(message.shape) != (units,):
        raise InvalidField(
            f"{field}.shape", f"is {tuple(message.shape)}, must be ({units},): one number a unit"
        )
    values = wire_tensors.to_array(message, field)
    if values.dtype == np.uint8:
        raise InvalidField(f"{field}.dtype", "must be DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT64")
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise InvalidField(f"{field}.data", "holds values that are infinite or not numbers")
    largest = np.abs(wide).max()
    if not largest > 0:
        raise InvalidField(f"{field}.data", "is zero everywhere")
    # Only where it points counts, and the length of what is very long or short is not known in 32
    # bits.
    return torch.from_numpy((wide / largest).astype(np.float32))


def _likeness(message: pb.Likeness, field: str, where: ModelAtSize) -> LikenessObjective:
    """Being like an image to a layer."""
    layer = where.layer(f"{field}.layer")
    if message.kind not in KINDS:
        raise InvalidField(
            f"{field}.kind", f"must be one of {', '.join(map(pb.LikenessKind.Name, KINDS))}"
        )
    kind = KINDS[message.kind]
    if message.HasField("power") and kind != "caricature":
        raise InvalidField(f"{field}.power", "goes with LIKENESS_KIND_CARICATURE alone")
    if kind == "style" and layer == LOGITS:
        raise InvalidField(
            f"{field}.layer", "must name a layer inside the network: logits have no style"
        )
    power = 1.0
    if message.HasField("power"):
        power = within(f"{field}.power", message.power, 0.0, MOST_POWER)
    image = images(message.image, f"{field}.image", (1,), where.shown)
    return LikenessObjective(layer, image, kind, power)


def images(
    batch: types_pb2.ImageBatch, field: str, counts: Sequence[int], preprocessing: Preprocessing
) -> Tensor:
    """Decode the images of a field. Not for the event loop.

    Args:
        batch: of the request.
        field: its path, for errors.
        counts: the numbers of images that it may hold.
        preprocessing: how the model takes them.

    Returns:
        (N, C, H, W) float32 in [0, 1].

    Raises:
        InvalidField: There is another number of images, or a tensor does not fit.
        BadImage: An image cannot be decoded.
    """
    number = wire_images.count(batch, field)
    if number not in counts:
        allowed = " or ".join(map(str, sorted(set(counts))))
        raise InvalidField(field, f"there are {number}, must be {allowed}")
    return wire_images.decode_batch(batch, preprocessing, field=field)
