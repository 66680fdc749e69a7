"""The checks of attacks against one another, with attacks that do as they are told."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from interp.attack.base import Method
from interp.audit.checks.check import Check
from interp.audit.checks.strength import check_attacks
from interp.audit.checks.trials import AttackTrials
from interp.audit.checks.white_box import MOST_RADII
from interp.network.network import Network
from interp.probe import Procedure, solve

Script = Callable[[str, float], Sequence[int]]  # (which attack, radius) -> images that it fools


@dataclass(frozen=True, eq=False)
class Scripted(AttackTrials):
    """Forty images and attacks of which the script says whom they fool."""

    script: Script

    def fooled(
        self, run: int, method: Method, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        yield from ()
        fooled = self.scripted(called(run, method), epsilon)
        return fooled if among is None else fooled & among

    def fooled_by_noise(
        self, run: int, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        yield from ()
        return self.scripted("noise", epsilon)

    def scripted(self, attack: str, epsilon: float) -> Tensor:
        fooled = torch.zeros(40, dtype=torch.bool)
        fooled[list(self.script(attack, epsilon))] = True
        return fooled


def called(run: int, method: Method) -> str:
    """Which of the attacks that `check_attacks` asks for this is."""
    if run < MOST_RADII or method.name != "pgd":
        return "white-box" if run < MOST_RADII else method.name
    if not method.settings["random_start"]:
        return "huge"
    if method.settings["loss"] == "margin":
        return "other-loss"
    return "doubled-steps" if method.settings["steps"] == 20 else "doubled-restarts"


def scripted(script: Script) -> dict[str, Check]:
    """The checks where attacks do what the script says."""
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(16, 10)), (1, 4, 4), [0.0], [1.0])
    trials = Scripted(
        torch.zeros(40, 1, 4, 4),
        torch.zeros(40, dtype=torch.long),
        torch.arange(40),
        math.inf,
        0,
        False,
        script,
    )
    return {
        check.name.removesuffix("-linf"): check
        for check in solve(check_attacks(trials, 8 / 255, 0, 10), network)
    }


def failing(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.status == "failed"]


def as_it_should_be(attack: str, epsilon: float) -> Sequence[int]:
    if attack == "white-box":
        return range(20) if epsilon > 6 / 255 else range(10)
    return range({"fgsm": 8, "huge": 40, "square": 5, "noise": 2}.get(attack, 21))


@pytest.mark.parametrize(
    ("attack", "fools", "fails"),
    [  # p-values are sums of binomial terms, which the tests above vouch for
        ("fgsm", range(40), "iterative"),  # 20 to 0
        ("fgsm", range(11, 40), ""),  # 20 to 11
        ("huge", range(34), ""),  # 6 of 40, where 4 are expected
        ("huge", range(20), "huge-epsilon"),
        ("doubled-steps", range(26), ""),  # 6 more of 40, where 2 are tolerated
        ("doubled-steps", range(32), "doubled-steps"),
        ("doubled-restarts", range(26), ""),
        ("doubled-restarts", range(32), "doubled-restarts"),
        ("other-loss", range(26), ""),
        ("other-loss", range(32), "other-loss"),
        ("square", range(24), ""),  # 4 of 40, where 0.8 are tolerated
        ("square", range(27), "black-box"),
        ("noise", range(4, 24), "noise"),  # more than Square
        ("noise", [0, 1, 20, 21], ""),
        ("noise", [0, 1, *range(20, 27)], "noise"),
    ],
)
def test_an_attack_that_is_too_strong_or_too_weak_fails_its_check_alone(
    attack: str, fools: Sequence[int], fails: str
) -> None:
    assert not failing(scripted(as_it_should_be))
    found = failing(
        scripted(
            lambda called, epsilon: fools if called == attack else as_it_should_be(called, epsilon)
        )
    )
    assert found == ([fails] if fails else [])


def test_success_has_to_rise_with_the_radius() -> None:
    def script(attack: str, epsilon: float) -> Sequence[int]:
        if attack != "white-box":
            return as_it_should_be(attack, epsilon) if attack != "huge" else range(40)
        return range(19) if epsilon < 10 / 255 else ()

    checks = scripted(script)
    assert failing(checks) == ["monotone"]
    assert checks["monotone"].numbers["lost"] == 19


@pytest.mark.parametrize(
    ("robustness", "tried", "chosen"),
    [  # image i is fooled from radius (i + 1) * robustness / 255 on
        (0.1, [8, 4, 2, 1], "2/255"),
        (1.0, [8, 16, 32], "16/255"),
        (0.001, [8, 4, 2, 1, 0.5, 0.25], "0.25/255"),
        (100.0, [8, 16, 32, 64], "8/255"),  # beyond 127.5, images may be gray
    ],
)
def test_attacks_are_compared_where_about_half_the_images_are_fooled(
    robustness: float, tried: list[float], chosen: str
) -> None:
    seen = []

    def script(attack: str, epsilon: float) -> Sequence[int]:
        if attack == "white-box":
            seen.append(epsilon * 255)
        return (
            [i for i in range(40) if epsilon * 255 >= (i + 1) * robustness]
            if attack != "huge"
            else range(40)
        )

    checks = scripted(script)
    assert seen == pytest.approx(tried)
    assert f"linf:{chosen}" in checks["iterative"].evidence
