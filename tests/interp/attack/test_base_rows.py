"""What becomes of each row of an attack: who leaves when, which iterate is kept, and that no row
depends on another.
"""

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from interp.attack.base import Method, attack
from interp.attack.evaluate import AdversarialExamples
from interp.attack.pgd import fgsm, pgd
from interp.network.network import Network
from interp.norms import norm
from interp.probe import Answer, Probe, solve
from tests.interp.toys_networks import Counting, images, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0])
EPSILON = {math.inf: 0.03, 2.0: 0.3}


def run(
    network: Network | Counting, x: Tensor, labels: Tensor | None, method: Method, **options: Any
) -> AdversarialExamples:
    return solve(attack(x, labels, method, **options), network)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def rows_that_differ(p: float) -> tuple[Network, Tensor, Tensor, list[int]]:
    """A network, images and labels of which some fall at once, some later and some never; and the
    gradients each takes alone.
    """
    network, x = tricky(), images(12)
    labels = network.logits(x).argsort(1)[
        torch.arange(12), [4] * 10 + [3] * 2
    ]  # the last two are wrong from the start
    alone = []
    for row in range(12):
        counting = Counting(network)
        run(
            counting,
            x[row : row + 1],
            labels[row : row + 1],
            pgd(steps=12),
            epsilon=EPSILON[p],
            p=p,
            seed=5,
            first_row=row,
        )
        alone.append(sum(counting.gradients))
    return network, x, labels, alone


@norms
def test_rows_leave_when_they_are_fooled_and_the_others_do_not_notice(p: float) -> None:
    network, x, labels, alone = rows_that_differ(p)
    assert alone[10:] == [0, 0]
    assert len(set(alone)) >= 4  # or there would be little to see
    counting = Counting(network)
    whole = run(counting, x, labels, pgd(steps=12), epsilon=EPSILON[p], p=p, seed=5)
    assert counting.gradients == [
        n for step in range(12) if (n := sum(count > step for count in alone))
    ]
    assert whole.gradients == sum(alone)
    kept = run(
        network, x, labels, pgd(steps=12, stop_when_fooled=False), epsilon=EPSILON[p], p=p, seed=5
    )
    assert kept.gradients == 10 * 12
    same(
        whole.images, kept.images
    )  # the best is the first that fools, whether or not a row leaves with it
    for row in range(12):
        single = run(
            network,
            x[row : row + 1],
            labels[row : row + 1],
            pgd(steps=12),
            epsilon=EPSILON[p],
            p=p,
            seed=5,
            first_row=row,
        )
        same(single.images[0], whole.images[row])
        assert single.succeeded[0] == whole.succeeded[row]


@norms
@pytest.mark.parametrize("labels_given", [True, False])
def test_a_batch_in_parts_gives_what_it_gives_whole(p: float, labels_given: bool) -> None:
    network, x = tricky(), images(16)
    labels = torch.arange(16) % 5 if labels_given else None
    for method in (
        pgd(steps=6),
        fgsm(),
        pgd(steps=3, keep_best=False),
    ):
        settings: dict[str, Any] = {"epsilon": EPSILON[p], "p": p, "noise_control": True}
        whole = run(network, x, labels, method, seed=7, first_row=100, **settings)
        halves = []
        for half in (slice(0, 8), slice(8, 16)):
            theirs = None if labels is None else labels[half]
            halves.append(
                run(
                    network,
                    x[half],
                    theirs,
                    method,
                    seed=7,
                    first_row=100 + half.start,
                    **settings,
                )
            )
        assert whole.control is not None
        for name in ("images", "label", "clean_prediction", "prediction", "succeeded", "norm"):
            same(
                getattr(whole, name).double(),
                torch.cat([getattr(h, name) for h in halves]).double(),
            )
        for name in ("prediction", "succeeded", "norm"):
            same(
                getattr(whole.control, name).double(),
                torch.cat([getattr(h.control, name) for h in halves]).double(),
            )
        assert whole.gradients == sum(h.gradients for h in halves)


def test_seeds_change_random_starts_and_rows_have_their_own() -> None:
    network, x = tricky(), images(1).expand(2, -1, -1, -1)
    method = pgd(
        steps=1, step=0.0, keep_best=False, stop_when_fooled=False
    )  # the random start itself
    first, again, other = (
        run(network, x, torch.tensor([0, 0]), method, epsilon=0.03, seed=seed).images
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).any(1).all()
    assert not torch.equal(first[0], first[1])


# Which iterate is kept: the network is a script.

LABEL, TARGET = 0, 2


class Script:
    """Answers with a class and a score, probe by probe and row by row, and with gradients
    of one.
    """

    def __init__(self, script: list[list[tuple[int, float]]]) -> None:
        self.script, self.seen = iter(script), list[Tensor]()

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        self.seen.append(probe.images)
        rows = next(self.script)
        assert len(rows) == len(probe.images)
        logits = torch.eye(3, dtype=torch.float64)[[predicted for predicted, _ in rows]]
        return [
            Answer(
                torch.tensor([score for _, score in rows]).double(),
                torch.ones_like(probe.images),
                logits,
            )
        ]


def scripted(
    columns: list[list[tuple[int, float]]],
    wanted: list[int],
    *,
    targeted: bool = False,
    **options: Any,
) -> AdversarialExamples:
    """Attack with one script a row, over iterates 0, 1, 2, 3; checks that row i returns its iterate
    wanted[i].
    """
    rows = len(columns)
    x = torch.full((rows, 1, 2, 2), 0.5, dtype=torch.float64)
    script = Script([list(step) for step in zip(*columns, strict=True)] + [[(LABEL, 0.0)] * rows])
    method = pgd(step=0.1, steps=3, random_start=False, stop_when_fooled=False, **options)
    procedure = attack(
        x,
        torch.full((rows,), LABEL),
        method,
        epsilon=0.4,
        targets=torch.full((rows,), TARGET) if targeted else None,
    )
    found = solve(procedure, script)
    expected = torch.stack([script.seen[iterate][row] for row, iterate in enumerate(wanted)])
    assert torch.equal(found.images, expected)
    same(found.norm, torch.tensor(wanted).double() * 0.1)
    return found


def test_the_best_is_the_first_that_fools_else_the_one_with_the_highest_loss() -> None:
    hit, miss = 1, LABEL
    columns = {
        1: [
            (miss, 0.1),
            (hit, 0.2),
            (miss, 0.9),
            (hit, 0.8),
        ],  # first that fools, though others have more loss
        2: [(miss, 0.1), (miss, 0.2), (miss, 0.9), (miss, 0.8)],  # never fools: highest loss
        3: [
            (miss, 0.5),
            (miss, 0.9),
            (miss, 0.1),
            (hit, 0.2),
        ],  # fools at the very end, with little loss
        0: [
            (hit, 0.1),
            (miss, 0.9),
            (hit, 0.9),
            (miss, 0.9),
        ],  # wrong from the start: not perturbed
    }
    found = scripted(list(columns.values()), list(columns), keep_best=True)
    assert found.clean_prediction.tolist() == [miss, miss, miss, hit]
    scripted([[(miss, 0.7), (miss, 0.6), (miss, 0.5), (miss, 0.4)]], [0], keep_best=True)


def test_a_targeted_attack_arrives_at_its_target_only() -> None:
    columns = {
        2: [
            (LABEL, 0.1),
            (1, 0.9),
            (TARGET, 0.2),
            (TARGET, 0.8),
        ],  # another wrong class is no success
        3: [(1, 0.1), (1, 0.2), (1, 0.3), (1, 0.4)],
        0: [(TARGET, 0.1), (LABEL, 0.9), (LABEL, 0.9), (LABEL, 0.9)],
    }
    scripted(list(columns.values()), list(columns), keep_best=True, targeted=True)


def test_the_last_is_the_last_whatever_it_is() -> None:
    # Without keep_best nobody looks at the last iterate before the verdict; its line is the
    # verdict's own.
    columns = [[(1, 0.9), (1, 0.8), (1, 0.7)], [(LABEL, 0.1), (1, 0.2), (LABEL, 0.3)]]
    scripted(columns, [3, 3], keep_best=False)


# Labels, verdicts and controls


def test_without_labels_the_networks_own_predictions_are_attacked() -> None:
    network, x = tricky(), images(6)
    own = network.logits(x).argmax(1)
    for method in (fgsm(), pgd(steps=4)):
        without, given = (
            run(network, x, labels, method, epsilon=0.05, seed=3) for labels in (None, own)
        )
        same(without.images, given.images)
        assert torch.equal(without.label, own)
        assert torch.equal(without.clean_prediction, own)
        assert torch.equal(without.succeeded, without.prediction != own)


@pytest.mark.parametrize("random_start", [True, False])
def test_images_that_are_wrong_already_are_returned_as_they_are(random_start: bool) -> None:
    network, x = tricky(), images(6)
    labels = network.logits(x).argsort(1)[:, -2]
    counting = Counting(network)
    found = run(counting, x, labels, pgd(random_start=random_start), epsilon=0.05)
    assert torch.equal(found.images, x)
    assert found.succeeded.all()
    assert not found.norm.any()
    assert found.gradients == sum(counting.gradients) == (0 if random_start else 6)
    perturbed = run(network, x, labels, fgsm(), epsilon=0.05)  # which keeps its last and only step
    assert (perturbed.norm > 0.049).all()


@norms
def test_an_epsilon_of_zero_changes_nothing(p: float) -> None:
    network, x = tricky(), images(5)
    for method in (
        fgsm(),
        pgd(steps=3),
        pgd(steps=2, random_start=False, keep_best=False),
    ):
        for eight_bit in (False, True):
            found = run(
                network, x, None, method, epsilon=0, p=p, eight_bit=eight_bit, noise_control=True
            )
            assert torch.equal(found.images, (x * 255).round() / 255 if eight_bit else x)
            assert not found.succeeded.any()
            assert not found.norm.any()
            assert found.control is not None
            assert not found.control.norm.any()
            assert torch.equal(found.control.prediction, found.clean_prediction)


@norms
@pytest.mark.parametrize("targeted", [False, True])
def test_eight_bit_results_are_judged_on_the_bytes_that_leave(p: float, targeted: bool) -> None:
    network = tricky(torch.float32)
    x = images(8, dtype=torch.float32)
    labels = network.logits(x).argmax(1)
    options = {"targets": (labels + 1) % 5} if targeted else {}
    for epsilon, method in (
        (0.02, fgsm()),
        (EPSILON[p] / 2, pgd(steps=8)),
        (0.7 / 255, pgd(steps=3)),
    ):
        ball: dict[str, Any] = {"epsilon": epsilon, "p": p}
        found = run(
            network, x, labels, method, eight_bit=True, noise_control=True, **ball, **options
        )
        levels = np.rint(found.images.numpy() * 255).astype(np.uint8)
        decoded = torch.stack([through_png(image) for image in levels])
        assert torch.equal(decoded, found.images)
        assert torch.equal(network.logits(decoded).argmax(1), found.prediction)
        assert torch.equal(
            found.succeeded,
            found.prediction == options["targets"] if targeted else found.prediction != labels,
        )
        centre = (x * 255).round() / 255
        torch.testing.assert_close(found.norm, norm(decoded - centre, p).flatten())
        assert (found.norm <= epsilon * (1 + 1e-6)).all()
        assert found.control is not None
        assert (found.control.norm <= epsilon * (1 + 1e-6)).all()


def through_png(levels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(levels.transpose(1, 2, 0)).save(file, "PNG")
    return torch.from_numpy(np.asarray(Image.open(file)).transpose(2, 0, 1).copy()).float() / 255


@norms
def test_the_noise_control_is_noise_of_the_same_norm(p: float) -> None:
    network, x = tricky(), torch.full((6, 3, 8, 8), 0.5, dtype=torch.float64)
    counting = Counting(network)
    found = run(
        counting, x, None, pgd(steps=2), epsilon=EPSILON[p], p=p, seed=9, noise_control=True
    )
    assert found.control is not None
    same(found.control.norm, torch.full((6,), EPSILON[p], dtype=torch.float64))
    noise = counting.probes[-1].images
    assert torch.equal(network.logits(noise).argmax(1), found.control.prediction)
    assert torch.equal(found.control.succeeded, found.control.prediction != found.label)
    start = next(p.images for p in counting.probes if p.differentiates)
    a, b = (noise - x).flatten(), (start - x).flatten()
    assert (
        abs(float(a @ b / a.norm() / b.norm())) < 4 / len(a) ** 0.5
    )  # not the noise of the random start
    again = run(network, x, None, fgsm(), epsilon=EPSILON[p], p=p, seed=9, noise_control=True)
    assert again.control is not None
    assert torch.equal(again.control.prediction, found.control.prediction)  # whatever the method
    counting.probes.clear()
    run(counting, x, None, pgd(steps=2), epsilon=EPSILON[p], p=p, seed=10, noise_control=True)
    assert not torch.isclose(counting.probes[-1].images, noise).any(1).all()
