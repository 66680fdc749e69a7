"""The rows that a network does not answer: its gradient, logits or activations are no numbers.

Such a row is neither fooled nor robust. It costs itself alone: it is shown to the network no more,
and the others get what they would get without it.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import TypeVar

import torch
from torch import Tensor

from interp.probe import Answer, Probe, Procedure

T = TypeVar("T")


class Failure(IntEnum):
    """What was found of a row that is infinite or not a number; where several are, the first."""

    NONE = 0
    GRADIENT = 1  # with respect to its pixels
    LOGITS = 2
    ACTIVATION = 3  # of the unit that is attacked


FOUND = {
    Failure.GRADIENT: "its gradient is infinite or not a number",
    Failure.LOGITS: "its logits are no numbers that name a class",
    Failure.ACTIVATION: "the unit's activation is infinite or not a number",
}


def legal_logits(logits: Tensor) -> Tensor:
    """Tell whether rows of logits name a class: their largest is a finite number.

    A class of logit -inf is masked: it has a probability of 0, which is legal.

    Args:
        logits: (B, classes).

    Returns:
        (B,) bool.
    """
    return logits.amax(1).isfinite()


def finite_rows(values: Tensor) -> Tensor:
    """Tell which rows of (B, ...) hold finite numbers alone, (B,) bool."""
    return values.isfinite().flatten(1).all(1) if values.ndim > 1 else values.isfinite()


class Unanswered:
    """Which rows of a batch are not answered, and why.

    Attributes:
        failure: (B,) int64, a `Failure` each.
        step: (B,) int64, the step (or query) of the search at which that was found, from 1; 0: on
            the clean image.
        last_step: of what was watched last, 0 before there is one.
    """

    def __init__(self, count: int, device: torch.device | str) -> None:
        """Begin with every row answered.

        Args:
            count: rows of the batch.
            device: where the rows' tensors live.
        """
        self.failure = torch.zeros(count, dtype=torch.int64, device=device)
        self.step = torch.zeros(count, dtype=torch.int64, device=device)
        self.last_step = 0

    @property
    def rows(self) -> Tensor:
        """(B,) bool: the rows that are not answered."""
        return self.failure != Failure.NONE

    def note(self, failure: Tensor, rows: Tensor, step: int | Tensor = 0) -> None:
        """Note why rows are not answered; of a row the first reason counts.

        Args:
            failure: (A,) a `Failure` each.
            rows: (A,) int64, the rows' numbers.
            step: at which it was found, one for all or (A,).
        """
        new = (failure != Failure.NONE) & ~self.rows[rows]
        at = torch.as_tensor(step, device=rows.device).expand(len(rows))
        self.failure[rows[new]], self.step[rows[new]] = failure[new], at[new]

    def watch(self, procedure: Procedure[T]) -> Procedure[T]:
        """Run a procedure on this batch that knows nothing of rows that are not answered.

        When such a row has been found it is asked about no more, and everything is answered by NaN.
        What the procedure returns of it means nothing.

        Args:
            procedure: one that has not begun, whose probes name their rows.

        Returns:
            The same procedure.
        """
        classes = 0
        try:
            probe = next(procedure)
            while True:
                count = len(probe.images)
                rows = (
                    torch.arange(count, device=self.failure.device)
                    if probe.rows is None
                    else probe.rows
                )
                if probe.progress is not None:
                    self.last_step = probe.progress.step
                (asked,) = (~self.rows[rows]).nonzero(as_tuple=True)
                answer: Answer | None = None
                if len(asked) or not count:
                    part = probe if len(asked) == count else _take(probe, asked)
                    answer = yield replace(part, finite=False)
                    classes = classes if answer.logits is None else answer.logits.shape[1]
                    found = failures(answer, part)
                    if probe.spare is not None:
                        found[probe.spare[asked]] = Failure.NONE
                    self.note(found, rows[asked], self.last_step)
                if len(asked) < count:
                    answer = _spread(answer or Answer(), probe, classes, asked)
                probe = procedure.send(answer or Answer())
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            procedure.close()


def unchecked(procedure: Procedure[T]) -> Procedure[T]:
    """Run a procedure that takes whatever numbers a network gives.

    Args:
        procedure: one that has not begun.

    Returns:
        The same procedure, which is not ended by answers that are no numbers.
    """
    return _asking(procedure, lambda probe: replace(probe, finite=False))


def spared(procedure: Procedure[T]) -> Procedure[T]:
    """Run a procedure that can do without answers: it goes on from what it has.

    Args:
        procedure: one that has not begun.

    Returns:
        The same procedure, none of whose rows fails for want of an answer.
    """

    def spare(probe: Probe) -> Probe:
        every = torch.ones(len(probe.images), dtype=torch.bool, device=probe.images.device)
        return replace(probe, spare=every)

    return _asking(procedure, spare)


def _asking(procedure: Procedure[T], changed: Callable[[Probe], Probe]) -> Procedure[T]:
    """Run a procedure whose probes are changed before they are asked."""
    try:
        probe = next(procedure)
        while True:
            probe = procedure.send((yield changed(probe)))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        procedure.close()


def failures(answer: Answer, probe: Probe) -> Tensor:
    """Find out which rows of a probe are not answered.

    An infinite loss is no failure, as that of a label whose class is masked is infinite.

    Args:
        answer: to the probe.
        probe: of (A,) rows, at least one.

    Returns:
        (A,) int64, a `Failure` each.
    """
    found = torch.zeros(len(probe.images), dtype=torch.int64, device=probe.images.device)
    if answer.score is not None:
        amiss = answer.score.isnan() if probe.logits else ~answer.score.isfinite()
        found[amiss.to(found.device)] = Failure.ACTIVATION
    if answer.grad is not None:
        found[~finite_rows(answer.grad).to(found.device)] = Failure.GRADIENT
    if answer.logits is not None:
        found[~legal_logits(answer.logits).to(found.device)] = Failure.LOGITS
    return found


def _take(probe: Probe, index: Tensor) -> Probe:
    """The same probe of a choice of its rows."""
    return replace(
        probe,
        images=probe.images[index],
        objective=probe.objective.take(index) if probe.objective else None,
        rows=None if probe.rows is None else probe.rows[index],
    )


def _spread(answer: Answer, probe: Probe, classes: int, asked: Tensor) -> Answer:
    """An answer to the rows `asked` (A,) of a probe as one to all of them, NaN for the others."""
    images = probe.images

    def spread(values: Tensor | None, wanted: bool, *shape: int) -> Tensor | None:
        if not wanted:
            return None
        known = images if values is None else values
        whole = known.new_full((len(images), *shape), torch.nan)
        return whole if values is None else whole.index_copy(0, asked, values)

    return Answer(
        spread(answer.score, probe.objective is not None),
        spread(answer.grad, probe.differentiates, *images.shape[1:]),
        spread(answer.logits, probe.logits, classes),
    )
