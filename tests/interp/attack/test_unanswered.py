"""A row on which the network's answers are no numbers costs itself alone: the others get what they
get without it.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from interp.attack.apgd import apgd
from interp.attack.autoattack import ensemble_search
from interp.attack.base import Method, attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.evaluate import AdversarialExamples
from interp.attack.fab import fab
from interp.attack.goal import drive, least_likely, random_class
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square
from interp.attack.unanswered import Failure, legal_logits
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from tests.interp.attack.toys_unanswered import (
    Masked,
    NanGradient,
    NanLogits,
    hosted,
    pictures,
    smooth,
)

BAD, COUNT = 2, 5
GOOD = [row for row in range(COUNT) if row != BAD]
METHODS: dict[str, Method] = {
    "fgsm": fgsm(),
    "fgsm-best": fgsm(keep_best=True),
    "pgd": pgd(steps=3),
    "pgd-from-x": pgd(steps=3, random_start=False),
    "pgd-last": pgd(steps=3, keep_best=False, stop_when_fooled=False),
    "mi-fgsm": pgd(steps=3, decay=1.0, restarts=2),
    "apgd": apgd(steps=5),
    "apgd-t": apgd(steps=5, target_classes=2),
    "fab": fab(steps=3, target_classes=2),
    "square": square(queries=6),
    "autoattack": Method(ensemble_search(4, 2, 6)),
}
BALLS = {math.inf: 4 / 255, 2.0: 0.15, 1.0: 0.8}


@pytest.fixture(scope="module")
def nan_gradient() -> Network:
    return hosted(NanGradient())


def images() -> Tensor:
    x = pictures(COUNT)
    x[BAD, :, :3, :3] = 0
    return x


def same(found: AdversarialExamples, apart: AdversarialExamples) -> None:
    for name in ("label", "clean_prediction", "prediction", "succeeded", "fixed", "failure"):
        assert torch.equal(getattr(found, name)[GOOD], getattr(apart, name)), name
    torch.testing.assert_close(found.images[GOOD], apart.images, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.norm[GOOD], apart.norm, rtol=0, atol=1e-9)


def both(
    network: Network, method: Method, **settings: object
) -> tuple[AdversarialExamples, AdversarialExamples]:
    """All rows, and the good ones without the bad one."""
    x = images()
    seeds = [(0, row) for row in range(COUNT)]
    whole = attack(x, None, method, seeds=seeds, **settings)  # type: ignore[arg-type]
    apart = attack(x[GOOD], None, method, seeds=[seeds[row] for row in GOOD], **settings)  # type: ignore[arg-type]
    return solve(whole, network), solve(apart, network)


@pytest.mark.parametrize("p", BALLS)
@pytest.mark.parametrize("name", METHODS)
def test_a_gradient_that_is_no_number_costs_its_row_alone(
    nan_gradient: Network, name: str, p: float
) -> None:
    # where nothing is fooled, black pixels stay black in part, and their gradient no number
    for epsilon, eight_bit in ((BALLS[p] / 1000, False), (BALLS[p], True)):
        settings = {"epsilon": epsilon, "p": p, "eight_bit": eight_bit}
        found, apart = both(nan_gradient, METHODS[name], **settings)
        same(found, apart)
        if name == "square":  # which asks for no gradient
            assert not found.failure.any()
        elif not found.succeeded[BAD]:
            assert found.failure[BAD] == Failure.GRADIENT
            assert torch.equal(found.images[BAD], images()[BAD])
            assert found.norm[BAD] == 0
            assert found.prediction[BAD] == found.clean_prediction[BAD]
        assert not found.succeeded[found.failure != Failure.NONE].any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", METHODS)
def test_logits_that_are_no_numbers_cost_their_row_alone(name: str, value: float) -> None:
    network = hosted(NanLogits(value))
    found, apart = both(network, METHODS[name], epsilon=8 / 255, noise_control=True)
    same(found, apart)
    assert found.failure[BAD] == Failure.LOGITS
    assert found.failed_at[BAD] == 0
    assert not found.succeeded[BAD]
    assert found.control is not None
    assert apart.control is not None
    assert torch.equal(found.control.prediction[GOOD], apart.control.prediction)
    assert found.warnings == apart.warnings


@pytest.mark.parametrize("targets", [least_likely, random_class])
def test_targeted_attacks_leave_out_the_same_row(
    nan_gradient: Network, targets: Callable[..., Tensor]
) -> None:
    for network in (nan_gradient, hosted(NanLogits())):
        found, apart = both(network, pgd(steps=3), epsilon=1e-5, targets=targets)
        same(found, apart)
        assert found.failure.nonzero().flatten().tolist() == [BAD]


def test_units_are_driven_on_the_other_rows(nan_gradient: Network) -> None:
    x, path = images(), LayerPath("inner.0", 2)
    found = solve(
        attack(x, None, pgd(steps=3), epsilon=1e-5, unit=(activation([path] * COUNT), drive)),
        nan_gradient,
    )
    assert found.failure.nonzero().flatten().tolist() == [BAD]
    assert found.activation is not None
    assert found.clean_activation is not None
    assert found.activation[BAD] == found.clean_activation[BAD]
    assert (found.activation[GOOD] > found.clean_activation[GOOD]).all()


def test_an_infinite_activation_is_named() -> None:
    network = hosted(Masked(smooth(), [4]))
    path = LayerPath("logits", 4)
    found = solve(
        attack(images(), None, pgd(steps=2), epsilon=0.1, unit=(activation([path] * COUNT), drive)),
        network,
    )
    assert (found.failure == Failure.ACTIVATION).all()
    assert not found.succeeded.any()


def test_a_curve_counts_without_the_row_from_the_epsilon_on_at_which_it_fails() -> None:
    class LateNan(nn.Module):
        """Its gradient is no number where the first pixel is at most 2/255 from black."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = smooth()

        def forward(self, x: Tensor) -> Tensor:
            far = (x[:, 0, 0, 0] - 2.5 / 255).relu().sqrt() * 1e-9
            logits: Tensor = self.inner(x) * 1e-3 + far[:, None]
            return logits

    network, x = hosted(LateNan()), pictures(COUNT)
    x[BAD, 0, 0, 0] = 4 / 255
    labels = network.logits(x).argmax(1)
    epsilons = [1e-6, 5 / 255, 6 / 255]
    curve = solve(epsilon_curve(x, labels, epsilons, steps=4), network)
    apart = solve(epsilon_curve(x[GOOD], labels[GOOD], epsilons, steps=4), network)
    assert torch.equal(curve.minimal[GOOD], apart.minimal)
    if curve.attacked.failure[BAD] != Failure.NONE:
        unanswered = curve.failed_from <= torch.tensor(epsilons)[:, None]
        assert curve.failed_from[BAD] in epsilons[1:]
        assert torch.equal(curve.answered, COUNT - unanswered.sum(1))
        assert curve.withstood[0] == apart.withstood[0] + 1  # withstood before it failed
        assert torch.equal(curve.withstood[-1], apart.withstood[-1])


@pytest.mark.parametrize("bisections", [0, 3])
def test_a_curve_names_rows_that_fail_at_once(nan_gradient: Network, bisections: int) -> None:
    x, epsilons = images(), [1e-6, 1e-5]
    curve = solve(epsilon_curve(x, None, epsilons, steps=2, bisections=bisections), nan_gradient)
    assert curve.answered.tolist() == [COUNT - 1] * 2
    assert curve.withstood.tolist() == [COUNT - 1] * 2
    assert curve.failed_from[BAD] == epsilons[0]
    assert curve.attacked.failure.nonzero().flatten().tolist() == [BAD]
    assert curve.attacked.failed_at[BAD] == 1


def test_every_row_may_fail(nan_gradient: Network) -> None:
    x = images()[[BAD]].repeat(2, 1, 1, 1)
    for method in METHODS.values():
        if method.name == "square":
            continue
        found = solve(attack(x, None, method, epsilon=1e-6, p=2), nan_gradient)
        assert (found.failure == Failure.GRADIENT).all()
        assert torch.equal(found.images, x)
    found = solve(attack(x, None, pgd(steps=2), epsilon=0.1), hosted(NanLogits()))
    assert (found.failure == Failure.LOGITS).all()


def test_logits_are_legal_with_masked_classes_alone() -> None:
    nan, inf = math.nan, math.inf
    rows = [[1, -inf, 0], [nan, 0, 1], [inf, 0, 1], [-inf, -inf, -inf], [-inf, -inf, 2.0]]
    assert legal_logits(torch.tensor(rows)).tolist() == [True, False, False, False, True]
