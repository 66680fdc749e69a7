"""All that an audit asks of a network before it judges images: its checks, and what they met."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from interp.attack.ball import LEVELS
from interp.audit.checks import ATTACKED, check_evaluation
from interp.audit.checks.begin import Steps, counted, silent
from interp.audit.checks.check import Check
from interp.audit.checks.outputs import predict_logits
from interp.audit.checks.sufficient import COMPARED, check_sufficiency
from interp.audit.findings import Findings
from interp.audit.plan import Plan
from interp.audit.result import Examples
from interp.probe import Procedure


class NetworkChecks(NamedTuple):
    """What an audit's checks of itself found on a network.

    Attributes:
        checks: in a fixed order.
        examples: the misclassified images that they met, one entry a threat, by row.
    """

    checks: list[Check]
    examples: list[Examples]


def check_network(
    x: Tensor,
    labels: Tensor,
    plan: Plan,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    attacked: int = ATTACKED,
    compared: int = COMPARED,
    tell: Steps = silent,
) -> Procedure[NetworkChecks]:
    """Make all checks of an audit on one network: `check_evaluation` and `check_sufficiency`.

    Args:
        x: images (B, C, H, W) in [0, 1], the first of the audit's order, B at least 1.
        labels: (B,) int64, their classes.
        plan: of the audit.
        mean, std: per channel, what the network normalizes with.
        attacked, compared: of the images that are classified correctly, so many count for
            `check_evaluation` and for `check_sufficiency`, at most.
        tell: hears what is checked next, its number, and how many such steps there are.

    Returns:
        A procedure whose result is the checks and what they met.
    """
    x = (x * LEVELS).round() / LEVELS if plan.eight_bit else x
    begin = counted(tell, 2 + 2 * len(plan.threats))
    right = (yield from predict_logits(x)).argmax(1) == labels
    findings = Findings(x, labels, right, plan)
    checks = yield from check_evaluation(
        x,
        labels,
        [(threat.p, threat.epsilons) for threat in plan.threats],
        mean=mean,
        std=std,
        seed=plan.seed,
        attacked=attacked,
        classes_needed=max((entry.method.classes_needed for entry in plan.attacks), default=2),
        eight_bit=plan.eight_bit,
        findings=findings,
        begin=begin,
    )
    checks += yield from check_sufficiency(
        x, labels, plan, attacked=compared, findings=findings, begin=begin
    )
    return NetworkChecks(checks, findings.examples())
