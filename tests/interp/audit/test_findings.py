"""Whatever misclassified image an audit asked about counts against its image, and nothing else."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.apgd import apgd
from interp.attack.autoattack import ensemble_search
from interp.attack.ball import Ball
from interp.attack.base import Method
from interp.attack.fab import fab
from interp.attack.goal import Goal
from interp.attack.pgd import pgd
from interp.attack.square import square
from interp.audit.checks import strength, sufficient
from interp.audit.checks.network import check_network
from interp.audit.findings import CHECKS, NOISE, finder_name, finders
from interp.audit.plan import Plan, PlannedAttack, Threat
from interp.audit.result import NOWHERE, Examples, joined
from interp.network.network import Network
from interp.probe import Answer, Probe, Procedure, on_rows, solve
from interp.seeds import Generators
from tests.interp.audit.toys_audit import case, run

THREATS = (
    Threat(math.inf, (1 / 255, 3 / 255, 8 / 255)),
    Threat(2.0, (0.02, 0.08, 0.3)),
    Threat(1.0, (0.3, 1.5, 4.0)),
)
METHODS = {
    "PGD-4, twice": pgd(steps=4, restarts=2),
    "PGD, last": pgd(steps=4, keep_best=False, stop_when_fooled=False),
    "APGD": apgd(steps=6),
    "FAB": fab(steps=3, target_classes=2),
    "Square": square(queries=20, restarts=2),
    "ensemble": Method(ensemble_search(steps=4, target_classes=2, queries=10), "ensemble"),
}


class Witness:
    """A network, and all that it was asked and has answered."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.images: list[Tensor] = []
        self.predictions: list[Tensor] = []

    def answer(self, probes: list[Probe]) -> list[Answer]:
        answers = self.network.answer(probes)
        for probe, answer in zip(probes, answers, strict=True):
            if answer.logits is not None:
                self.images.append(probe.images)
                self.predictions.append(answer.logits.argmax(1))
        return answers

    def least(self, x: Tensor, labels: Tensor, threat: Threat) -> list[int]:
        """By brute force: the first epsilon whose ball holds an image of 8-bit levels that was
        asked about and misclassified, of all that lie nearer to this image than to others.
        """
        levels = torch.cat(self.images).double().numpy() * 255
        whole = np.abs(levels - levels.round()).reshape(len(levels), -1).max(1) < 1e-9
        levels, predictions = levels.round()[whole], torch.cat(self.predictions).numpy()[whole]
        centres = (x.numpy() * 255).round()
        nearest = np.array([np.abs(centres - one).sum((1, 2, 3)).argmin() for one in levels])
        found = []
        for row, label in enumerate(labels.tolist()):
            wrong = (nearest == row) & (predictions != label)
            delta = np.abs(levels[wrong] - centres[row]).reshape(wrong.sum(), x[0].numel())
            length = np.linalg.norm(delta, threat.p, axis=1).min(initial=math.inf)
            held = [length <= epsilon * 255 + 1e-6 for epsilon in threat.epsilons]
            found.append(held.index(True) if any(held) else len(held))
        return found


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_every_misclassified_image_that_was_asked_about_counts(name: str, p: float) -> None:
    network, x, labels = case(10)
    threats = tuple(sorted(THREATS, key=lambda threat: threat.p != p))
    plan = Plan(threats, (PlannedAttack("it", METHODS[name]),), seed=2)
    witness = Witness(network)
    judged = run(witness, x, labels, plan)
    right = (judged.clean == labels.numpy()).nonzero()[0]
    for number, threat in enumerate(threats):
        expected = np.array(witness.least(x, labels, threat))[right]
        np.testing.assert_array_equal(judged.worst_at[number][right], expected)
        assert (judged.worst_at[number] <= judged.fooled_at[number].min(0)).all()
        found = judged.examples[number]
        inside = expected < len(threat.epsilons)
        np.testing.assert_array_equal(found.row, right[inside])
        np.testing.assert_array_equal(found.epsilon, expected[inside])
        z = torch.from_numpy(found.images).double() / 255
        assert network.logits(z).argmax(1).tolist() == found.prediction.tolist()
        assert (found.prediction != labels.numpy()[found.row]).all()


def only_linf(ball: Ball, goal: Goal, rows: Generators) -> Procedure[AscentResult]:
    """PGD under Linf, and nothing under the other norms."""
    if ball.p == math.inf:
        return (yield from pgd(steps=6).search(ball, goal, rows))
    return AscentResult(ball.x, torch.ones(len(ball.x), dtype=torch.bool), None, 0)


def test_what_one_norm_finds_counts_in_the_others() -> None:
    network, x, labels = case(16)
    threats = (Threat(math.inf, (4 / 255, 16 / 255)), Threat(2.0, (0.01, 3.0)))
    judged = run(
        network, x, labels, Plan(threats, (PlannedAttack("it", Method(only_linf, "own")),), seed=1)
    )
    right = judged.clean == labels.numpy()
    assert (judged.fooled_at[1][0][right] == 2).all()
    found = {row for row in judged.examples[0].row.tolist() if judged.fooled_at[0][0][row] < 2}
    assert found
    elsewhere = judged.examples[1].take(judged.examples[1].under == 0)
    assert found <= set(judged.examples[1].row.tolist())
    assert set(elsewhere.row.tolist())
    assert {*elsewhere.finder.tolist()} <= {0, 1}  # PGD, or the noise control
    assert (judged.worst_at[1][elsewhere.row] == elsewhere.epsilon).all()


def test_the_checks_count_what_they_ask_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strength, "QUERIES", 5)
    monkeypatch.setattr(sufficient, "EFFORTS", ((3, 1), (5, 1)))
    network, x, labels = case(16)
    plan = Plan(THREATS[:2], (PlannedAttack("weak", pgd(steps=1)),), seed=4)
    witness = Witness(network)
    checks = check_network(x, labels, plan, mean=[0.0] * 3, std=[1.0] * 3)
    met = solve(checks, witness).examples
    right = network.logits(x).argmax(1) == labels
    for number, threat in enumerate(plan.threats):
        least = np.array(witness.least(x, labels, threat))
        expected = [row for row in range(16) if right[row] and least[row] < 3]
        assert expected
        assert met[number].row.tolist() == expected
        assert met[number].epsilon.tolist() == least[expected].tolist()
    judged = run(network, x[5:12], labels[5:12], plan, first_row=5)
    both = judged.with_findings(met, 5)
    for number in range(2):
        own = judged.worst_at[number].astype(int)
        other = dict(zip(met[number].row.tolist(), met[number].epsilon.tolist(), strict=True))
        known = [min(at, other.get(row, 3)) for row, at in enumerate(own, 5)]
        assert both.worst_at[number].tolist() == known
        examples = both.examples[number]
        fooled = [row for row in range(7) if right[5 + row] and known[row] < 3]
        assert (examples.row - 5).tolist() == fooled
        assert examples.epsilon.tolist() == [known[row] for row in fooled]
        np.testing.assert_array_equal(both.fooled_at[number], judged.fooled_at[number])


def test_of_two_images_as_near_the_attacks_own_is_named() -> None:
    network, x, labels = case(16)
    plan = Plan(THREATS[:1], tuple(PlannedAttack(n, pgd(steps=4)) for n in ("first", "second")))
    judged = run(network, x, labels, plan)
    found = judged.examples[0]
    for row, finder, epsilon in zip(
        found.row.tolist(), found.finder.tolist(), found.epsilon.tolist(), strict=True
    ):
        attacks = judged.fooled_at[0][:, row].tolist()
        if min(attacks) == epsilon:
            assert finder == attacks.index(epsilon)


def test_finders_have_names() -> None:
    plan = Plan(THREATS, (PlannedAttack("PGD", pgd()),), ("fog",), (1, 4), ("rotation", "noise"))
    names = finders(plan)
    assert names[:3] == ["PGD", NOISE, "fog 1"]
    assert len(set(names)) == len(names)
    assert finder_name(plan, 1, 0, 1) == "PGD"
    assert finder_name(plan, 1, 0, 0) == "PGD in linf"
    assert finder_name(plan, 1, names.index(CHECKS), NOWHERE) == CHECKS
    assert finder_name(plan, 1, 2, len(THREATS)) == "fog 1"


def test_probes_name_the_rows_of_the_outermost_batch() -> None:
    def asks(count: int) -> Procedure[None]:
        for rows in (None, torch.tensor([count - 1])):
            yield Probe(torch.zeros(count if rows is None else 1, 1, 1, 1), rows=rows)

    nested = on_rows(on_rows(asks(2), torch.tensor([0, 2])), torch.tensor([7, 8, 9]))
    assert [probe.rows.tolist() for probe in nested if probe.rows is not None] == [[7, 9], [9]]


def test_examples_go_through_arrays() -> None:
    network, x, labels = case(8)
    (found,) = run(network, x, labels, Plan(THREATS[:1], (PlannedAttack("it", pgd()),))).examples
    again = Examples.read({f"a.{name}": array for name, array in found.arrays().items()}, "a.")
    both = joined([again.take(np.array([1, 0])), found.take(np.arange(2, len(found.row)))]).by_row()
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(both.arrays()[name], array)
