"""When to give a row up: it is so far from its goal that no pace like its recent one would bring it
there.
"""

from torch import Tensor

from interp.attack.goal import MARGIN, Goal, UnitGoal
from interp.layer import LOGITS
from interp.probe import Answer

OPTIMISM = 3.0  # a row goes on while so many times its pace would bring it to the goal


def shortfall(goal: Goal, answer: Answer) -> Tensor:
    """How far rows are from their goal, (B,): in logits, or in the activation of a unit; below 0
    beyond it.
    """
    if isinstance(goal, UnitGoal):
        assert answer.score is not None
        return goal.push * goal.level - answer.score
    assert answer.logits is not None
    return -goal.objective(MARGIN)({LOGITS: answer.logits})


def hopeless(before: Tensor, nearest: Tensor, taken: int, left: int) -> Tensor:
    """Which rows (B,) would not arrive in `left` tries, not at `OPTIMISM` times the pace of the
    last `taken`.

    `before` and `nearest` (B,) are how near they had come before those, and have come by now.
    """
    return nearest > OPTIMISM * (before - nearest) / taken * left
