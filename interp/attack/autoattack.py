"""AutoAttack, the standard ensemble (Croce & Hein 2020, "Reliable evaluation of adversarial
robustness with an ensemble of diverse parameter-free attacks"; for L1 Croce & Hein 2021, "Mind the
box").
"""

from interp.ascent import AscentResult
from interp.attack.apgd import DLR_CLASSES, apgd_search, apgd_targeted_search
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.fab import fab_search
from interp.attack.goal import Goal
from interp.attack.search import Search, in_turn
from interp.attack.square import square_search
from interp.probe import Procedure
from interp.seeds import Generators

STEPS, TARGET_CLASSES, QUERIES = 100, 9, 5000  # of the standard version
TARGET_CLASSES_L1 = 5  # of APGD-T
STARTS_L1 = 5  # of APGD
SCHEDULE = 10_000  # proposals that the ensemble lays Square's schedule out for


def auto_attack() -> Method:
    """Make the standard ensemble: APGD on the cross-entropy, APGD-T, FAB-T and Square, each on the
    rows that withstood those before.
    """

    return Method(
        ensemble_search(),
        name="autoattack",
        settings={
            "version": "standard",
            "steps": STEPS,
            "target_classes": TARGET_CLASSES,
            "queries": QUERIES,
            "give_up": True,
        },
        label="AutoAttack",
        attacks_units=False,
        classes_needed=DLR_CLASSES,
    )


def ensemble_search(
    steps: int = STEPS, target_classes: int = TARGET_CLASSES, queries: int = QUERIES
) -> Search:
    """The search of `auto_attack`, with the budgets of `standard`.

    Args:
        steps: gradients a row and start, at least 1.
        target_classes: wrong classes that are tried, at least 1.
        queries: images asked about, at least 1 a row.
    """

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        searches = standard(ball.p, steps, target_classes, queries)
        return in_turn(list(searches.values()))(ball, goal, rows)

    return search


def standard(
    p: float,
    steps: int = STEPS,
    target_classes: int = TARGET_CLASSES,
    queries: int = QUERIES,
) -> dict[str, Search]:
    """List the searches of the standard ensemble.

    For L1, as its authors have it, APGD starts five times, and APGD-T has at most 5 target classes.
    Square gives rows up, as its authors do not: see `interp.attack.square.square_search`.

    Args:
        p: the norm of the balls, `math.inf`, 2 or 1.
        steps: gradients a row, at least 1, for each start and target class.
        target_classes: wrong classes that APGD-T and FAB-T try, at least 1.
        queries: of Square, at least 1 a row.

    Returns:
        The searches by name, in their order.
    """
    targets = min(target_classes, TARGET_CLASSES_L1) if p == 1 else target_classes
    return {
        "APGD": apgd_search(steps, restarts=STARTS_L1 if p == 1 else 1),
        "APGD-T": apgd_targeted_search(steps, targets),
        "FAB-T": fab_search(steps, target_classes),
        "Square": square_search(queries, planned=SCHEDULE, give_up=True),
    }
