"""Objectives as messages."""

from __future__ import annotations

from striate.errors import invalid
from striate.objective import Direction, Like, Objective, Term, Unit
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb

_MOST_TERMS = 16
_COMPARISONS: dict[str, pb.Comparison.ValueType] = {
    "dot": pb.COMPARISON_DOT,
    "cosine": pb.COMPARISON_COSINE,
    "dot-cosine": pb.COMPARISON_DOT_COSINE,
}
_KINDS: dict[str, pb.LikenessKind.ValueType] = {
    "inversion": pb.LIKENESS_KIND_INVERSION,
    "caricature": pb.LIKENESS_KIND_CARICATURE,
    "style": pb.LIKENESS_KIND_STYLE,
}


def objective_message(objective: Objective) -> pb.Objective:
    """Makes the message of an objective.

    Args:
        objective: The objective.

    Returns:
        The message.

    Raises:
        InvalidArgument: It has no terms, or more than 16.
    """
    terms = objective.terms
    if not 1 <= len(terms) <= _MOST_TERMS:
        raise invalid(
            "objectives",
            f"must have 1 to {_MOST_TERMS} terms with a weight that is not 0, has {len(terms)}",
        )
    return pb.Objective(terms=[_weighted(weight, term) for weight, term in terms])


def _weighted(weight: float, term: Term) -> pb.Term:
    found = _term(term)
    if weight != 1:
        found.weight = weight
    return found


def _term(term: Term) -> pb.Term:
    match term:
        case Unit():
            return pb.Term(unit=term.name)
        case Direction():
            return pb.Term(direction=_direction(term))
        case Like():
            return pb.Term(likeness=_likeness(term))
        case _:
            raise invalid("objectives", f"must be of Unit, Direction and Like, is {term!r}")


def _direction(term: Direction) -> pb.Direction:
    is_double = term.values.dtype.itemsize == 8
    vector = types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT64 if is_double else types_pb2.DATA_TYPE_FLOAT32,
        shape=term.values.shape,
        data=term.values.tobytes(),
    )
    row, column = term.position or (None, None)
    return pb.Direction(
        layer=term.layer,
        vector=vector,
        comparison=_COMPARISONS[term.comparison],
        power=term.power or 0,
        row=row,
        column=column,
    )


def _likeness(term: Like) -> pb.Likeness:
    return pb.Likeness(
        layer=term.layer,
        image=term.batch.message(range(1)),
        kind=_KINDS[term.kind],
        power=term.power,
    )
