"""An audit's checks of itself on one network: can its figures be believed?"""

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from interp.audit.checks.begin import Begin, quiet
from interp.audit.checks.check import Check, skipped
from interp.audit.checks.one_level import ONE_LEVEL
from interp.audit.checks.one_level import SOURCE as ONE_LEVEL_SOURCE
from interp.audit.checks.outputs import (
    clean_accuracy,
    deterministic,
    enough_classes,
    independent,
    logits_not_probabilities,
    normalization,
    predict_logits,
)
from interp.audit.checks.slopes import SLOPE, SLOPE_SOURCE, ZERO, ZERO_SOURCE, check_gradients
from interp.audit.checks.strength import check_attacks, not_attacked
from interp.audit.checks.trials import AttackTrials
from interp.audit.checks.white_box import MOST_RADII
from interp.audit.conditions import NORMS
from interp.audit.findings import CHECKS, Findings
from interp.audit.result import NOWHERE
from interp.probe import Procedure
from interp.seeds import generators

T = TypeVar("T")

ATTACKED = 64
RUNS = MOST_RADII + 10  # of attacks in one norm, at most
PIXELS = 2**50  # from the audit's seed to that of the pixels that move by a level


def check_evaluation(
    x: Tensor,
    labels: Tensor,
    threats: Sequence[tuple[float, Sequence[float]]],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    attacked: int = ATTACKED,
    steps: int = 10,
    classes_needed: int = 4,
    eight_bit: bool = False,
    findings: Findings | None = None,
    begin: Begin = quiet,
) -> Procedure[list[Check]]:
    """Check an evaluation's soundness on one network and a few hundred images (Carlini et al. 2019;
    Athalye et al. 2018).

    A network for which what is tested holds fails each test with a probability of at most
    `interp.audit.checks.check.LEVEL`, one in a thousand, where images are independent draws: that
    is the rate of false alarms of one check, and their sum bounds that of all. Most are far below
    it, as sound networks rarely come near what is tolerated.

    Args:
        x: images (B, C, H, W) in [0, 1], B at least 1. All are used by the checks that need no
            gradient, which takes about ten passes; a wrong normalization that costs 14 points of
            accuracy is found on 256, one that costs 30 on 64.
        labels: (B,) true classes.
        threats: (p, radii) each; the largest radius matters, and a threat without one above 0 is
            left out. One a norm.
        mean, std: per channel, what the network normalizes with.
        attacked: how many of the images that are classified correctly are attacked, at most.
        steps: of the attack that is checked, see `interp.audit.checks.white_box.white_box`.
        classes_needed: what the audit's attacks need: 4 for the targeted DLR loss, 3 for DLR,
            otherwise 2.
        eight_bit: attacks use images of 8-bit levels alone, which x then must be of.
        findings: notes what is met on the way, of these images and threats; None: nobody does.
        begin: hears what is checked next: outputs, gradients, and attacks for each threat.
    """

    def watched(procedure: Procedure[T], under: int = NOWHERE) -> Procedure[T]:
        """A procedure that is given the images that are attacked."""
        return procedure if findings is None else findings.watch(procedure, CHECKS, under, row)

    begin("outputs")
    logits = yield from predict_logits(x)
    checks = [
        clean_accuracy(logits, labels),
        enough_classes(logits, classes_needed),
        logits_not_probabilities(logits),
    ]
    random = yield from deterministic(x, labels, logits)
    checks.append(random)
    if random.status == "passed":
        checks.append((yield from independent(x, logits)))
    else:
        checks.append(
            skipped(
                "company",
                "Images get other logits in every pass, whatever their company.",
                random.source,
            )
        )
    checks.append((yield from normalization(x, labels, logits, mean, std)))
    begin("gradients")
    row = (logits.argmax(1) == labels).nonzero(as_tuple=True)[0][:attacked].to(x.device)
    if len(row):
        rows = [generators(seed + PIXELS, one, 1)[0] for one in row.tolist()]
        checks += yield from watched(check_gradients(x[row], labels[row], rows, eight_bit))
    else:
        reason = "No image is classified correctly."
        checks += [
            skipped(name, reason, source)
            for name, source in (
                (ZERO, ZERO_SOURCE),
                (SLOPE, SLOPE_SOURCE),
                (ONE_LEVEL, ONE_LEVEL_SOURCE),
            )
        ]
    for number, (p, epsilons) in enumerate(threats):
        begin(f"attacks in {NORMS[p]} against one another")
        largest = max(epsilons, default=0.0)
        if largest <= 0:
            continue
        if len(row):
            trials = AttackTrials(x[row], labels[row], row, p, seed, eight_bit)
            attacks = check_attacks(trials, largest, number * RUNS, steps)
            checks += yield from watched(attacks, number)
        else:
            checks += not_attacked(p)
    return checks
