"""The wrong classes that an image is nearest to, which targeted searches head for one after the
other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.goal import Goal, Loss, Targeted, Untargeted
from interp.attack.search import Search, in_turn
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure
from interp.seeds import Generators


def most_probable_wrong_classes(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Find the classes of the largest logits other than the label.

    Args:
        logits: (B, classes).
        labels: (B,) int64.
        count: how many, at least 1.

    Returns:
        (B, count) int64 in falling order of their logits; all wrong classes if there are fewer that
        are not masked by a logit of -inf. A row with fewer than others repeats its first.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    most = max(1, int((others > -torch.inf).sum(1).max()))
    largest, classes = others.topk(min(count, most, logits.shape[1] - 1), 1)
    return torch.where(largest > -torch.inf, classes, classes[:, :1])


@dataclass(frozen=True, eq=False)
class TargetClasses:
    """A goal of classes, and the classes to head for on the way there; arriving at any wrong class
    may do.

    Attributes:
        goal: what is wanted.
        targets: (B, T) int64, the classes to head for.
        classes: how many the network has.
    """

    goal: Untargeted | Targeted
    targets: Tensor
    classes: int
    logits: bool = True

    def objective(self, loss: Loss) -> Objective:
        """That of the goal."""
        return self.goal.objective(loss)

    def reached(self, answer: Answer) -> Tensor:
        """Which rows are at the goal, (B,) bool, by whatever class."""
        return self.goal.reached(answer)

    def take(self, index: Tensor) -> "TargetClasses":
        """The same for a choice of rows."""
        return TargetClasses(self.goal.take(index), self.targets[index], self.classes)

    def towards(self, number: int, loss: Loss) -> Objective:
        """The way to the rows' target class of this number, from 0.

        Args:
            number: of the target class, from 0.
            loss: what is raised.
        """
        return loss.targeted(self.goal.labels, self.targets[:, number])


def choose_target_classes(images: Tensor, goal: Goal, count: int) -> Procedure[TargetClasses]:
    """Choose the most probable wrong classes of images as targets; of a targeted goal its target.

    Args:
        images: (B, C, H, W) in [0, 1].
        goal: of classes.
        count: targets a row, at least 1.

    Returns:
        A procedure whose result is the goal with its target classes.

    Raises:
        ValueError: the goal is not one of classes.
    """
    if not isinstance(goal, Untargeted | Targeted):
        raise ValueError("a search by target classes needs a goal of classes, not of a unit")
    answer = yield Probe(images, logits=True)
    assert answer.logits is not None
    logits = answer.logits
    targets = (
        goal.targets[:, None]
        if isinstance(goal, Targeted)
        else most_probable_wrong_classes(logits, goal.labels, count)
    )
    return TargetClasses(goal, targets, logits.shape[1])


# (ball, goal with its target classes, number of the target class, generators) -> where rows end
TargetedSearch = Callable[[Ball, TargetClasses, int, Generators], Procedure[AscentResult]]


def each_target_class(towards: TargetedSearch, count: int) -> Search:
    """Make a search that heads for the most probable wrong classes in turn, each on the rows that
    are not at their goal yet.

    Args:
        towards: the search towards one class.
        count: target classes a row, at least 1.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        chosen = yield from choose_target_classes(ball.image(ball.x), goal, count)
        each = [_numbered(towards, number) for number in range(chosen.targets.shape[1])]
        return (yield from in_turn(each)(ball, chosen, rows))

    return search


def _numbered(towards: TargetedSearch, number: int) -> Search:
    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        assert isinstance(goal, TargetClasses)
        return towards(ball, goal, number, rows)

    return search
