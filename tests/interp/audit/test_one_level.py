"""Steps of one 8-bit level: drawn as said, and a network that jumps across them is found."""

import math

import pytest
import torch

from interp.attack.base import attack
from interp.attack.losses import margin
from interp.attack.pgd import pgd
from interp.audit.checks import check_evaluation
from interp.audit.checks.one_level import (
    FEWEST,
    LinearPrediction,
    jump_check,
    jumps,
    logits_jump,
    one_level_away,
)
from interp.audit.expectation import expectation_over_neighbours
from interp.network.network import Network
from interp.probe import Answer, Probe, solve
from interp.seeds import generators
from tests.interp.audit.test_checks import some_digits
from tests.interp.audit.toys_broken import around, embedded, levels, straight_through
from tests.interp.toys_networks import Counting, images, linear


def test_neighbours_are_one_level_away_in_a_few_pixels() -> None:
    x = (images(6, 8) * 255).round() / 255
    x[:2], x[2:4] = 0.0, 1.0
    beside = one_level_away(x, generators(0, 0, 6))
    steps = ((beside - x) * 255).flatten(1)
    assert torch.equal((beside * 255).round() / 255, beside)
    assert ((steps.abs() - 1).abs() < 1e-9).sum(1).tolist() == [FEWEST] * 6
    assert (steps.abs() > 1e-9).sum(1).tolist() == [FEWEST] * 6
    assert (beside >= 0).all()
    assert (beside <= 1).all()
    alone = one_level_away(x[3:4], generators(0, 3, 1))
    assert torch.equal(alone, beside[3:4])
    assert (steps[4:] > 0).any()
    assert (steps[4:] < 0).any()


def test_a_linear_network_does_not_jump() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(2, 48, generator=generator, dtype=torch.float64)
    network = linear(weights, torch.zeros(2, dtype=torch.float64), (3, 4, 4))
    x = (images(24, 4) * 255).round() / 255
    objective = margin(torch.zeros(24, dtype=torch.long))
    (answer,) = network.answer([Probe(x, objective)])
    assert answer.score is not None
    assert answer.grad is not None
    noise = torch.full_like(answer.score, 1e-9)
    start = LinearPrediction(x, objective, answer.score, answer.grad, noise)
    assert not solve(jumps(start, generators(0, 0, 24)), network).any()


def test_a_network_that_jumps_is_found_by_most_of_its_images() -> None:
    # one pixel: an odd number of levels is gone, and every neighbour of an even sum has an odd one
    single = Network(torch.nn.Flatten(), (1, 1, 1), [0.0], [1.0], dtype=torch.float64)
    x = torch.full((20, 1, 1, 1), 100 / 255, dtype=torch.float64)

    class Parity:
        def answer(self, probes: list[Probe]) -> list[Answer]:
            answers = single.answer([Probe(probe.images, logits=True) for probe in probes])
            found = []
            for probe, answer in zip(probes, answers, strict=True):
                assert answer.logits is not None
                odd = (probe.images * 255).round().flatten() % 2
                score = probe.images.flatten() + 0.1 * odd
                found.append(Answer(score, torch.ones_like(probe.images), answer.logits))
            return found

    objective = margin(torch.zeros(20, dtype=torch.long))
    start = LinearPrediction(
        x, objective, x.flatten(), torch.ones_like(x), torch.full((20,), 1e-9).double()
    )
    jumping = solve(jumps(start, generators(0, 0, 20)), Parity())
    assert jumping.all()
    failed = jump_check(jumping, 20, "-linf")
    assert (failed.name, failed.status) == ("one-level-steps-linf", "failed")
    assert logits_jump([failed])
    assert not logits_jump([jump_check(~jumping, 20, "")])


@pytest.mark.parametrize(
    ("eight_bit", "failed"), [(True, set()), (False, {"gradients-predict-loss"})]
)
def test_rounding_to_8_bit_levels_is_sound_for_8_bit_images_alone(
    eight_bit: bool, failed: set[str]
) -> None:
    network = around(straight_through(levels(256)))(embedded("digits-lenet5"))
    x, labels = some_digits(0, 32)
    x = (x * 255).round() / 255
    checks = solve(
        check_evaluation(x, labels, (), mean=[0.0], std=[1.0], eight_bit=eight_bit), network
    )
    assert {check.name for check in checks if check.status == "failed"} == failed


@pytest.mark.parametrize("p", [math.inf, 2.0])
def test_an_expectation_over_neighbours_finds_what_pgd_does_where_nothing_jumps(p: float) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(2, 48, generator=generator, dtype=torch.float64)
    network = linear(weights, torch.zeros(2, dtype=torch.float64), (3, 4, 4))
    x = 0.4 + 0.2 * images(20, 4)
    x = (x * 255).round() / 255
    labels = network.logits(x).argmax(1)
    dual = {math.inf: 1.0, 2.0: 2.0}[p]
    logits = network.logits(x)
    critical = (logits[:, 0] - logits[:, 1]).abs() / (weights[0] - weights[1]).norm(dual)
    epsilon = float(critical.median())  # at which half the images are fooled
    counting = Counting(network)
    method = expectation_over_neighbours(steps=10, neighbours=4)
    found = solve(attack(x, labels, method, epsilon=epsilon, p=p, eight_bit=True), counting)
    usual = solve(attack(x, labels, pgd(steps=10), epsilon=epsilon, p=p, eight_bit=True), network)
    assert 4 < int(usual.succeeded.sum()) < 16
    assert (found.succeeded | ~usual.succeeded).sum() >= 18
    assert not found.succeeded[critical > epsilon * (1 + 1e-6)].any()
    assert (found.norm <= epsilon + 1e-9).all()
    assert found.gradients == sum(counting.gradients)
