"""The white-box attack that an audit's checks measure, and at which radii it fools whom."""

import math
from dataclasses import replace

from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd_ascent import apgd_ascent
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, Goal, Loss
from interp.attack.pgd import pgd
from interp.audit.checks.check import count
from interp.audit.checks.trials import AttackTrials
from interp.probe import Procedure
from interp.seeds import Generators

MOST_RADII = 6  # each twice another
HALF = 0.5  # of the images, which the white-box attack is to fool


def white_box(
    p: float, steps: int, loss: Loss = CROSS_ENTROPY, random_start: bool = True
) -> Method:
    """Make the attack that is measured: PGD; for L1, in which PGD is weaker, APGD with twice the
    steps.

    Args:
        p: the norm of the balls, `math.inf`, 2 or 1.
        steps: of PGD, at least 1.
        loss: what is raised.
        random_start: begin at a random point of the ball.
    """
    if p != 1:
        return pgd(steps=steps, loss=loss, random_start=random_start)

    def search(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
        start = replace(ball, random_start=random_start)
        return (
            yield from apgd_ascent(
                start,
                goal.objective(loss),
                2 * steps,
                rows,
                lambda answer, chosen: goal.take(chosen).reached(answer),
            )
        )

    return Method(search, name="apgd")


# a radius, which images (B,) bool the white-box attack fools there
RadiusResult = tuple[float, Tensor]


def gray_radius(attacked: AttackTrials) -> float:
    """Compute the radius at which every ball holds uniform gray, from which nothing can be told."""
    return 0.5 if attacked.p == math.inf else 0.5 * attacked.x[0].numel() ** (1 / attacked.p)


def radius_sweep(
    attacked: AttackTrials, run: int, epsilon: float, steps: int
) -> Procedure[list[RadiusResult]]:
    """Run the white-box attack independently at rising radii, at least two, until more than half
    the images are fooled.

    They go up from `epsilon` by doubling, but not beyond `gray_radius`, or down by halving, until
    fewer than half are fooled.

    Args:
        attacked: the images.
        run: number of the first run; each radius takes one.
        epsilon: the threat model's radius, above 0.
        steps: of the attack.

    Returns:
        A procedure whose result is what was found, by rising radius.
    """

    def few(result: RadiusResult) -> bool:
        return count(result[1]) < HALF * len(attacked.x)

    method, largest = white_box(attacked.p, steps), gray_radius(attacked)
    found = [(epsilon, (yield from attacked.fooled(run, method, epsilon)))]
    factor = 2.0 if few(found[0]) and 2 * epsilon <= largest else 0.5
    while len(found) < MOST_RADII and factor * found[-1][0] <= max(epsilon, largest):
        radius = factor * found[-1][0]
        fooled = yield from attacked.fooled(run + len(found), method, radius)
        found.append((radius, fooled))
        if few(found[-1]) == (factor < 1):
            break
    return sorted(found, key=lambda result: result[0])
