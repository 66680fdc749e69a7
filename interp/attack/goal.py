"""What an attack wants of every image: a wrong class, a given class, or one unit silenced or
driven.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from interp.attack.losses import (
    cross_entropy,
    dlr,
    dlr_targeted,
    margin,
    target_likelihood,
    target_margin,
)
from interp.attack.unanswered import legal_logits
from interp.objective import Objective
from interp.probe import Answer
from interp.seeds import Generators


class Loss(NamedTuple):
    """What an attack raises.

    Attributes:
        name: in settings and reports.
        untargeted: labels (B,) -> what leads away from them.
        targeted: (labels (B,), targets (B,)) -> what leads from labels to targets.
        classes_needed: of a network, the fewest for which the untargeted loss is defined.
        classes_needed_targeted: the fewest for which the targeted loss is.
    """

    name: str
    untargeted: Callable[[Tensor], Objective]
    targeted: Callable[[Tensor, Tensor], Objective]
    classes_needed: int = 2
    classes_needed_targeted: int = 2

    def __repr__(self) -> str:
        return f"Loss({self.name!r})"


CROSS_ENTROPY = Loss("cross-entropy", cross_entropy, lambda _, targets: target_likelihood(targets))
MARGIN = Loss("margin", margin, lambda _, targets: target_margin(targets))
DLR = Loss("dlr", dlr, dlr_targeted, 3, 4)


class Goal(Protocol):
    """What is wanted of the rows of a batch.

    Attributes:
        logits: whether `reached` reads the answer's logits; otherwise the score of `objective`.
    """

    @property
    def logits(self) -> bool: ...

    def objective(self, loss: Loss) -> Objective:
        """What a search raises to get there."""

    def reached(self, answer: Answer) -> Tensor:
        """Which rows are there, (B,) bool, by an answer to a probe of exactly these rows; none is
        whose logits or activation are no numbers.
        """

    def take(self, index: Tensor) -> "Goal":
        """The same for a choice of rows."""


def _answered_prediction(answer: Answer) -> tuple[Tensor, Tensor]:
    """The class of each row, and whether its logits name one."""
    assert answer.logits is not None
    return answer.logits.argmax(1), legal_logits(answer.logits)


@dataclass(frozen=True, eq=False)
class Untargeted:
    """Any class but the label, (B,) int64."""

    labels: Tensor
    logits: bool = True

    def objective(self, loss: Loss) -> Objective:
        """The loss of the labels."""
        return loss.untargeted(self.labels)

    def reached(self, answer: Answer) -> Tensor:
        """Which rows are taken for something else."""
        prediction, answered = _answered_prediction(answer)
        return answered & (prediction != self.labels)

    def take(self, index: Tensor) -> "Untargeted":
        """The same for a choice of rows."""
        return Untargeted(self.labels[index])


@dataclass(frozen=True, eq=False)
class Targeted:
    """The target in place of the label, both (B,) int64."""

    labels: Tensor
    targets: Tensor
    logits: bool = True

    def objective(self, loss: Loss) -> Objective:
        """The way from label to target."""
        return loss.targeted(self.labels, self.targets)

    def reached(self, answer: Answer) -> Tensor:
        """Which rows are taken for their target."""
        prediction, answered = _answered_prediction(answer)
        return answered & (prediction == self.targets)

    def take(self, index: Tensor) -> "Targeted":
        """The same for a choice of rows."""
        return Targeted(self.labels[index], self.targets[index])


@dataclass(frozen=True, eq=False)
class UnitGoal:
    """An activation past a level: `push` is 1 to drive a unit above it, -1 to bring it down to it.

    Attributes:
        activation: the unit's activation on every row, see `interp.objective.activation`.
        level: (B,) in the activation's own units.
    """

    activation: Objective
    push: float
    level: Tensor
    logits: bool = False

    def objective(self, loss: Loss) -> Objective:
        """The activation, up or down; the loss is one of logits and is not asked."""
        return self.activation * self.push

    def reached(self, answer: Answer) -> Tensor:
        """Driven: above the level. Silenced: at or below it."""
        assert answer.score is not None
        activation = answer.score * self.push
        there = activation > self.level if self.push > 0 else activation <= self.level
        return there & activation.isfinite()

    def take(self, index: Tensor) -> "UnitGoal":
        """The same for a choice of rows."""
        return UnitGoal(self.activation.take(index), self.push, self.level[index])


def silence(activation: Objective, clean: Tensor, level: float | None = None) -> UnitGoal:
    """Make the goal of bringing activations down to a level.

    Args:
        activation: of the unit, one score a row.
        clean: (B,) its values on the clean images.
        level: in the activation's units; None: a tenth of the clean value, and of one that is
            negative already, below it by nine tenths of its size.
    """
    return UnitGoal(
        activation,
        -1.0,
        clean - 0.9 * clean.abs() if level is None else torch.full_like(clean, level),
    )


def drive(activation: Objective, clean: Tensor, level: float | None = None) -> UnitGoal:
    """Make the goal of bringing activations above a level.

    Args:
        activation: of the unit, one score a row.
        clean: (B,) its values on the clean images.
        level: in the activation's units; None: twice the clean value, or 0 if that is negative.
    """
    return UnitGoal(
        activation, 1.0, clean + clean.abs() if level is None else torch.full_like(clean, level)
    )


# (clean logits (B, classes), labels (B,), generators) -> targets (B,)
Choice = Callable[[Tensor, Tensor, Generators], Tensor]


def _wrong_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, classes) bool: the classes other than the label that are not masked by a logit of -inf.
    Of a row without such a class, all but the label.
    """
    wrong = torch.ones_like(logits, dtype=torch.bool).scatter(1, labels[:, None], False)
    unmasked = wrong & (logits != -torch.inf)
    return torch.where(unmasked.any(1, keepdim=True), unmasked, wrong)


def least_likely(logits: Tensor, labels: Tensor, rows: Generators) -> Tensor:
    """Choose the class of the lowest logit, other than the label (Kurakin et al. 2017, "Adversarial
    machine learning at scale", section 3), and other than what is masked by a logit of -inf.

    Args:
        logits: (B, classes) on the clean images.
        labels: (B,) int64.
        rows: one generator a row, of which nothing is drawn.

    Returns:
        (B,) int64.
    """
    return logits.masked_fill(~_wrong_classes(logits, labels), torch.inf).argmin(1)


def random_class(logits: Tensor, labels: Tensor, rows: Generators) -> Tensor:
    """Draw one of the other classes that are not masked by a logit of -inf, each as probable as the
    next.

    Args:
        logits: (B, classes), of which only the number of classes and the masks matter.
        labels: (B,) int64.
        rows: one generator a row.

    Returns:
        (B,) int64.
    """
    wrong = _wrong_classes(logits, labels).tolist()
    drawn = []
    for mask, label, rng in zip(wrong, labels.tolist(), rows, strict=True):
        # counted from the label on, in a circle
        ahead = [c % len(mask) for c in range(label + 1, label + len(mask)) if mask[c % len(mask)]]
        drawn.append(ahead[int(rng.integers(1, len(ahead) + 1)) - 1])
    return torch.tensor(drawn, device=labels.device)
