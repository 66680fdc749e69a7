"""From the objectives of a request to goals: units, directions, likenesses, and sums of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.layer import LOGITS, LayerPath
from service.imaging import BadImage, Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField, known, within
from service.rpc.wire import images as wire_images
from service.rpc.wire import recipe as wire_recipe
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire import units as wire_units
from service.visualization.spec import Alike, Goal, Term, Towards
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb

MOST_TERMS = 16
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

Shapes = Mapping[str, Sequence[int]]  # layer -> output shape of one picture


@dataclass(frozen=True, eq=False)
class Where:
    """What objectives are checked against: a model, its layers' shapes for such pictures, and how
    it takes images of their size.
    """

    model: HostedModel
    shapes: Shapes
    preprocessing: Preprocessing

    def layer(self, text: str, field: str) -> LayerPath:
        """A layer without a unit, whose output is (units,) or (units, rows, columns)."""
        return LayerPath(wire_units.read_layer(text, field, self.model, self.shapes))


def named(request: pb.VisualizeRequest, model: HostedModel) -> set[str]:
    """Dotted names of all layers that objectives and diversity name; raises for unknown ones.
    Numbers are checked by `goals`.
    """
    texts = [(text, f"objectives[{i}]") for i, text in enumerate(request.objectives)]
    for i, objective in enumerate(request.composed):
        for j, term in enumerate(objective.terms):
            kind, at = term.WhichOneof("kind"), f"composed[{i}].terms[{j}]"
            if kind is not None:
                texts.append(
                    (term.unit, f"{at}.unit")
                    if kind == "unit"
                    else (getattr(term, kind).layer, f"{at}.{kind}.layer")
                )
    if request.HasField("diversity"):
        texts.append((request.diversity.layer, "diversity.layer"))
    return {wire_units.parse_path(text, at, model).layer for text, at in texts}


def goals(request: pb.VisualizeRequest, where: Where) -> list[Goal]:
    """What the pictures are to raise, in order; decodes the images of likenesses: not for the event
    loop.

    Raises:
        InvalidField, UnknownLayer, BadImage: the field is named in full.
    """
    plain = [
        Goal((Term(_unit(text, f"objectives[{i}]", where)),))
        for i, text in enumerate(request.objectives)
    ]
    return plain or [
        _goal(message, f"composed[{i}]", where) for i, message in enumerate(request.composed)
    ]


def _goal(message: pb.Objective, field: str, where: Where) -> Goal:
    if not 1 <= len(message.terms) <= MOST_TERMS:
        raise InvalidField(
            f"{field}.terms", f"there are {len(message.terms)}, must be from 1 to {MOST_TERMS}"
        )
    return Goal(
        tuple(_term(term, f"{field}.terms[{i}]", where) for i, term in enumerate(message.terms))
    )


def _term(message: pb.Term, field: str, where: Where) -> Term:
    weight = (
        wire_recipe.weight(f"{field}.weight", message.weight) if message.HasField("weight") else 1.0
    )
    match message.WhichOneof("kind"):
        case "unit":
            return Term(_unit(message.unit, f"{field}.unit", where), weight)
        case "direction":
            return Term(_towards(message.direction, f"{field}.direction", where), weight)
        case "likeness":
            return Term(_alike(message.likeness, f"{field}.likeness", where), weight)
    raise InvalidField(field, "is empty: it must have a unit, a direction or a likeness")


def _unit(text: str, field: str, where: Where) -> LayerPath:
    return wire_units.read_path(text, field, where.model, where.shapes)


def _towards(message: pb.Direction, field: str, where: Where) -> Towards:
    path = where.layer(message.layer, f"{field}.layer")
    shape = where.shapes[path.layer]
    known(f"{field}.comparison", message.comparison, pb.Comparison.DESCRIPTOR)
    comparison = COMPARISONS[message.comparison]
    if message.power and comparison != "dot_cosine":
        raise InvalidField(f"{field}.power", "goes with COMPARISON_DOT_COSINE alone")
    power = wire_recipe.above(f"{field}.power", message.power, 16.0, default=1.0)
    position = None
    if message.HasField("row") != message.HasField("column"):
        raise InvalidField(f"{field}.row", "and column must both be given, or none of them")
    if message.HasField("row"):
        position = message.row, message.column
        wire_units.resolve_path(LayerPath(path.layer, 0, position), field, shape)
    return Towards(
        path.layer,
        _vector(message.vector, f"{field}.vector", shape[0]),
        comparison,
        power,
        position,
    )


def _vector(message: types_pb2.Tensor, field: str, units: int) -> Tensor:
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


def _alike(message: pb.Likeness, field: str, where: Where) -> Alike:
    path = where.layer(message.layer, f"{field}.layer")
    if message.kind not in KINDS:
        raise InvalidField(
            f"{field}.kind", f"must be one of {', '.join(map(pb.LikenessKind.Name, KINDS))}"
        )
    kind = KINDS[message.kind]
    if message.HasField("power") and kind != "caricature":
        raise InvalidField(f"{field}.power", "goes with LIKENESS_KIND_CARICATURE alone")
    if kind == "style" and path.layer == LOGITS:
        raise InvalidField(
            f"{field}.layer", "must name a layer inside the network: logits have no style"
        )
    power = within(f"{field}.power", message.power, 0.0, 16.0) if message.HasField("power") else 1.0
    return Alike(
        path.layer, images(message.image, f"{field}.image", (1,), where.preprocessing), kind, power
    )


def images(
    batch: types_pb2.ImageBatch, field: str, counts: Sequence[int], preprocessing: Preprocessing
) -> Tensor:
    """Decode a field that must hold one of so many images; errors name that field."""
    try:
        number = wire_images.count(batch)
        if number not in counts:
            raise InvalidField(
                "images",
                f"there are {number}, must be {' or '.join(map(str, sorted(set(counts))))}",
            )
        return wire_images.decode_batch(batch, preprocessing)
    except InvalidField as error:
        raise InvalidField(field + error.field.removeprefix("images"), error.description) from error
    except BadImage as error:
        at = getattr(error, "field", "images.tensor").removeprefix("images")
        raise wire_images.InvalidImage(
            field + at, getattr(error, "description", str(error))
        ) from error
