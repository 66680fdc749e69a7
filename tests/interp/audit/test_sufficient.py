"""An audit whose attacks are weak must say so, and one whose attacks are strong must not."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from interp.attack.apgd import apgd
from interp.attack.pgd import pgd
from interp.attack.square import square
from interp.audit.checks.sufficient import check_sufficiency
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.network.network import Network
from interp.probe import Answer, Probe, solve
from tests.interp.toys_networks import cifar, trained_resnet


@pytest.fixture(scope="module")
def network(data_dir: object) -> Network:
    return trained_resnet()


def plan(
    *attacks: PlannedAttack, epsilon: float = 1 / 255, p: float = math.inf, eight_bit: bool = False
) -> Plan:
    return Plan((Threat(p, (epsilon,)),), attacks, (), (), (), 0, eight_bit)


PGD = PlannedAttack("PGD-20", pgd(steps=20))
APGD = PlannedAttack("APGD-20", apgd(steps=20))
BLIND = PlannedAttack("Square-5", square(queries=5))
STILL = PlannedAttack("PGD-1", pgd(step=0.0, steps=1, random_start=False))


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (plan(BLIND), ["failed", "passed"]),
        (plan(STILL, epsilon=48 / 255), ["failed", "failed"]),  # so much noise fools alone
        (plan(PGD), ["passed", "passed"]),
        (plan(BLIND, APGD), ["passed", "passed"]),
        (plan(PGD, eight_bit=True), ["passed", "passed"]),
        (plan(PGD, epsilon=0.1, p=2), ["passed", "passed"]),
        (plan(), ["skipped", "skipped"]),
    ],
)
def test_an_audit_is_as_strong_as_its_attacks(
    network: Network, made: Plan, status: list[str]
) -> None:
    x, labels = cifar(56)
    checks = solve(check_sufficiency(x, labels, made), network)
    name = {math.inf: "linf", 2: "l2"}[made.threats[0].p]
    assert [check.name for check in checks] == [f"attacks-{name}", f"control-{name}"]
    assert [check.status for check in checks] == status, [check.evidence for check in checks]
    assert torch.equal(x, cifar(56)[0])


class OffLattice:
    """A network of two classes that takes images for the other one as soon as a pixel is not of
    8-bit levels.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def answer(self, probes: list[Probe]) -> list[Answer]:
        return [
            self.turned(probe, answer)
            for probe, answer in zip(probes, self.network.answer(probes), strict=True)
        ]

    def turned(self, probe: Probe, answer: Answer) -> Answer:
        if answer.logits is None:
            return answer
        level = probe.images * 255
        off = ((level - level.round()).abs() > 1e-2).flatten(1).any(1)
        return replace(
            answer, logits=torch.where(off[:, None], answer.logits.flip(1), answer.logits)
        )


@pytest.mark.parametrize("p", [math.inf, 1])
def test_nobody_else_may_use_images_that_the_audit_may_not(p: float) -> None:
    linear = nn.Linear(48, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.1], [-0.1]]).expand(2, 48))
        linear.bias.zero_()
    oracle = OffLattice(
        Network(
            nn.Sequential(nn.Flatten(), linear),
            (3, 4, 4),
            [0.0] * 3,
            [1.0] * 3,
            dtype=torch.float64,
        )
    )
    x, labels = (
        torch.full((40, 3, 4, 4), 100 / 255, dtype=torch.float64),
        torch.zeros(40, dtype=torch.long),
    )
    checks = solve(
        check_sufficiency(x, labels, plan(APGD, epsilon=3.5 / 255, p=p, eight_bit=True)), oracle
    )
    assert [check.status for check in checks] == ["passed", "passed"], [
        check.evidence for check in checks
    ]
