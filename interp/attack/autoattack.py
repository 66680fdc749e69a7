"""The searches of AutoAttack, and the ensemble of them (Croce & Hein 2020, "Reliable evaluation of
adversarial robustness with an ensemble of diverse parameter-free attacks"; for L1 Croce & Hein
2021, "Mind the box").
"""

from dataclasses import replace

from torch import Tensor

from interp.ascent import Summit
from interp.attack.apgd import apgd, shrinking
from interp.attack.ball import Ball
from interp.attack.fab import LEAD, fab
from interp.attack.goal import CROSS_ENTROPY, DLR, MARGIN, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.attack.square import square
from interp.attack.target_classes import Contest, each_rival
from interp.objective import Objective
from interp.probe import Answer, Procedure
from interp.seeds import Generators

DLR_CLASSES = 4  # the least for which the targeted DLR loss is defined
SCHEDULE = 10_000  # proposals that the ensemble lays Square's schedule out for


def _climb(
    ball: Ball, goal: Goal, objective: Objective, steps: int, rows: Generators, from_outside: bool
) -> Procedure[Summit]:
    def done(answer: Answer, chosen: Tensor) -> Tensor:
        return goal.take(chosen).reached(answer)

    method = shrinking if from_outside else apgd
    return method(replace(ball, random_start=True), objective, steps, rows, done, goal.logits)


def apgd_search(
    steps: int = 100, loss: Loss = CROSS_ENTROPY, restarts: int = 1, from_outside: bool = False
) -> Search:
    """APGD from a random point, see `interp.attack.apgd`.

    Args:
        steps: gradients a row and start, at least 1.
        restarts: starts, at least 1, each of the rows that are not at their goal yet.
        from_outside: begin in larger balls, see `interp.attack.apgd.shrinking`.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[Summit]:
        return _climb(ball, goal, goal.objective(loss), steps, rows, from_outside)

    return in_turn([search] * restarts)


def apgd_targeted(steps: int = 100, targets: int = 9, from_outside: bool = False) -> Search:
    """APGD-T: towards the most probable wrong classes in turn, by the targeted DLR loss; any wrong
    class is a success.

    A network of fewer than 4 classes has no such loss. There this raises what the loss divides: the
    target's logit minus the label's. (AutoAttack itself fails there.) Of a targeted goal the one
    class is the target.
    """

    def duel(ball: Ball, goal: Contest, number: int, rows: Generators) -> Procedure[Summit]:
        loss = DLR if goal.classes >= DLR_CLASSES else LEAD
        return _climb(ball, goal, goal.towards(number, loss), steps, rows, from_outside)

    return each_rival(duel, targets)


def fab_search(steps: int = 100, targets: int = 9) -> Search:
    """FAB-T: along the boundaries to the most probable wrong classes in turn; any wrong class is a
    success. See `interp.attack.fab`.
    """
    return each_rival(lambda ball, goal, number, _: fab(ball, goal, number, steps), targets)


def square_search(
    queries: int = 5000, loss: Loss = MARGIN, planned: int | None = None, give_up: bool = False
) -> Search:
    """Square, see `interp.attack.square`."""
    return lambda ball, goal, rows: square(ball, goal, queries, rows, loss, planned, give_up)


def standard(
    p: float, steps: int = 100, targets: int = 9, queries: int = 5000
) -> dict[str, Search]:
    """The parts of the standard ensemble, by name, in their order.

    For L1, as its authors have it, both APGDs begin outside, the first of them five times, and
    APGD-T has at most 5 targets. Square gives rows up, as its authors do not: see
    `interp.attack.square.square`.
    """
    outside = p == 1
    return {
        "APGD": apgd_search(steps, restarts=5 if outside else 1, from_outside=outside),
        "APGD-T": apgd_targeted(steps, min(targets, 5) if outside else targets, outside),
        "FAB-T": fab_search(steps, targets),
        "Square": square_search(queries, planned=SCHEDULE, give_up=True),
    }


def auto_attack(p: float, steps: int = 100, targets: int = 9, queries: int = 5000) -> Search:
    """The standard ensemble: APGD on the cross-entropy, APGD-T, FAB-T and Square, each on the rows
    that are still standing.
    """
    return in_turn(list(standard(p, steps, targets, queries).values()))
