"""APGD and its targeted form as methods (Croce & Hein 2020; for L1 Croce & Hein 2021)."""

from dataclasses import replace

from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd_ascent import apgd_ascent, apgd_decreasing_radii
from interp.attack.ball import Ball
from interp.attack.base import Method, method_label
from interp.attack.fab import TARGET_LEAD
from interp.attack.goal import CROSS_ENTROPY, DLR, Goal, Loss
from interp.attack.search import Search, in_turn
from interp.attack.target_classes import TargetClasses, each_target_class
from interp.objective import Objective
from interp.probe import Answer, Procedure
from interp.seeds import Generators

DLR_CLASSES = 4  # the least for which the targeted DLR loss is defined


def apgd(
    steps: int = 100,
    loss: Loss = CROSS_ENTROPY,
    restarts: int = 1,
    target_classes: int = 0,
) -> Method:
    """Make APGD, PGD that sets its own step sizes, see `interp.attack.apgd_ascent`.

    Args:
        steps: gradients a row and start, at least 1.
        loss: what is raised.
        restarts: random starts, at least 1, each of the rows that are not at their goal yet.
        target_classes: 0, or how many wrong classes `apgd_t` tries, which this then is; it has a
            loss of its own.
    """
    if target_classes:
        return apgd_t(steps, target_classes, restarts)
    return Method(
        apgd_search(steps, loss, restarts),
        name="apgd",
        settings={"steps": steps, "loss": loss.name, "restarts": restarts},
        label=method_label(
            "APGD", steps, loss=None if loss is CROSS_ENTROPY else loss.name, restarts=restarts
        ),
        classes_needed=loss.classes_needed,
    )


def apgd_t(steps: int = 100, target_classes: int = 9, restarts: int = 1) -> Method:
    """Make APGD-T, which heads for the most probable wrong classes in turn (Croce & Hein 2020,
    section 4).

    Of a targeted attack the one class is the target.

    Args:
        steps: gradients a row, target class and start, at least 1.
        target_classes: how many wrong classes are tried, at least 1; all if there are fewer.
        restarts: random starts, at least 1.
    """
    return Method(
        in_turn([apgd_targeted_search(steps, target_classes)] * restarts),
        name="apgd-t",
        settings={"steps": steps, "target_classes": target_classes, "restarts": restarts},
        label=method_label("APGD-T", steps, restarts=restarts),
        attacks_units=False,
        classes_needed=DLR_CLASSES,
    )


def apgd_search(steps: int, loss: Loss = CROSS_ENTROPY, restarts: int = 1) -> Search:
    """The search of `apgd`: from a random point, in L1 from larger balls on.

    Args:
        steps: gradients a row and start, at least 1.
        loss: what is raised.
        restarts: starts, at least 1.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        return _climb(ball, goal, goal.objective(loss), steps, rows)

    return in_turn([search] * restarts)


def apgd_targeted_search(steps: int, target_classes: int) -> Search:
    """The search of `apgd_t` by the targeted DLR loss; any wrong class is a success.

    A network of fewer than 4 classes has no such loss. There this raises what the loss divides: the
    target's logit minus the label's. (AutoAttack itself fails there.)

    Args:
        steps: gradients a row and start, at least 1.
        target_classes: wrong classes that are tried, at least 1.
    """

    def towards(
        ball: Ball, goal: TargetClasses, number: int, rows: Generators
    ) -> Procedure[AscentResult]:
        loss = DLR if goal.classes >= DLR_CLASSES else TARGET_LEAD
        return _climb(ball, goal, goal.towards(number, loss), steps, rows)

    return each_target_class(towards, target_classes)


def _climb(
    ball: Ball, goal: Goal, objective: Objective, steps: int, rows: Generators
) -> Procedure[AscentResult]:
    def done(answer: Answer, chosen: Tensor) -> Tensor:
        return goal.take(chosen).reached(answer)

    ascent = apgd_decreasing_radii if ball.p == 1 else apgd_ascent
    return ascent(replace(ball, random_start=True), objective, steps, rows, done, goal.logits)
