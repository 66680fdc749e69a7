"""What becomes of each row of APGD: no company matters, the best is kept, the ball is never
left.
"""

import math

import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult, Done
from interp.attack.apgd_ascent import apgd_ascent
from interp.attack.ball import Ball
from interp.attack.goal import Untargeted
from interp.attack.losses import cross_entropy, dlr, dlr_targeted, target_likelihood
from interp.norms import norm
from interp.objective import Objective
from interp.probe import Answer, Oracle, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images, linear, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
EPSILON = {math.inf: 0.03, 2.0: 0.3, 1.0: 4.0}


def ball(
    x: Tensor, eps: float | Tensor, p: float, *, random_start: bool = False, eight_bit: bool = False
) -> Ball:
    radii = eps.view(-1, 1, 1, 1) if isinstance(eps, Tensor) else x.new_full((len(x), 1, 1, 1), eps)
    return Ball(x, radii, p, random_start, eight_bit)


def climb(
    network: Oracle, b: Ball, loss: Objective, steps: int, done: Done | None = None, seed: int = 0
) -> AscentResult:
    return solve(apgd_ascent(b, loss, steps, generators(seed, 0, len(b.x)), done), network)


def missed(labels: Tensor) -> Done:
    return lambda answer, rows: Untargeted(labels[rows]).reached(answer)


@norms
@pytest.mark.parametrize("random_start", [False, True])
def test_rows_do_not_depend_on_their_company(p: float, random_start: bool) -> None:
    network, x = tricky(), images(12)
    labels = network.logits(x).argsort(1)[
        torch.arange(12), [4] * 10 + [3] * 2
    ]  # the last two are wrong from the start
    eps = EPSILON[p] * torch.linspace(0.2, 3, 12, dtype=torch.float64)
    b, counting = ball(x, eps, p, random_start=random_start), Counting(network)
    whole = solve(
        apgd_ascent(b, cross_entropy(labels), 15, generators(5, 0, 12), missed(labels)), counting
    )
    alone = []
    for row in range(12):
        one, label = torch.tensor([row]), labels[row : row + 1]
        single = solve(
            apgd_ascent(
                b.take(one), cross_entropy(label), 15, generators(5, row, 1), missed(label)
            ),
            network,
        )
        torch.testing.assert_close(single.images[0], whole.images[row], rtol=0, atol=1e-10)
        alone.append(single.gradients)
    assert counting.gradients == [
        n for step in range(15) if (n := sum(count > step for count in alone))
    ]
    assert whole.gradients == sum(alone)
    assert len(set(alone)) >= 3
    assert 15 in alone
    if not random_start:
        assert alone[10:] == [1, 1]
        assert torch.equal(whole.images[10:], x[10:])
    assert whole.start_logits is not None
    assert len(whole.start_logits) == 12


@norms
def test_the_first_that_fools_is_kept_and_else_the_highest_loss(p: float) -> None:
    network, x = tricky(), images(10)
    labels = network.logits(x).argmax(1)
    b, counting = ball(x, EPSILON[p], p), Counting(network)
    found = solve(
        apgd_ascent(b, cross_entropy(labels), 12, generators(0, 0, 10), missed(labels)), counting
    )
    seen: dict[int, list[tuple[bool, float, Tensor]]] = {row: [] for row in range(10)}
    walking = list(range(10))
    for probe in counting.probes:
        logits = network.logits(probe.images)
        assert probe.objective is not None
        scores = probe.objective({"logits": logits})
        for row, predicted, score, image in zip(
            walking, logits.argmax(1).tolist(), scores.tolist(), probe.images, strict=True
        ):
            seen[row].append((predicted != labels[row], score, image))
        walking = [row for row in walking if not seen[row][-1][0]]
    assert 0 < len(walking) < 10
    for row, past in seen.items():
        best = past[-1] if past[-1][0] else max(past, key=lambda entry: entry[1])
        assert torch.equal(found.images[row], best[2])
    assert not counting.probes[-1].differentiates


@norms
def test_what_fools_is_kept_even_with_little_loss(p: float) -> None:
    x = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    label = torch.tensor([0])
    procedure = apgd_ascent(
        ball(x, 0.1, p), cross_entropy(label), 9, generators(0, 0, 1), missed(label)
    )
    probe, grad, highest = next(procedure), torch.ones_like(x), x
    for score in (3.0, 4.0):
        probe = procedure.send(
            Answer(torch.tensor([score]).double(), grad, torch.tensor([[1.0, 0.0]]))
        )
        highest, grad = probe.images if score == 3.0 else highest, -grad
    with pytest.raises(StopIteration) as end:
        procedure.send(Answer(torch.tensor([1.0]).double(), grad, torch.tensor([[0.0, 1.0]])))
    summit = end.value.value
    assert torch.equal(summit.images, probe.images)
    assert not torch.equal(summit.images, highest)
    assert summit.gradients == 3


@norms
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_probe_is_in_the_ball_and_in_the_box(p: float, dtype: torch.dtype) -> None:
    network, x = tricky(dtype), images(6, dtype=dtype).round(decimals=1)
    eps = torch.tensor([0.0, 0.1, 0.5, 1.0, 3.0, 9.0], dtype=dtype) * EPSILON[p]
    for eight_bit in (False, True):
        centre = (x * 255).round() / 255 if eight_bit else x
        b = ball(centre, eps, p, random_start=True, eight_bit=eight_bit)
        counting = Counting(network)
        found = climb(counting, b, cross_entropy(torch.zeros(6, dtype=torch.long)), 12)
        slack = 3e-7 if dtype is torch.float32 else 1e-12
        allowed = eps.double() * (1 + slack) + (
            1e-6 if eight_bit else slack / 4 if p == math.inf else 0
        )  # levels; sums of floats
        for z in (*(probe.images for probe in counting.probes), found.images):
            assert z.dtype is dtype
            assert ((z >= 0) & (z <= 1)).all()
            assert (norm(z.double() - centre.double(), p).flatten() <= allowed).all()
            if eight_bit:
                assert torch.equal((z * 255).round() / 255, z)
        assert torch.equal(found.images[0], centre[0])
        assert (
            norm(found.images - centre, p).flatten()[1:] > 0.2 * eps[1:]
        ).sum() >= 3  # it does use them


def test_without_gradients_rows_stay_and_say_so() -> None:
    flat = linear(torch.zeros(3, 12, dtype=torch.float64), torch.tensor([2.0, 1.0, 0.0]), (3, 2, 2))
    x = images(2, size=2)
    for p in (math.inf, 2.0, 1.0):
        found = climb(flat, ball(x, 0.1, p), cross_entropy(torch.tensor([0, 0])), 7)
        assert torch.equal(found.images, x)
        assert not found.moved.any()
    assert torch.equal(
        climb(flat, ball(x, 0.1, 2), cross_entropy(torch.tensor([0, 0])), 0).images, x
    )


@norms
def test_losses_are_functions(p: float) -> None:
    network, x = tricky(), images(8)
    logits = network.logits(x)
    order = logits.argsort(1, descending=True)
    labels, targets = order[:, 0], order[:, 1]
    for loss in (
        cross_entropy(labels),
        dlr(labels),
        target_likelihood(targets),
        dlr_targeted(labels, targets),
    ):
        found = climb(network, ball(x, EPSILON[p], p), loss, 10)
        assert (loss({"logits": network.logits(found.images)}) > loss({"logits": logits})).all()


def test_progress_and_preview_follow_the_walk() -> None:
    network, x, labels = tricky(), images(6), torch.arange(6) % 5
    counting = Counting(network)
    climb(counting, ball(x, 0.03, math.inf), cross_entropy(labels), 9, missed(labels))
    asked = [probe for probe in counting.probes if probe.differentiates]
    assert [probe.progress.step for probe in asked if probe.progress] == list(
        range(1, len(asked) + 1)
    )
    last = asked[-1].progress
    assert last is not None
    assert last.steps == 9
    assert last.preview().shape == x.shape
