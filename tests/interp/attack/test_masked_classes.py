"""Attacks on a network that masks classes by logits of -inf are those on the network without these
classes.
"""

import math

import pytest
import torch
from torch import Tensor

from interp.attack.apgd import apgd
from interp.attack.autoattack import ensemble_search
from interp.attack.base import Method, attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.fab import fab
from interp.attack.goal import DLR, MARGIN, least_likely, random_class
from interp.attack.losses import cross_entropy, dlr, dlr_targeted, margin, target_lead
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square
from interp.audit.checks.outputs import class_count, differ, tolerance
from interp.layer import LOGITS
from interp.probe import solve
from tests.interp.attack.toys_unanswered import CLASSES, Masked, Without, hosted, pictures, smooth

MASKS = {"one": [1], "three": [0, 3, 5]}
METHODS: dict[str, Method] = {
    "fgsm": fgsm(),
    "pgd": pgd(steps=3),
    "pgd-margin": pgd(steps=3, loss=MARGIN),
    "apgd": apgd(steps=5),
    "apgd-dlr": apgd(steps=5, loss=DLR),
    "apgd-t": apgd(steps=4, target_classes=9),
    "fab": fab(steps=3, target_classes=9),
    "square": square(queries=6),
    "autoattack": Method(ensemble_search(3, 9, 6)),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", METHODS)
def test_attacks_are_those_on_the_network_without_the_classes(name: str, mask: str) -> None:
    module, masked, x = smooth(), MASKS[mask], pictures(3)
    kept = torch.tensor([c for c in range(CLASSES) if c not in masked])
    networks = hosted(Masked(module, masked)), hosted(Without(module, masked))
    for p, epsilon in ((math.inf, 0.01), (2, 0.05)):
        for targets in (None, random_class, least_likely):
            if targets and name not in ("pgd", "apgd", "square"):
                continue
            found, wanted = (
                solve(attack(x, None, METHODS[name], epsilon=epsilon, p=p, targets=targets), one)
                for one in networks
            )
            assert not found.failure.any()
            torch.testing.assert_close(found.images, wanted.images, rtol=0, atol=1e-9)
            assert torch.equal(found.prediction, kept[wanted.prediction])
            assert torch.equal(found.succeeded, wanted.succeeded)
            if targets:
                assert found.target is not None
                assert wanted.target is not None
                assert torch.equal(found.target, kept[wanted.target])


def test_a_curve_is_that_on_the_network_without_the_classes() -> None:
    module, masked, x = smooth(), MASKS["three"], pictures(3)
    found, wanted = (
        solve(epsilon_curve(x, None, [0.005, 0.02, 0.1], steps=3, bisections=2), hosted(one))
        for one in (Masked(module, masked), Without(module, masked))
    )
    torch.testing.assert_close(found.minimal, wanted.minimal, rtol=0, atol=1e-9)
    assert torch.equal(found.withstood, wanted.withstood)


@pytest.mark.parametrize("mask", MASKS)
def test_losses_and_their_gradients_are_those_without_the_classes(mask: str) -> None:
    masked = MASKS[mask]
    kept = [c for c in range(CLASSES) if c not in masked]
    logits = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(0)).double()
    labels, targets = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])
    places = torch.tensor(kept)

    def gradient(score: Tensor, leaf: Tensor) -> Tensor:
        return torch.autograd.grad(score.sum(), leaf)[0]

    few = len(kept) < 4
    objectives = [
        (cross_entropy(places[labels]), cross_entropy(labels)),
        (margin(places[labels]), margin(labels)),
        (dlr(places[labels]), dlr(labels)),
        (
            dlr_targeted(places[labels], places[targets]),
            # of fewer than four classes there is none: its numerator alone
            target_lead(labels, targets) if few else dlr_targeted(labels, targets),
        ),
    ]
    for ours, theirs in objectives:
        whole, part = logits.clone().requires_grad_(), logits[:, kept].clone().requires_grad_()
        hidden = torch.zeros(CLASSES, dtype=torch.bool)
        hidden[masked] = True
        score = ours({LOGITS: whole.masked_fill(hidden, -torch.inf)})
        wanted = theirs({LOGITS: part})
        torch.testing.assert_close(score, wanted)
        torch.testing.assert_close(gradient(score, whole)[:, kept], gradient(wanted, part))


def test_a_masked_label_is_wrong_and_its_losses_are_numbers() -> None:
    logits = torch.tensor([[-math.inf, 1.0, 0.5, 0.2, 0.1]], requires_grad=True)
    label, target = torch.tensor([0]), torch.tensor([2])
    for objective in (margin(label), cross_entropy(label)):
        assert objective({LOGITS: logits}).item() == math.inf
    for objective in (target_lead(label, target), dlr_targeted(label, target)):
        score = objective({LOGITS: logits})
        assert score.item() < 0  # the largest other class is ahead
        assert torch.autograd.grad(score.sum(), logits)[0].isfinite().all()


def test_checks_of_outputs_see_no_difference_in_masked_classes() -> None:
    logits = torch.randn(5, 4).double()
    logits[:, 1] = -math.inf
    allowed = tolerance(logits)
    assert 0 < allowed < math.inf
    assert not differ(logits, logits.clone(), allowed).any()
    other = logits.clone()
    other[2, 0] = -math.inf  # masked in one alone
    other[3, 2] += 10 * allowed
    assert differ(logits, other, allowed).tolist() == [False, False, True, True, False]
    assert class_count(logits) == 3
