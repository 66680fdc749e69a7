"""The wrong classes that an image is nearest to, which targeted searches head for one after the
other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.ascent import Summit
from interp.attack.ball import Ball
from interp.attack.goal import Goal, Loss, Targeted, Untargeted
from interp.attack.search import Search, in_turn
from interp.objective import Objective
from interp.probe import Answer, Probe, Procedure
from interp.seeds import Generators


def rivals(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The `count` classes of the largest logits (B, classes) but for the label, in falling order,
    (B, count); all if there are fewer.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), 1)[1]


@dataclass(frozen=True, eq=False)
class Contest:
    """A goal of classes, and the classes to head for on the way there: (B, T), where arriving at
    any wrong class may do.
    """

    goal: Untargeted | Targeted
    rivals: Tensor
    classes: int
    logits: bool = True

    def objective(self, loss: Loss) -> Objective:
        """That of the goal."""
        return self.goal.objective(loss)

    def reached(self, answer: Answer) -> Tensor:
        """Which rows are at the goal, by whatever class."""
        return self.goal.reached(answer)

    def take(self, index: Tensor) -> "Contest":
        """The same for a choice of rows."""
        return Contest(self.goal.take(index), self.rivals[index], self.classes)

    def towards(self, number: int, loss: Loss) -> Objective:
        """The way to the rows' rival of this number."""
        return loss.targeted(self.goal.labels, self.rivals[:, number])


def contest(images: Tensor, goal: Goal, count: int) -> Procedure[Contest]:
    """The goal with the `count` most probable wrong classes of images (B, C, H, W); of a targeted
    goal its one target.

    Raises:
        ValueError: the goal is not one of classes.
    """
    if not isinstance(goal, Untargeted | Targeted):
        raise ValueError("a search by target classes needs a goal of classes, not of a unit")
    answer = yield Probe(images, logits=True)
    assert answer.logits is not None
    logits = answer.logits
    wrong = (
        goal.targets[:, None] if isinstance(goal, Targeted) else rivals(logits, goal.labels, count)
    )
    return Contest(goal, wrong, logits.shape[1])


Duel = Callable[[Ball, Contest, int, Generators], Procedure[Summit]]  # the number is the rival's


def each_rival(duel: Duel, count: int) -> Search:
    """A search that heads for the `count` most probable wrong classes in turn, each on the rows
    that are not at their goal yet.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        contested = yield from contest(ball.image(ball.x), goal, count)
        return (
            yield from in_turn(
                [_against(duel, number) for number in range(contested.rivals.shape[1])]
            )(ball, contested, rows)
        )

    return search


def _against(duel: Duel, number: int) -> Search:
    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        assert isinstance(goal, Contest)
        return duel(ball, goal, number, rows)

    return search
