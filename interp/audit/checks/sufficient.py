"""Whether an audit's own attacks are strong enough for what it says: nobody else's may do much
better.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.attack.goal import CROSS_ENTROPY, MARGIN
from interp.audit.checks.begin import Begin, quiet
from interp.audit.checks.check import (
    CHANGE,
    LEVEL,
    Check,
    check,
    count,
    excess,
    probability,
    skipped,
)
from interp.audit.checks.outputs import predict_logits
from interp.audit.checks.trials import AttackTrials
from interp.audit.checks.white_box import white_box
from interp.audit.conditions import NORMS, radius
from interp.audit.findings import SUFFICIENCY, Findings
from interp.audit.plan import Plan
from interp.probe import Procedure

# Of the attacks that are compared with: steps and further starts of each effort, which doubles the
# steps once and the starts three times.
EFFORTS = ((50, 1), (100, 1), (100, 2), (100, 4))
FEW, MANY = 0.2, 0.8  # of the images that are left, between which a radius is looked at
APART = 2**51  # what lies between the seeds of these runs and those of `check_attacks`
SOURCE = "Carlini et al. 2019, section 4.1"  # on attacks as strong as the threat model allows
RUNS = 1024  # of one threat, at most
COMPARED = 128  # images


def check_sufficiency(
    x: Tensor,
    labels: Tensor,
    plan: Plan,
    *,
    attacked: int = COMPARED,
    findings: Findings | None = None,
    begin: Begin = quiet,
) -> Procedure[list[Check]]:
    """Do PGD on two losses, or draws of noise, fool what no attack of the plan does?

    They are compared at each threat's largest epsilon, and at every one at which the plan's attacks
    leave a fifth to four fifths of the images. PGD begins with 50 steps from one start; then it has
    100 from two, four and eight starts in all, until such a doubling finds nothing. For L1 it is
    APGD of twice the steps. An image that withstands at some radius counts as one that does at
    smaller ones. It fails where PGD or noise fools more images than can be explained if 5% are
    tolerated, by exact tests at the level of `interp.audit.checks.check` over the number of radii.
    Whatever is found, tolerated or not, counts against its image.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.
        plan: of the audit.
        attacked: so many of the images that are classified correctly count, the first ones.
        findings: notes what is met on the way, of these images; None: nobody does.
        begin: hears what is compared next, once a threat.

    Returns:
        A procedure whose result is two checks a threat.
    """
    prediction = (yield from predict_logits(x)).argmax(1)
    row = (prediction == labels.to(x.device)).nonzero(as_tuple=True)[0][:attacked]
    checks = []
    for number, threat in enumerate(plan.threats):
        begin(f"the attacks beside stronger ones in {NORMS[threat.p]}")
        if len(row) and plan.attacks:
            trials = AttackTrials(
                x[row], labels[row], row, threat.p, plan.seed + APART, plan.eight_bit
            )
            compare = _Comparison(trials, plan, number).run()
            if findings is not None:
                compare = findings.watch(compare, SUFFICIENCY, number, row)
            checks += yield from compare
            continue
        no_image = "No image is classified correctly."
        reason = no_image if plan.attacks else "The audit has no attacks."
        name = NORMS[threat.p]
        checks += [skipped(f"{what}-{name}", reason, SOURCE) for what in ("attacks", "control")]
    return checks


@dataclass(frozen=True, eq=False)
class _AtRadius:
    """How many images stronger attacks and noise fool at a radius that the plan's do not."""

    epsilon: float
    stronger: int
    noisy: int


class _Comparison:
    """The plan's attacks beside stronger ones and beside noise, from the largest radius down."""

    def __init__(self, trials: AttackTrials, plan: Plan, number: int) -> None:
        self.trials, self.plan, self.threat = trials, plan, plan.threats[number]
        self.next_run = number * RUNS
        self.left = torch.zeros_like(trials.row, dtype=torch.bool)  # by the plan's attacks
        self.withstood = self.left  # those that the strongest does not fool either

    def run(self) -> Procedure[list[Check]]:
        results: list[_AtRadius] = []
        for epsilon in reversed(self.threat.epsilons):
            yield from self.attack(epsilon)
            share = count(self.left) / len(self.left)
            if not results or FEW <= share <= MANY:
                results.append((yield from self.compare(epsilon)))
            if share > MANY:
                break
        steps = "PGD" if self.threat.p != 1 else "APGD"
        return [
            self.check("attacks", steps, {one.epsilon: one.stronger for one in results}),
            self.check("control", "Noise", {one.epsilon: one.noisy for one in results}),
        ]

    def run_number(self) -> int:
        """The next run's, which its randomness belongs to."""
        self.next_run += 1
        return self.next_run - 1

    def attack(self, epsilon: float) -> Procedure[None]:
        """Run the plan's attacks on the images that they fool at the next larger radius."""
        todo = ~self.left
        for entry in self.plan.attacks:
            todo &= ~(yield from self.trials.fooled(self.run_number(), entry.method, epsilon, todo))
        self.left = self.left | todo

    def compare(self, epsilon: float) -> Procedure[_AtRadius]:
        """Run the stronger attacks and noise on the images that are left."""
        todo = self.left & ~self.withstood
        found = torch.zeros_like(todo)
        for number, (steps, starts) in enumerate(EFFORTS):
            new = yield from self.further(epsilon, steps, starts, todo & ~found)
            found |= new
            if number and not new.any():
                break
        self.withstood = self.withstood | (todo & ~found)
        noisy = yield from self.trials.fooled_by_noise(self.run_number(), epsilon, self.left)
        return _AtRadius(epsilon, count(found), count(noisy))

    def further(self, epsilon: float, steps: int, starts: int, todo: Tensor) -> Procedure[Tensor]:
        """Whom so many starts on each of two losses fool, (B,) bool."""
        found = torch.zeros_like(todo)
        for _ in range(starts):
            for loss in (CROSS_ENTROPY, MARGIN):
                method = white_box(self.threat.p, steps, loss)
                run = self.run_number()
                found |= yield from self.trials.fooled(run, method, epsilon, todo & ~found)
        return found

    def check(self, what: str, who: str, new: dict[float, int]) -> Check:
        """Whether at some radius there are more than what is tolerated."""
        norm, trials = NORMS[self.threat.p], len(self.left)
        p = min(1.0, len(new) * min(excess(one, trials, CHANGE) for one in new.values()))
        each = ", ".join(f"{one} at {norm}:{radius(epsilon)}" for epsilon, one in new.items())
        evidence = (
            f"{who} fools of {trials} images these that no attack of the audit does: {each}; "
            f"{CHANGE:.0%} are tolerated ({probability(p)})."
        )
        numbers = {
            "new": max(new.values()),
            "trials": trials,
            "tolerated": CHANGE,
            "radii": len(new),
            "p_value": p,
        }
        return check(f"{what}-{norm}", p <= LEVEL, evidence, SOURCE, **numbers)
