"""What a procedure asks of a network, and what it is told.

A procedure is a generator that asks: it yields a `Probe` and is sent an `Answer`. It never calls
the network; whoever drives it decides how probes are answered, alone (`solve`) or in company (the
service's engine).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from torch import Tensor

from interp.objective import Objective

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a procedure is: the step that this probe belongs to, from 1, of `steps`; `preview`
    draws the present images.
    """

    step: int
    steps: int
    preview: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a procedure wants to know of images (B, C, H, W) in [0, 1].

    With an objective: its score, and its gradient if `gradient`. Without: `layers` and `logits`
    alone, by a forward pass that keeps nothing for a backward pass.
    """

    images: Tensor
    objective: Objective | None = None
    gradient: bool = True
    logits: bool = False
    layers: tuple[str, ...] = ()
    redirect: bool = False  # the gradient is taken through redirected rectifiers
    splittable: bool = True  # rows may be answered in separate passes
    progress: Progress | None = None
    finite: bool = True  # values that are not finite would be of no use

    @property
    def differentiates(self) -> bool:
        """Whether answering takes a backward pass."""
        return self.objective is not None and self.gradient


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a probe, row by row: what was not asked for is None or absent."""

    score: Tensor | None = None  # (B,)
    grad: Tensor | None = None  # (B, C, H, W)
    logits: Tensor | None = None  # (B, classes)
    activations: dict[str, Tensor] = field(default_factory=dict)  # layer -> (B, ...)


Procedure = Generator[Probe, Answer, T]


class Oracle(Protocol):
    """Whatever answers probes: a `Network`, or a test's stand-in."""

    def answer(self, probes: list[Probe]) -> list[Answer]: ...


def solve(procedure: Procedure[T], network: Oracle) -> T:
    """Drive one procedure to its end, alone, and return its result."""
    try:
        probe = next(procedure)
        while True:
            (answer,) = network.answer([probe])
            probe = procedure.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
