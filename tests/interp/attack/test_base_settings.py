"""Settings of the rows' own, targets, momentum, L1 and warnings of attacks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import Tensor, nn

from interp.attack.base import Method, attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.goal import CROSS_ENTROPY, DLR, MARGIN, Choice, Loss, least_likely, random_class
from interp.attack.pgd import fgsm, pgd
from interp.network.network import Network
from interp.probe import Oracle, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images, linear, plain, raw, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
LARGEST = {math.inf: 0.06, 2.0: 0.6, 1.0: 8.0}
ROWS = 12


def run(
    network: Oracle, x: Tensor, labels: Tensor | None, method: Method, **options: Any
) -> AdversarialExamples:
    return solve(attack(x, labels, method, **options), network)


# Settings of the rows' own


def own_settings(p: float) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, int]]]:
    """Epsilon, step, steps and seed of every row."""
    rng = torch.Generator().manual_seed(0)
    epsilon = LARGEST[p] * torch.rand(ROWS, generator=rng, dtype=torch.float64)
    epsilon[3] = 0
    step = epsilon * (0.1 + 0.4 * torch.rand(ROWS, generator=rng, dtype=torch.float64))
    steps = torch.randint(1, 9, (ROWS,), generator=rng)
    seeds = [(int(s), int(r)) for s, r in torch.randint(0, 99, (ROWS, 2), generator=rng)]
    return epsilon, step, steps, seeds


@pytest.mark.parametrize(
    ("p", "targeted", "options"),
    [  # every norm with and without targets, every setting once
        (math.inf, False, {}),
        (math.inf, True, {"restarts": 2, "decay": 0.9, "loss": MARGIN}),
        (2.0, False, {"restarts": 3}),
        (2.0, True, {"random_start": False, "keep_best": False}),
        (1.0, False, {"keep_best": False, "stop_when_fooled": False}),
        (1.0, True, {"stop_when_fooled": False, "loss": DLR}),
    ],
    ids=str,
)
def test_every_row_fares_as_it_would_alone_with_its_settings(
    p: float, targeted: bool, options: dict[str, Any]
) -> None:
    network, x = tricky(), images(ROWS)
    ranking = network.logits(x).argsort(1)
    labels, targets = ranking[:, 4], ranking[:, 3] if targeted else None
    epsilon, step, steps, seeds = own_settings(p)
    whole = run(
        network,
        x,
        labels,
        pgd(step, steps, **options),
        epsilon=epsilon,
        p=p,
        targets=targets,
        seeds=seeds,
        noise_control=True,
    )
    gradients = 0
    for row in range(ROWS):
        one = slice(row, row + 1)
        method = pgd(float(step[row]), int(steps[row]), **options)
        aim = None if targets is None else targets[one]
        alone = run(
            network,
            x[one],
            labels[one],
            method,
            epsilon=float(epsilon[row]),
            p=p,
            targets=aim,
            seeds=seeds[one],
            noise_control=True,
        )
        torch.testing.assert_close(alone.images[0], whole.images[row], rtol=0, atol=1e-9)
        for name in ("prediction", "succeeded", "norm"):
            torch.testing.assert_close(
                getattr(alone, name)[0], getattr(whole, name)[row], rtol=0, atol=1e-9
            )
            torch.testing.assert_close(
                getattr(alone.control, name)[0],
                getattr(whole.control, name)[row],
                rtol=0,
                atol=1e-9,
            )
        assert alone.norm[0] <= epsilon[row] * (1 + 1e-9)
        gradients += alone.gradients
    assert whole.gradients == gradients
    if options in ({}, {"restarts": 3}):
        assert 0 < whole.succeeded.sum() < ROWS  # or no row would leave, or none stay


@norms
def test_a_row_without_an_own_step_takes_the_usual_share_of_its_own_radius(p: float) -> None:
    network, x, (epsilon, _, steps, _) = tricky(), images(ROWS), own_settings(p)
    options: dict[str, Any] = {"random_start": False, "stop_when_fooled": False}
    own = run(network, x, None, pgd(steps=steps, **options), epsilon=epsilon, p=p)
    told = run(network, x, None, pgd(2.5 * epsilon / steps, steps, **options), epsilon=epsilon, p=p)
    assert torch.equal(own.images, told.images)


def test_no_row_takes_more_steps_than_its_own() -> None:
    counting, x, steps = Counting(tricky()), images(5), torch.tensor([1, 5, 3, 2, 3])
    run(
        counting,
        x,
        None,
        pgd(steps=steps, stop_when_fooled=False, random_start=False),
        epsilon=0.001,
    )
    assert counting.gradients == [5, 4, 3, 1, 1]


def test_pairs_of_seed_and_row_are_those_of_a_batch() -> None:
    network, x = tricky(), images(4)
    by_number = run(
        network, x, None, pgd(steps=3), epsilon=0.03, seed=8, first_row=20, noise_control=True
    )
    by_pair = run(
        network,
        x,
        None,
        pgd(steps=3),
        epsilon=0.03,
        seeds=[(8, 20), (8, 21), (8, 22), (8, 23)],
        noise_control=True,
    )
    assert torch.equal(by_number.images, by_pair.images)
    assert by_number.control is not None
    assert by_pair.control is not None
    assert torch.equal(by_number.control.prediction, by_pair.control.prediction)


# L1 on a linear network: the best point is that of a linear programme.


def best_gain(w: Tensor, x: Tensor, eps: float) -> float:
    """The most that w @ delta can be, ||delta||_1 <= eps and x + delta in [0, 1]: delta = up -
    down.
    """
    flat, n = x.flatten().numpy(), x.numel()
    cost = np.concatenate([-w.numpy(), w.numpy()])
    bounds = [(0, 1 - v) for v in flat] + [(0, v) for v in flat]
    found = optimize.linprog(cost, A_ub=np.ones((1, 2 * n)), b_ub=[eps], bounds=bounds)
    assert found.status == 0
    assert found.fun is not None
    return -float(found.fun)


def towards(w: Tensor, shape: tuple[int, int, int]) -> Network:
    """Two classes, of which an image leaves the first by going along w, a long way."""
    return linear(torch.stack([torch.zeros_like(w), w]), torch.tensor([10.0, 0.0]), shape)


@pytest.mark.parametrize("seed", range(6))
def test_one_pixel_takes_the_whole_budget_where_it_has_room(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    w = torch.randn(6, generator=rng, dtype=torch.float64)  # of so few pixels one moves
    x = 0.4 + 0.2 * torch.rand(1, 1, 2, 3, generator=rng, dtype=torch.float64)
    for random_start in (False, True):
        found = run(
            towards(w, (1, 2, 3)),
            x,
            torch.tensor([0]),
            pgd(random_start=random_start, steps=60),
            epsilon=0.3,
            p=1,
        )
        gained = float((found.images - x).flatten() @ w)
        assert gained == pytest.approx(best_gain(w, x, 0.3), rel=1e-9)
        assert found.norm.item() == pytest.approx(0.3, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_box_stops_pixels_and_the_rest_of_the_budget_goes_to_others(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    w = torch.randn(80, generator=rng, dtype=torch.float64)
    four = w.abs().argsort(descending=True)[:4]  # the twentieth of the pixels that moves
    x = torch.rand(1, 1, 8, 10, generator=rng, dtype=torch.float64)
    room = torch.where(w > 0, 1 - x.flatten(), x.flatten())
    budget = float(room[four].sum())
    for share in (0.3, 0.7, 1.0):
        found = run(
            towards(w, (1, 8, 10)),
            x,
            torch.tensor([0]),
            pgd(budget / 9, 80, random_start=False),
            epsilon=share * budget,
            p=1,
        )
        gained, best = float((found.images - x).flatten() @ w), best_gain(w, x, share * budget)
        assert gained <= best * (1 + 1e-9)
        assert found.norm.item() == pytest.approx(share * budget, rel=1e-9)
        if share == 1:
            assert gained == pytest.approx(best, rel=1e-9)  # all four full is the best there is


def test_of_equal_losses_the_last_is_kept() -> None:
    """Far from any other class the cross-entropy is 0 to the last digit; its gradient still points
    somewhere.
    """
    w, x = torch.ones(12, dtype=torch.float64), torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    network = linear(torch.stack([torch.zeros_like(w), w]), torch.tensor([100.0, 0.0]), (3, 2, 2))
    found = run(network, x, torch.tensor([0]), pgd(steps=5, random_start=False), epsilon=0.1)
    assert found.norm.item() == pytest.approx(0.1)


# MI-FGSM and losses


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, MARGIN], ids=["cross-entropy", "margin"])
@pytest.mark.parametrize("p", [math.inf, 2.0])
def test_momentum_is_mi_fgsm(p: float, loss: Loss) -> None:
    network, x, label, eps = tricky(), images(3), 1, LARGEST[p]
    options: dict[str, Any] = {"random_start": False, "keep_best": False, "stop_when_fooled": False}
    found = run(
        network,
        x,
        torch.full((3,), label),
        pgd(eps / 4, 7, decay=0.8, loss=loss, **options),
        epsilon=eps,
        p=p,
    )
    for row in range(3):
        z, g = x[row : row + 1].clone(), torch.zeros(1, 3, 8, 8, dtype=torch.float64)
        for _ in range(7):
            point = z.clone().requires_grad_()
            logits = plain(raw(network), point)["logits"][0]
            others = torch.cat([logits[:label], logits[label + 1 :]])
            value = (
                others.max() - logits[label] if loss is MARGIN else -logits.log_softmax(0)[label]
            )
            (grad,) = torch.autograd.grad(value, point)
            g = 0.8 * g + grad / grad.abs().sum()
            if p == 2:
                delta = z + eps / 4 * g / g.square().sum().sqrt() - x[row]
                z = (x[row] + delta * min(1.0, eps / float(delta.square().sum().sqrt()))).clamp(
                    0, 1
                )
            else:
                z = (z + eps / 4 * g.sign()).clamp(x[row] - eps, x[row] + eps).clamp(0, 1)
        torch.testing.assert_close(found.images[row : row + 1], z, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("classes", "targets", "needed"), [(2, None, 3), (3, torch.tensor([1]), 4)]
)
def test_too_few_classes_for_dlr_are_said(
    classes: int, targets: Tensor | None, needed: int
) -> None:
    rng = torch.Generator().manual_seed(0)
    network = linear(torch.randn(classes, 12, generator=rng), torch.zeros(classes), (3, 2, 2))
    with pytest.raises(ValueError, match=f"at least {needed} classes; this one has {classes}"):
        run(network, images(1, 2), None, pgd(loss=DLR), epsilon=0.1, targets=targets)


# Targets


def test_random_targets_are_uniform_over_the_other_classes() -> None:
    classes, count = 7, 3000
    labels = torch.arange(count) % classes
    targets = random_class(torch.zeros(count, classes), labels, generators(0, 0, count))
    assert not (targets == labels).any()
    assert targets.min() >= 0
    assert targets.max() < classes
    for label in range(classes):
        counts = np.bincount(targets[labels == label].numpy(), minlength=classes)
        assert stats.chisquare(np.delete(counts, label)).pvalue > 1e-4


def test_the_least_likely_class_is_the_lowest_logit_but_for_the_label() -> None:
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 4
    found = least_likely(logits, labels, [])
    for row, label, target in zip(logits.tolist(), labels.tolist(), found.tolist(), strict=True):
        assert row[target] == min(value for c, value in enumerate(row) if c != label)
        assert target != label


@pytest.mark.parametrize("choice", [random_class, least_likely])
@pytest.mark.parametrize("start", [False, True])
def test_chosen_targets_are_attacked_like_given_ones(choice: Choice, start: bool) -> None:
    network, x, labels = tricky(), images(8), torch.arange(8) % 5
    found = run(
        network,
        x,
        labels,
        pgd(steps=6, random_start=start),
        epsilon=0.05,
        targets=choice,
        seed=4,
        first_row=9,
    )
    assert found.target is not None
    assert not (found.target == labels).any()
    given = run(
        network,
        x,
        labels,
        pgd(steps=6, random_start=start),
        epsilon=0.05,
        targets=found.target,
        seed=4,
        first_row=9,
    )
    assert torch.equal(found.images, given.images)
    assert torch.equal(found.succeeded, found.prediction == found.target)
    if choice is least_likely:
        assert torch.equal(found.target, least_likely(network.logits(x), labels, []))
    for row in range(8):  # a row's target is its own, whoever is with it
        one = slice(row, row + 1)
        alone = run(
            network,
            x[one],
            labels[one],
            fgsm(),
            epsilon=0.01,
            targets=choice,
            seed=4,
            first_row=9 + row,
        )
        assert alone.target is not None
        assert alone.target[0] == found.target[row]


# Warnings


class Ends(nn.Module):
    """A linear layer, and what is done with its outputs."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.flat, self.linear, self.end = nn.Flatten(), nn.Linear(12, 4, dtype=torch.float64), end
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(4, 12, generator=torch.Generator().manual_seed(1)))
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.linear(self.flat(x)))


def ending(end: Callable[[Tensor], Tensor]) -> Network:
    return Network(Ends(end), (3, 2, 2), (0, 0, 0), (1, 1, 1), dtype=torch.float64)


def test_a_softmax_in_the_network_is_warned_of() -> None:
    for epsilon, method in ((0.1, fgsm()), (0.1, pgd(steps=2)), (0, pgd(steps=1))):
        softmax = ending(lambda z: z.softmax(1))
        (warning,) = run(softmax, images(3, 2), None, method, epsilon=epsilon).warnings
        assert "probabilities" in warning
        for sound in (
            lambda z: z,
            lambda z: z.log_softmax(1),
            lambda z: z.sigmoid(),
            lambda z: z.softmax(1) - 0.25,
        ):
            found = run(ending(sound), images(3, 2), None, method, epsilon=epsilon)
            assert found.warnings == ()


def test_gradients_of_zero_are_warned_of_and_counted() -> None:
    steps = ending(lambda z: (10 * z).round())
    (warning,) = run(steps, images(5, 2), None, pgd(steps=3), epsilon=0.01).warnings
    assert "zero for 5 of 5 images" in warning
    x = images(8, 2)
    size = ending(lambda z: z).logits(x).amax(1)
    dark = ending(
        lambda z: torch.where(z.amax(1, keepdim=True) > size.sort()[0][4:6].mean(), z.detach(), z)
    )  # of three images
    (warning,) = run(dark, x, None, fgsm(), epsilon=1e-6).warnings
    assert "zero for 3 of 8 images" in warning
    labels = dark.logits(x).argmin(1)  # all are wrong already: none is attacked
    assert run(dark, x, labels, pgd(), epsilon=0.001).warnings == ()


@norms
def test_an_epsilon_under_one_level_is_warned_of(p: float) -> None:
    network, x = ending(lambda z: z), images(4, 2)
    epsilon = torch.tensor([0.5, 0.999, 1.0, 2.0], dtype=torch.float64) / 255
    found = run(network, x, None, pgd(steps=2), epsilon=epsilon, p=p, eight_bit=True)
    (warning,) = found.warnings
    assert "under one 8-bit level (1/255) for 2 images" in warning
    assert found.fixed.tolist() == [True, True, False, False]
    assert not found.norm[:2].any()
    assert run(network, x, None, pgd(steps=2), epsilon=epsilon, p=p).warnings == ()
    assert (
        run(network, x, None, pgd(steps=2), epsilon=0, p=p, eight_bit=True).warnings == ()
    )  # nobody expects anything of that
