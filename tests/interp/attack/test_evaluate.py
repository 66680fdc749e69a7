"""Attacks on classes need a wrong class; attacks on units do not."""

import pytest
import torch

from interp.attack.base import attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.goal import Choice, drive, least_likely, random_class
from interp.attack.pgd import pgd
from interp.attack.registry import ATTACKS
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from tests.interp.toys_networks import linear


def one_logit() -> Network:
    weight = torch.linspace(-1, 1, 48, dtype=torch.float64)[None]
    return linear(weight, torch.zeros(1, dtype=torch.float64), (3, 4, 4))


GRAY = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("targets", [None, random_class, least_likely])
def test_one_logit_leaves_nothing_to_take_an_image_for(name: str, targets: Choice | None) -> None:
    with pytest.raises(ValueError, match="one class: there is nothing"):
        solve(attack(GRAY, None, ATTACKS[name](), epsilon=0.1, targets=targets), one_logit())


@pytest.mark.parametrize("labels", [None, torch.zeros(2, dtype=torch.long)])
def test_nor_at_any_epsilon(labels: torch.Tensor | None) -> None:
    with pytest.raises(ValueError, match="one class"):
        solve(epsilon_curve(GRAY, labels, [0.1]), one_logit())


def test_a_single_logit_is_a_unit_like_any_other() -> None:
    unit = activation([LayerPath(LOGITS, 0)] * 2, torch.device("cpu"))
    found = solve(attack(GRAY, None, pgd(), epsilon=0.1, unit=(unit, drive)), one_logit())
    assert found.succeeded.all()
