"""What a picture is to raise: units, directions and likenesses, composed with + - and numbers."""

from striate.objective.composition import Objective, Sum, Term, Unit, as_objective, interpolate
from striate.objective.terms import ComparisonName, Direction, KindName, Like

__all__ = [
    "ComparisonName",
    "Direction",
    "KindName",
    "Like",
    "Objective",
    "Sum",
    "Term",
    "Unit",
    "as_objective",
    "interpolate",
]
