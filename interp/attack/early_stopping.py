"""When to give a row up: so far from its goal that no progress like its recent one would bring
it there.
"""

from collections import deque

import torch
from torch import Tensor

from interp.attack.goal import MARGIN, Goal, UnitGoal
from interp.layer import LOGITS
from interp.probe import Answer

OPTIMISM = 3.0  # a row goes on while so many times its recent progress would bring it to the goal


def distance_to_goal(goal: Goal, answer: Answer) -> Tensor:
    """Measure how far rows are from their goal.

    Args:
        goal: of the rows that were probed.
        answer: to their probe, with logits or the unit's score.

    Returns:
        (A,) in logits, or in the activation of a unit; below 0 beyond the goal.
    """
    if isinstance(goal, UnitGoal):
        assert answer.score is not None
        return goal.push * goal.level - answer.score
    assert answer.logits is not None
    return -goal.objective(MARGIN)({LOGITS: answer.logits})


def out_of_reach(before: Tensor, nearest: Tensor, taken: int, left: int) -> Tensor:
    """Decide which rows would not arrive in the steps left, not at `OPTIMISM` times their recent
    progress.

    Args:
        before: (A,) how near rows had come before the last `taken` steps.
        nearest: (A,) how near they have come by now.
        taken: steps over which progress is measured, at least 1.
        left: steps to come.

    Returns:
        (A,) bool.
    """
    return nearest > OPTIMISM * (before - nearest) / taken * left


class EarlyStopping:
    """Decides, step by step, which rows of a batch are given up.

    Args:
        count: rows of the batch.
        total: steps (or queries) that a row has in all.
        window: checks over which recent progress is measured, at least 1.
        every: steps between two checks, at least 1.
        settled: no row is given up in the first so many steps.
    """

    def __init__(
        self, count: int, total: int, window: int, every: int = 1, settled: float = 0.0
    ) -> None:
        self.total, self.every, self.settled = total, every, settled
        self.step = 0
        self.nearest = torch.full((count,), torch.inf)  # how near each row has come
        self.checks = deque[Tensor](maxlen=window + 1)  # what that was at the last checks

    def update(self, distance: Tensor, rows: Tensor) -> Tensor:
        """Take in one more step.

        Args:
            distance: (A,) of `distance_to_goal`, one entry an active row.
            rows: (A,) int64, the active rows' numbers in the batch.

        Returns:
            (A,) bool, the rows to be given up.
        """
        if not self.step:
            self.nearest = self.nearest.to(distance)
        self.step += 1
        self.nearest[rows] = torch.minimum(self.nearest[rows], distance)
        if self.step % self.every == 0:
            self.checks.append(self.nearest.clone())
            taken = (len(self.checks) - 1) * self.every
            if taken and self.step > self.settled:
                before, left = self.checks[0][rows], self.total - self.step
                return out_of_reach(before, self.nearest[rows], taken, left)
        return torch.zeros_like(distance, dtype=torch.bool)
