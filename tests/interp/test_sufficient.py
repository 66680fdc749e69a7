"""An audit whose attacks are weak must say so, and one whose attacks are strong must not."""

import math

import pytest
import torch

from interp.ascent import solve
from interp.attack import fgsm, pgd
from interp.audit.plan import Entry, Plan, Threat
from interp.certify.sufficient import sufficient
from interp.network import Network
from interp.recipes import apgd, square
from tests.interp.toys import cifar, trained_resnet


@pytest.fixture(scope="module")
def network(data_dir: object) -> Network:
    return trained_resnet()


def plan(*attacks: Entry, epsilon: float = 1 / 255, p: float = math.inf, eight_bit: bool = False) -> Plan:
    return Plan((Threat(p, (epsilon,)),), attacks, (), (), (), 0, eight_bit)


FGSM = Entry("fgsm", "FGSM", {}, fgsm)
PGD = Entry("pgd", "PGD-20", {}, lambda epsilon, p: pgd(epsilon, p, steps=20))
APGD = Entry("apgd", "APGD-20", {}, lambda epsilon, p: apgd(epsilon, p, steps=20))
BLIND = Entry("square", "Square-5", {}, lambda epsilon, p: square(epsilon, p, queries=5))
STILL = Entry("pgd", "PGD-1", {}, lambda epsilon, p: pgd(epsilon, p, step=0.0, steps=1, random_start=False))


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (plan(BLIND), ["failed", "passed"]),
        (plan(STILL, epsilon=48 / 255), ["failed", "failed"]),  # so much noise fools alone
        (plan(FGSM, epsilon=4 / 255), ["failed", "passed"]),
        (plan(PGD), ["passed", "passed"]),
        (plan(BLIND, APGD), ["passed", "passed"]),
        (plan(PGD, eight_bit=True), ["passed", "passed"]),
        (plan(PGD, epsilon=0.1, p=2), ["passed", "passed"]),
        (plan(), ["skipped", "skipped"]),
    ],
)
def test_an_audit_is_as_strong_as_its_attacks(network: Network, made: Plan, status: list[str]) -> None:
    x, labels = cifar(120)
    checks = solve(sufficient(x, labels, made), network)
    name = {math.inf: "linf", 2: "l2"}[made.threats[0].p]
    assert [check.name for check in checks] == [f"attacks-{name}", f"control-{name}"]
    assert [check.status for check in checks] == status, [check.evidence for check in checks]
    assert torch.equal(x, cifar(120)[0])
