"""Objectives compose: sums of weighted terms, and the units of a network as the simplest term."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from striate._rpc.checks import at_least, number
from striate._rpc.unit_names import check_unit
from striate.errors import invalid
from striate.objective import expression


class Objective(ABC):
    """What a picture is to raise: a weighted sum of 1 to 16 terms.

    `a + b`, `a - b`, `-a`, `2 * a` and `a / 2` compose; a string stands for what it says.
    """

    @property
    @abstractmethod
    def terms(self) -> tuple[tuple[float, Term], ...]:
        """The terms, each behind its weight."""

    @staticmethod
    def parse(text: str) -> Objective:
        """Reads an objective such as "layer3.2:7 - 0.5*layer3.2:8 + logits:3".

        Args:
            text: A sum of units, each with a factor or without.

        Returns:
            The objective.

        Raises:
            InvalidArgument: The text is none; the message says what is wrong where.
        """
        terms = [(weight, Unit(name)) for weight, name in expression.read(text)]
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else Sum(tuple(terms))

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


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """Several terms, each behind its weight.

    Attributes:
        weighted: The terms, each behind its weight.
    """

    weighted: tuple[tuple[float, Term], ...]

    @property
    def terms(self) -> tuple[tuple[float, Term], ...]:
        return self.weighted


@dataclass(frozen=True, repr=False)
class Unit(Term):
    """A unit of the network, a whole layer, or a class.

    Attributes:
        name: "layer:unit" for the mean of a channel (or a feature of a linear layer),
            "layer:unit@row,column" for one neuron, "layer:unit@center" for that in the middle (row
            h // 2, column w // 2), "layer" for the mean square of the whole layer (DeepDream),
            "logits:class" for a class logit, with the number or name of a class. "neg(...)" of a
            unit or neuron is minus its activation, "abs(...)" the magnitude of its activation (of
            the mean of a channel, not the mean of magnitudes). Names with characters other than
            letters, digits, "_", ".", "/" and "-" stand in quotes: '"block a":7',
            'logits:"sea lion"'.

    `-unit` and `abs(unit)` mean the same as the names.

    Raises:
        InvalidArgument: `name` is none of these.
    """

    name: str

    def __post_init__(self) -> None:
        check_unit("unit", self.name, whole_layers=True)

    def __abs__(self) -> Unit:
        check_unit("unit", self.name)
        return Unit(f"abs({self.name})")

    def __repr__(self) -> str:
        return self.name


def as_objective(value: Objective | str) -> Objective:
    """Takes an objective, or what a string says.

    Args:
        value: An objective, or a text for Objective.parse.

    Returns:
        The objective.

    Raises:
        InvalidArgument: It is neither, or the text says none.
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        return Objective.parse(value)
    raise invalid(
        "objectives",
        f"must be strings or objectives such as striate.Unit, is {type(value).__name__}",
    )


def interpolate(a: Objective | str, b: Objective | str, count: int) -> list[Objective]:
    """Makes objectives in even steps from one to another: (1 - t) a + t b.

    Args:
        a: The first objective.
        b: The last one.
        count: How many there are in all, at least 2.

    Returns:
        The objectives, a and b included.

    Raises:
        InvalidArgument: `a` or `b` is no objective, or `count` is below 2.
    """
    at_least(2, count=count)
    first, last = as_objective(a), as_objective(b)
    between: Sequence[float] = [place / (count - 1) for place in range(1, count - 1)]
    return [first, *((1 - share) * first + share * last for share in between), last]
