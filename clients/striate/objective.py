"""What a picture is to raise: units, directions and likenesses, composed with + - and numbers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Literal

from striate._requests import expression
from striate._requests.inputs import image_batch, vector
from striate._rpc.checks import at_least, choice, number, whole
from striate.errors import invalid
from striate.v1 import visualize_pb2 as pb

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from striate.images import One
    from striate.v1 import types_pb2

ComparisonName = Literal["dot", "cosine", "dot-cosine"]
KindName = Literal["inversion", "caricature", "style"]

MOST_TERMS = 16
_UNIT = re.compile(r"[^:@\s*]+(:\d+(@(\d+,\d+|center))?)?")
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


class Objective(ABC):
    """A weighted sum of 1 to 16 terms. `a + b`, `a - b`, `-a`, `2 * a` and `a / 2` compose; a
    string stands for what it says.
    """

    @property
    @abstractmethod
    def terms(self) -> tuple[tuple[float, Term], ...]:
        """Weights and what they weigh."""

    @staticmethod
    def parse(text: str) -> Objective:
        """The objective that "layer3.2:7 - 0.5*layer3.2:8 + logits:3" says. Raises InvalidArgument,
        saying what is wrong where.
        """
        terms = [(weight, Unit(name)) for weight, name in expression.read(text)]
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else Sum(tuple(terms))

    def message(self) -> pb.Objective:
        """As it travels. Raises InvalidArgument, and OSError for the path of an image that cannot
        be read.
        """
        if not 1 <= len(self.terms) <= MOST_TERMS:
            raise invalid(
                "objectives",
                f"must have 1 to {MOST_TERMS} terms with a weight that is not 0, has "
                f"{len(self.terms)}",
            )
        return pb.Objective(terms=[_weighted(weight, term.term()) for weight, term in self.terms])

    def __add__(self, other: Objective | str) -> Objective:
        return (
            Sum(self.terms + as_objective(other).terms)
            if isinstance(other, Objective | str)
            else NotImplemented
        )

    def __radd__(self, other: str | int) -> Objective:
        if isinstance(other, str):
            return as_objective(other) + self
        if other == 0:  # sum() begins with it
            return self
        return NotImplemented

    def __sub__(self, other: Objective | str) -> Objective:
        return self + -as_objective(other) if isinstance(other, Objective | str) else NotImplemented

    def __rsub__(self, other: str) -> Objective:
        return as_objective(other) - self if isinstance(other, str) else NotImplemented

    def __mul__(self, factor: float) -> Objective:
        if not isinstance(factor, Real):
            return NotImplemented
        factor = number("weight", factor, least=-math.inf)
        return Sum(tuple((weight * factor, term) for weight, term in self.terms if weight * factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        if not isinstance(divisor, Real):
            return NotImplemented
        return self * (1 / number("divisor", divisor, least=-math.inf))

    def __neg__(self) -> Objective:
        return self * -1

    def __repr__(self) -> str:
        return expression.write([(weight, repr(term)) for weight, term in self.terms])


class Term(Objective):
    """What can be weighed: one kind of thing that a picture raises."""

    @property
    def terms(self) -> tuple[tuple[float, Term], ...]:
        return ((1.0, self),)

    @abstractmethod
    def term(self) -> pb.Term:
        """As it travels, without its weight."""


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """Several terms, each with its weight."""

    weighted: tuple[tuple[float, Term], ...]

    @property
    def terms(self) -> tuple[tuple[float, Term], ...]:
        return self.weighted


@dataclass(frozen=True, repr=False)
class Unit(Term):
    """A unit of the network: "layer:unit" for the mean of a channel (or a feature of a linear
    layer), "layer:unit@row,column" for one neuron, "layer:unit@center" for that in the middle (row
    h // 2, column w // 2), "layer" for the mean square of the whole layer (DeepDream),
    "logits:class" for a class logit. Raises InvalidArgument.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _UNIT.fullmatch(self.name):
            raise invalid(
                "unit",
                f"must be layer, layer:unit, layer:unit@row,column, layer:unit@center or "
                f"logits:class, is {self.name!r}",
            )

    def term(self) -> pb.Term:
        return pb.Term(unit=self.name)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False, eq=False)
class Direction(Term):
    """A direction in the space of a layer's units.

    vector: (units,), not all zero; comparison of the activation h with the vector v: "dot" for <h,
    v/|v|>, "cosine" for <h, v> / (|h| |v|), "dot-cosine" for <h, v/|v|> max(0.1, cosine)^power
    (lucid); power: of "dot-cosine", above 0 to 16 (server's default 1); position: (row, column) of
    the layer's map, None for the mean over all. Raises InvalidArgument.
    """

    layer: str
    vector: ArrayLike
    comparison: ComparisonName = "dot"
    power: float | None = None
    position: tuple[int, int] | None = None
    _vector: types_pb2.Tensor = field(init=False)

    def __post_init__(self) -> None:
        choice("comparison", self.comparison, _COMPARISONS)
        if self.power is not None and not number("power", self.power, 0, 16):
            raise invalid("power", "must be above 0 to 16, is 0")
        if (
            self.position is not None
            and len([whole("position", place, 0, 2**32 - 1) for place in self.position]) != 2
        ):
            raise invalid("position", f"must be (row, column), is {self.position!r}")
        object.__setattr__(
            self, "_vector", vector("vector", self.vector)
        )  # frozen; read once, so that it cannot change later

    def term(self) -> pb.Term:
        row, column = self.position or (None, None)
        return pb.Term(
            direction=pb.Direction(
                layer=self.layer,
                vector=self._vector,
                comparison=_COMPARISONS[self.comparison],
                power=self.power or 0,
                row=row,
                column=column,
            )
        )

    def __repr__(self) -> str:
        place = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return f"{self.comparison}({self.layer}{place})"


@dataclass(frozen=True, repr=False, eq=False)
class Like(Term):
    """Being like an image to a layer.

    image: one, as `striate.images.as_batch` takes it; kind: "inversion" for the same activations
    (Mahendran & Vedaldi 2015), "caricature" for the same but exaggerated (lucid), "style" for the
    same Gram matrix (Gatys et al. 2016); power: of the cosine in "caricature", 0 to 16 (server's
    default 1). Raises InvalidArgument, and OSError for an unreadable path.
    """

    image: One
    layer: str
    kind: KindName = "inversion"
    power: float | None = None
    _batch: types_pb2.ImageBatch = field(init=False)

    def __post_init__(self) -> None:
        choice("kind", self.kind, _KINDS)
        if self.power is not None:
            number("power", self.power, 0, 16)
        object.__setattr__(self, "_batch", image_batch("image", self.image, [1]))

    def term(self) -> pb.Term:
        likeness = pb.Likeness(
            layer=self.layer, image=self._batch, kind=_KINDS[self.kind], power=self.power
        )
        return pb.Term(likeness=likeness)

    def __repr__(self) -> str:
        return f"{self.kind}({self.layer})"


def _weighted(weight: float, term: pb.Term) -> pb.Term:
    if weight != 1:
        term.weight = weight
    return term


def as_objective(value: Objective | str) -> Objective:
    """An objective, or what a string says. Raises InvalidArgument for anything else."""
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        return Objective.parse(value)
    raise invalid(
        "objectives",
        f"must be strings or objectives such as striate.Unit, is {type(value).__name__}",
    )


def interpolate(a: Objective | str, b: Objective | str, count: int) -> list[Objective]:
    """`count` objectives, at least 2, in even steps from a to b: (1 - t) a + t b. Raises
    InvalidArgument.
    """
    at_least(2, count=count)
    first, last = as_objective(a), as_objective(b)
    between: Sequence[float] = [place / (count - 1) for place in range(1, count - 1)]
    return [first, *((1 - share) * first + share * last for share in between), last]
