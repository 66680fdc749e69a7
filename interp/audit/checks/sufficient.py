"""Whether an audit's own attacks are strong enough for what it says: nobody else's may do much
better.
"""

import torch
from torch import Tensor

from interp.attack.goal import CROSS_ENTROPY, MARGIN
from interp.audit.checks.check import CHANGE, Check, count, gap, skipped
from interp.audit.checks.outputs import predict_logits
from interp.audit.checks.trials import AttackTrials
from interp.audit.checks.white_box import white_box
from interp.audit.conditions import NORMS, condition
from interp.audit.plan import Plan, Threat
from interp.probe import Procedure

STEPS = 50  # of the attacks that are compared with
APART = 2**51  # what lies between the seeds of these runs and those of `check_attacks`
SOURCE = "Carlini et al. 2019, section 4.1"  # on attacks as strong as the threat model allows


def check_sufficiency(
    x: Tensor, labels: Tensor, plan: Plan, *, attacked: int = 128
) -> Procedure[list[Check]]:
    """At each threat's largest epsilon, do PGD of 50 steps, on two losses, or draws of noise fool
    what no attack of the plan does?

    For L1 it is APGD of 100 steps. It fails where that is so for more images than can be explained
    if 5% are tolerated, by an exact test at the level of `interp.audit.checks.check`.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.
        plan: of the audit.
        attacked: so many of the images that are classified correctly count, the first ones.

    Returns:
        A procedure whose result is two checks a threat.
    """
    prediction = (yield from predict_logits(x)).argmax(1)
    row = (prediction == labels.to(x.device)).nonzero(as_tuple=True)[0][:attacked]
    checks = []
    for number, threat in enumerate(plan.threats):
        if len(row) and plan.attacks:
            trials = AttackTrials(
                x[row], labels[row], row, threat.p, plan.seed + APART, plan.eight_bit
            )
            first_run = number * (len(plan.attacks) + 3)
            checks += yield from _compare(trials, threat, plan, first_run)
            continue
        no_image = "No image is classified correctly."
        reason = no_image if plan.attacks else "The audit has no attacks."
        name = NORMS[threat.p]
        checks += [skipped(f"{what}-{name}", reason, SOURCE) for what in ("attacks", "control")]
    return checks


def _compare(
    trials: AttackTrials, threat: Threat, plan: Plan, first_run: int
) -> Procedure[list[Check]]:
    """The plan's attacks beside stronger ones and beside noise; each takes one run."""
    name, largest = NORMS[threat.p], max(threat.epsilons)
    left = torch.ones_like(trials.row, dtype=torch.bool)
    for run, entry in enumerate(plan.attacks, start=first_run):
        left &= ~(yield from trials.fooled(run, entry.method, largest, left))
    stronger, run = torch.zeros_like(left), first_run + len(plan.attacks)
    for further, loss in enumerate((CROSS_ENTROPY, MARGIN)):
        method = white_box(threat.p, STEPS, loss)
        stronger |= yield from trials.fooled(run + further, method, largest, left & ~stronger)
    noisy = yield from trials.fooled_by_noise(run + 2, largest, left)
    where, whose = condition(threat.p, largest), "no attack of the audit does"
    steps = f"PGD of {STEPS} steps" if threat.p != 1 else f"APGD of {2 * STEPS} steps"
    return [
        gap(f"{what}-{name}", f"{who} at {where}", count(new), len(left), SOURCE, CHANGE, whose)
        for what, who, new in (("attacks", steps, stronger), ("control", "Noise", noisy))
    ]
