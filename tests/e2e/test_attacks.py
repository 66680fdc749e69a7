"""Every attack through a real server gives what the library gives here, row by row."""

import math

import numpy as np
import pytest
import torch

import striate
from interp.attack.apgd import apgd, apgd_t
from interp.attack.base import Method, attack
from interp.attack.epsilon_curve import epsilon_curve
from interp.attack.evaluate import AdversarialExamples, UnitTarget
from interp.attack.fab import fab
from interp.attack.goal import DLR, MARGIN, Choice, least_likely, random_class, silence
from interp.attack.pgd import fgsm, pgd
from interp.attack.square import square
from interp.layer import LayerPath
from interp.network.network import Network
from interp.objective import activation
from interp.probe import solve
from interp.rows import Chunks
from striate.attacks import Attack

Digits = tuple[list[bytes], list[int]]
EPSILON = 0.125  # a float32, too

LINF = (EPSILON, math.inf)

# by name: the attack as the client asks for it; the same by the library, and its ball
CASES: dict[str, tuple[Attack, Method, tuple[float, float]]] = {
    "fgsm": (striate.FGSM(EPSILON), fgsm(), LINF),
    "pgd": (striate.PGD(EPSILON, steps=10), pgd(steps=10), LINF),
    "l2": (striate.PGD(1.0, steps=10, norm="l2"), pgd(steps=10), (1.0, 2)),
    "l1": (
        striate.PGD(16.0, steps=10, norm="l1", restarts=2, loss="margin"),
        pgd(steps=10, restarts=2, loss=MARGIN),
        (16.0, 1),
    ),
    "mi-fgsm": (
        striate.PGD(EPSILON, steps=5, decay=1.0, random_start=False),
        pgd(steps=5, decay=1.0, random_start=False),
        LINF,
    ),
    "apgd": (
        striate.APGD(EPSILON, steps=10, loss="dlr", restarts=2),
        apgd(steps=10, loss=DLR, restarts=2),
        LINF,
    ),
    "apgd-t": (
        striate.APGD(1.0, "l2", steps=5, target_classes=3),
        apgd_t(steps=5, target_classes=3),
        (1.0, 2),
    ),
    "fab": (striate.FAB(EPSILON, steps=5, target_classes=3), fab(steps=5, target_classes=3), LINF),
    "square": (striate.Square(EPSILON, queries=40), square(queries=40), LINF),
}


def same(found: striate.AttackResult, expected: AdversarialExamples, local: Network) -> None:
    assert np.allclose(found.images, expected.images.numpy(), atol=1e-5)
    assert found.succeeded.tolist() == expected.succeeded.tolist()
    assert found.clean_predictions.tolist() == expected.clean_prediction.tolist()
    assert np.allclose(found.norms, expected.norm.numpy(), rtol=1e-5)
    assert (found.gradients, found.queries) == (expected.gradients, expected.queries)
    assert (
        local.logits(torch.from_numpy(found.images)).argmax(1).numpy() == found.predictions
    ).all()


@pytest.mark.parametrize("name", list(CASES))
def test_attacks_agree_with_the_library(
    name: str, net: striate.Model, local: Network, digits: Digits, pixels: torch.Tensor
) -> None:
    remote, method, (epsilon, p) = CASES[name]
    found = net.attack(digits[0], digits[1], remote, seed=3, noise_control=True, deterministic=True)
    expected = solve(
        attack(
            pixels,
            torch.tensor(digits[1]),
            method,
            epsilon=epsilon,
            p=p,
            seed=3,
            noise_control=True,
        ),
        Chunks(local, 8),
    )
    same(found, expected, local)
    assert found.norms.max() <= epsilon * (1 + 1e-5)
    assert expected.control is not None
    assert found.noise_succeeded is not None
    assert found.noise_succeeded.tolist() == expected.control.succeeded.tolist()


def test_the_ensemble_leaves_no_image_that_one_of_its_attacks_fools(
    net: striate.Model, digits: Digits
) -> None:
    alone = net.attack(
        digits[0], digits[1], striate.APGD(EPSILON, steps=100), seed=3, deterministic=True
    )
    few = [row for row in range(len(digits[0])) if alone.succeeded[row]][:6]
    images, labels = [digits[0][row] for row in few], [digits[1][row] for row in few]
    assert net.attack(images, labels, striate.AutoAttack(EPSILON)).robust_accuracy == 0


@pytest.mark.parametrize(
    ("word", "choice"), [("random", random_class), ("least-likely", least_likely)]
)
def test_targets_are_chosen_where_they_are_not_given(
    word: str,
    choice: Choice,
    net: striate.Model,
    local: Network,
    digits: Digits,
    pixels: torch.Tensor,
) -> None:
    found = net.attack(
        digits[0], digits[1], CASES["pgd"][0], targets=word, seed=3, deterministic=True
    )
    expected = solve(
        attack(
            pixels,
            torch.tensor(digits[1]),
            CASES["pgd"][1],
            epsilon=EPSILON,
            targets=choice,
            seed=3,
        ),
        Chunks(local, 8),
    )
    same(found, expected, local)
    assert expected.target is not None
    assert found.targets is not None
    assert found.targets.tolist() == expected.target.tolist()
    assert (found.succeeded == (found.predictions == found.targets)).all()


def test_a_unit_is_silenced(
    net: striate.Model, local: Network, digits: Digits, pixels: torch.Tensor
) -> None:
    found = net.attack(
        digits[0],
        attack=striate.PGD(0.25, steps=10),
        unit=striate.Silence("c3:5"),
        seed=3,
        deterministic=True,
    )
    aim: UnitTarget = (activation([LayerPath("c3", 5)] * len(pixels)), silence)
    same(
        found,
        solve(
            attack(pixels, None, pgd(steps=10), epsilon=0.25, unit=aim, seed=3), Chunks(local, 8)
        ),
        local,
    )
    assert found.activations is not None
    assert found.clean_activations is not None
    seen = (
        local.activations(torch.from_numpy(found.images), ["c3"])["c3"][:, 5].mean((1, 2)).numpy()
    )
    assert np.allclose(found.activations, seen, atol=1e-4)
    assert (
        found.succeeded
        == (found.activations <= found.clean_activations - 0.9 * np.abs(found.clean_activations))
    ).all()


def test_a_curve_and_every_minimal_epsilon(
    net: striate.Model, local: Network, digits: Digits, pixels: torch.Tensor
) -> None:
    epsilons = [0.03125, 0.0625, 0.125, 0.25]
    found = net.epsilon_curve(
        digits[0],
        digits[1],
        epsilons=epsilons,
        steps=5,
        bisections=2,
        fab_steps=5,
        seed=3,
        deterministic=True,
    )
    expected = solve(
        epsilon_curve(
            pixels, torch.tensor(digits[1]), epsilons, steps=5, bisections=2, fab_steps=5, seed=3
        ),
        Chunks(local, 8),
    )
    least = [math.nan if value == math.inf else value for value in expected.minimal.tolist()]
    assert np.allclose(found.minimal_epsilons, least, equal_nan=True)
    assert np.allclose(found.robust_accuracy, expected.withstood.numpy() / len(pixels))
    assert (np.diff(found.robust_accuracy) <= 0).all()


def test_what_others_accept_silently_is_refused(
    net: striate.Model, digits: Digits, pixels: torch.Tensor
) -> None:
    images, labels = digits[0][:2], digits[1][:2]
    with pytest.raises(striate.InvalidArgument, match="epsilon"):
        striate.PGD(1.5)
    with pytest.raises(striate.InvalidArgument, match="labels"):
        net.attack(images, [0, 10], striate.PGD())
    with pytest.raises(striate.InvalidArgument, match="images"):
        net.attack(pixels[:2].numpy() * 255, labels, striate.PGD())
    with pytest.raises(striate.InvalidArgument, match="epsilon: is 33"):
        net.attack(images, labels, striate.PGD(norm="l2", epsilon=33))
    with pytest.warns(striate.StriateWarning, match="under one 8-bit level"):
        out = net.attack(images, labels, striate.PGD(0.5 / 255), format="png")
    assert out.no_freedom.all()
    assert not (out.succeeded & (out.clean_predictions == out.labels)).any()


def test_clean_images_come_back_as_the_network_saw_them(
    net: striate.Model, digits: Digits, pixels: torch.Tensor
) -> None:
    found = net.attack(digits[0], digits[1], "fgsm")
    assert found.clean is not None
    np.testing.assert_array_equal(found.clean, pixels[:8].numpy())
    largest = np.abs(found.images[: len(found.clean)] - found.clean).max((1, 2, 3))
    np.testing.assert_allclose(largest, found.norms[: len(largest)], atol=1e-6)
    without = net.attack(pixels.numpy(), digits[1], "fgsm")
    np.testing.assert_array_equal(without.clean, pixels[:8].numpy())
