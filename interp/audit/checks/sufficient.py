"""Whether an audit's own attacks are strong enough for what it says: nobody else's may do much
better.
"""

from functools import partial

import torch
from torch import Tensor

from interp.attack.ball import Ball, radii
from interp.attack.base import Method
from interp.attack.goal import CROSS_ENTROPY, MARGIN, Untargeted
from interp.audit.checks.check import CHANGE, Check, count, gap, skipped
from interp.audit.checks.outputs import look
from interp.audit.checks.strength import NOISES, white_box
from interp.audit.conditions import NORMS, condition
from interp.audit.plan import Plan
from interp.probe import Procedure
from interp.seeds import Generators, generators

STEPS = 50  # of the attacks that are compared with
RUN, APART = (
    2**52,
    2**51,
    # what lies between the seeds of two runs, and between them and those of
    # `interp.audit.checks.strength`
)
SOURCE = "Carlini et al. 2019, section 4.1"  # on attacks as strong as the threat model allows


def sufficient(
    x: Tensor, labels: Tensor, plan: Plan, *, attacked: int = 128
) -> Procedure[list[Check]]:
    """At each threat's largest epsilon, do PGD of 50 steps, on two losses, or draws of noise fool
    what no attack of the plan does?

    For L1 it is APGD of 100 steps. It fails where that is so for more images than can be explained
    if 5% are tolerated, by an exact test at the level of `interp.audit.checks.check`.

    Args:
        x, labels: images (B, C, H, W) in [0, 1] and their classes (B,); the first `attacked` that
            are classified correctly count.
    """
    row = ((yield from look(x)).argmax(1) == labels.to(x.device)).nonzero(as_tuple=True)[0][
        :attacked
    ]
    checks = []
    for number, threat in enumerate(plan.threats):
        name, largest = NORMS[threat.p], max(threat.epsilons)
        if not len(row) or not plan.attacks:
            reason = (
                "No image is classified correctly." if plan.attacks else "The audit has no attacks."
            )
            checks += [
                skipped(f"attacks-{name}", reason, SOURCE),
                skipped(f"control-{name}", reason, SOURCE),
            ]
            continue
        first_run = number * (len(plan.attacks) + 3)
        fooled = partial(_fooled, x[row], labels[row], row, plan, first_run, (largest, threat.p))
        left = torch.ones_like(row, dtype=torch.bool)
        for run, entry in enumerate(plan.attacks):
            left &= ~(yield from fooled(run, entry.method, left))
        stronger = torch.zeros_like(left)
        for run, loss in enumerate((CROSS_ENTROPY, MARGIN), start=len(plan.attacks)):
            stronger |= yield from fooled(run, white_box(threat.p, STEPS, loss), left & ~stronger)
        noisy = yield from _noise(
            x[row], labels[row], row, plan, first_run, (largest, threat.p), left
        )
        where, whose = condition(threat.p, largest), "no attack of the audit does"
        finder = f"PGD of {STEPS} steps" if threat.p != 1 else f"APGD of {2 * STEPS} steps"
        checks.append(
            gap(
                f"attacks-{name}",
                f"{finder} at {where}",
                count(stronger),
                len(row),
                SOURCE,
                CHANGE,
                whose,
            )
        )
        checks.append(
            gap(
                f"control-{name}",
                f"Noise at {where}",
                count(noisy),
                len(row),
                SOURCE,
                CHANGE,
                whose,
            )
        )
    return checks


def _ball(x: Tensor, epsilon: float | Tensor, p: float, plan: Plan) -> Ball:
    """The threat model as the audit has it."""
    x = (x * 255).round() / 255 if plan.eight_bit else x
    return Ball(x, radii(epsilon, x), p, eight_bit=plan.eight_bit)


def _fooled(
    x: Tensor,
    labels: Tensor,
    row: Tensor,
    plan: Plan,
    first_run: int,
    radius: tuple[float, float],
    run: int,
    method: Method,
    among: Tensor,
) -> Procedure[Tensor]:
    """Which of the images (B,) the method fools within (epsilon, p), judged anew on what it
    returns; those not `among` (B,) count as not fooled.
    """
    verdict, which = torch.zeros_like(among), among.nonzero(as_tuple=True)[0]
    if len(which):
        ball, streams = (
            _ball(x[which], *radius, plan),
            _streams(plan, first_run + run, row[which]),
        )
        summit = yield from method.search(ball, Untargeted(labels[which]), streams)
        verdict[which] = ((yield from look(summit.images)).argmax(1) != labels[which]).to(verdict)
    return verdict


def _noise(
    x: Tensor,
    labels: Tensor,
    row: Tensor,
    plan: Plan,
    first_run: int,
    radius: tuple[float, float],
    among: Tensor,
) -> Procedure[Tensor]:
    """Which of the images some draw of noise of (epsilon, p) fools."""
    verdict, which = torch.zeros_like(among), among.nonzero(as_tuple=True)[0]
    streams = _streams(plan, first_run + len(plan.attacks) + 2, row[which])
    for _ in range(NOISES if len(which) else 0):
        ball = _ball(x[which], *radius, plan)
        noisy = ball.image(ball.noise(streams))
        verdict[which] |= ((yield from look(noisy)).argmax(1) != labels[which]).to(verdict)
    return verdict


def _streams(plan: Plan, run: int, row: Tensor) -> Generators:
    return [
        generators(plan.seed + APART + RUN * (run + 1), number, 1)[0] for number in row.tolist()
    ]
