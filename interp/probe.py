"""What a procedure asks of a network, and what it is answered.

A procedure is a generator that asks: it yields a `Probe` and is sent an `Answer`. It never calls
the network; whoever drives it decides how probes are answered, alone (`solve`) or in company (the
service's engine).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from torch import Tensor

from interp.objective import Objective

T = TypeVar("T")


@dataclass(frozen=True)
class StepProgress:
    """How far a procedure is.

    Attributes:
        step: the one that a probe belongs to, from 1.
        steps: how many there are.
        preview: draws the present images, (B, C, H, W) in [0, 1].
    """

    step: int
    steps: int
    preview: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a procedure wants to know of images.

    With an objective: its score, and its gradient if `gradient`. Without: `layers` and `logits`
    alone, by a forward pass that keeps nothing for a backward pass.

    Attributes:
        images: (B, C, H, W) in [0, 1]; views may leave that range.
        objective: of B rows.
        gradient: whether the objective's gradient with respect to the images is wanted.
        logits: whether the logits are wanted.
        layers: dotted names of the layers whose outputs are wanted.
        redirect: whether the gradient is taken through redirected rectifiers, see
            `interp.network.rectifier`.
        splittable: whether rows may be answered in separate passes.
        progress: how far the procedure is, if it counts its steps.
        finite: whether values that are not finite would be of no use.
        rows: (B,) int64, which rows of the batch that its procedure was given the images belong to,
            for whoever looks on, see `on_rows`; None: all of them, in order. No answer depends on
            it.
        spare: (B,) bool, the rows that its procedure can do without an answer to, such as images
            outside the ball in which it searches; None: none of them.
    """

    images: Tensor
    objective: Objective | None = None
    gradient: bool = True
    logits: bool = False
    layers: tuple[str, ...] = ()
    redirect: bool = False
    splittable: bool = True
    progress: StepProgress | None = None
    finite: bool = True
    rows: Tensor | None = None
    spare: Tensor | None = None

    @property
    def differentiates(self) -> bool:
        """Whether answering takes a backward pass."""
        return self.objective is not None and self.gradient


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a probe, row by row: what was not asked for is None or absent.

    Attributes:
        score: (B,) of the objective.
        grad: (B, C, H, W) of the score, with respect to the images.
        logits: (B, classes).
        activations: layer -> its output (B, ...).
    """

    score: Tensor | None = None
    grad: Tensor | None = None
    logits: Tensor | None = None
    activations: dict[str, Tensor] = field(default_factory=dict)


Procedure = Generator[Probe, Answer, T]


class Oracle(Protocol):
    """Whatever answers probes: a `Network`, or a test's stand-in."""

    def answer(self, probes: list[Probe]) -> list[Answer]:
        """Answer probes.

        Args:
            probes: of any number.

        Returns:
            One answer a probe, in order.
        """


def solve(procedure: Procedure[T], network: Oracle) -> T:
    """Drive one procedure to its end, alone.

    Args:
        procedure: one that has not begun.
        network: answers its probes.

    Returns:
        what the procedure returns.
    """
    try:
        probe = next(procedure)
        while True:
            (answer,) = network.answer([probe])
            probe = procedure.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


def on_rows(procedure: Procedure[T], index: Tensor) -> Procedure[T]:
    """Run a procedure that was given a choice of the rows of a larger batch, so that its probes
    name the rows of that batch.

    Args:
        procedure: one that has not begun.
        index: (A,) int64, the numbers in the larger batch of the rows that it was given.

    Returns:
        The same procedure, its probes renumbered.
    """
    try:
        probe = next(procedure)
        while True:
            of = index[: len(probe.images)] if probe.rows is None else index[probe.rows]
            probe = procedure.send((yield replace(probe, rows=of)))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        procedure.close()
