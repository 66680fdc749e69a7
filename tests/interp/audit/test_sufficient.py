"""An audit whose attacks are weak must say so, and one whose attacks are strong must not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from interp.attack.apgd import apgd
from interp.attack.base import Method
from interp.attack.pgd import pgd
from interp.attack.square import square
from interp.audit.checks import sufficient
from interp.audit.checks.sufficient import check_sufficiency
from interp.audit.checks.trials import AttackTrials
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.network.network import Network
from interp.probe import Answer, Probe, Procedure, solve
from tests.interp.toys_networks import cifar, linear, trained_resnet


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


class Scripted(AttackTrials):
    """Forty images of which the k-th start at a radius, counted from 0, fools so many of those
    that the plan's attack leaves: the first half at 1/255, and a quarter at 2/255.
    """

    finds: Mapping[int, Sequence[int]] = {}
    runs: ClassVar[list[tuple[int, int, int]]] = []

    def fooled(
        self, run: int, method: Method, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        yield from ()
        assert among is not None
        level, found = round(epsilon * 255), torch.zeros(40, dtype=torch.bool)
        if method.name == "own":
            found[: {1: 20, 2: 30, 8: 39}[level]] = True
            return found & among
        earlier = sum(1 for one, _, _ in self.runs if one == level)
        self.runs.append((level, method.settings["steps"], int(among.sum())))
        found[list(self.finds.get(earlier, ()))] = True
        return found & among

    def fooled_by_noise(
        self, run: int, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        yield from ()
        return torch.zeros(40, dtype=torch.bool)


@pytest.mark.parametrize(
    ("finds", "status", "runs"),
    [
        # nothing is found: one doubling at each radius, and none again of what withstood above
        ({}, "passed", {8: [50, 50, 100, 100], 2: [50, 50, 100, 100], 1: [50, 50, 100, 100]}),
        # each effort finds one: to the cap of eight starts on each loss
        (
            {0: [30], 2: [31], 4: [32], 8: [33]},
            "passed",
            {8: [50, 50, 100, 100], 2: [50] * 2 + [100] * 14, 1: [50] * 2 + [100] * 14},
        ),
        ({0: range(30, 40)}, "failed", {2: [50, 50, 100, 100]}),
    ],
)
def test_starts_double_until_nothing_is_found_at_every_telling_radius(
    monkeypatch: pytest.MonkeyPatch,
    finds: Mapping[int, Sequence[int]],
    status: str,
    runs: Mapping[int, Sequence[int]],
) -> None:
    monkeypatch.setattr(Scripted, "finds", finds)
    monkeypatch.setattr(Scripted, "runs", [])
    monkeypatch.setattr(sufficient, "AttackTrials", Scripted)
    network = linear(torch.tensor([[0.0], [-1.0]]).double(), torch.zeros(2).double(), (1, 1, 1))
    x, labels = torch.ones(40, 1, 1, 1, dtype=torch.float64), torch.zeros(40, dtype=torch.long)
    made = Plan(
        (Threat(math.inf, (1 / 255, 2 / 255, 8 / 255)),),
        (PlannedAttack("own", Method(pgd().search, "own")),),
    )
    attacks, control = solve(check_sufficiency(x, labels, made), network)
    assert (attacks.status, control.status) == (status, "passed"), attacks.evidence
    assert attacks.numbers["radii"] == 3  # the largest, and those that leave 10 and 20 of 40
    for level, steps in runs.items():
        assert [one for at, one, _ in Scripted.runs if at == level] == list(steps)
