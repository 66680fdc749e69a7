"""Square against the schedule of the paper, exhaustive search on linear networks, and what each
proposal may change.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor

from interp.ascent import AscentResult
from interp.attack.ball import Ball
from interp.attack.geometry.ball_projection import stretch_l2
from interp.attack.goal import Goal, Targeted, Untargeted, drive
from interp.attack.square import square_search
from interp.attack.square.proposals import bump, share, side
from interp.layer import LayerPath
from interp.norms import norm
from interp.objective import activation
from interp.probe import Answer, Oracle, Probe, solve
from interp.seeds import generators
from tests.interp.toys_networks import Counting, images, linear, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
EPSILON = {math.inf: 0.05, 2.0: 0.6, 1.0: 5.0}


def ball(x: Tensor, eps: float | Tensor, p: float, *, eight_bit: bool = False) -> Ball:
    radii = eps.view(-1, 1, 1, 1) if isinstance(eps, Tensor) else x.new_full((len(x), 1, 1, 1), eps)
    return Ball(x, radii, p, eight_bit=eight_bit)


def hunt(network: Oracle, b: Ball, goal: Goal, queries: int, seed: int = 0) -> AscentResult:
    return solve(square_search(queries)(b, goal, generators(seed, 0, len(b.x))), network)


# The schedule


def test_the_share_of_pixels_is_halved_when_the_paper_says() -> None:
    table = [
        (10, 1),
        (50, 2),
        (200, 4),
        (500, 8),
        (1000, 16),
        (2000, 32),
        (4000, 64),
        (6000, 128),
        (8000, 256),
        (9999, 512),
    ]
    before = -1
    for last, divisor in table:
        for proposal in (before + 1, last):
            assert share(proposal) == pytest.approx(0.8 / divisor)
        before = last
    for planned in (5000, 1000):  # with fewer queries the same shares come as much earlier
        shares = [share(i, planned) for i in range(planned)]
        assert shares == [share(i * 10_000 // planned) for i in range(planned)]


def test_sides_of_squares() -> None:
    starts = [0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001]
    assert [side(i, 10_000, 32, 32, math.inf) for i in starts] == [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]
    for p in (1.0, 2.0):
        assert [side(i, 10_000, 32, 32, p) for i in starts] == [29, 21, 15, 11, 7, 5, 5, 3, 3, 3]
        assert side(0, 10_000, 4, 9, p) == 3
        assert side(0, 10_000, 2, 2, p) == 1


@pytest.mark.parametrize(("p", "falls"), [(2.0, 2), (1.0, 4)])
@pytest.mark.parametrize("length", [1, 2, 3, 6, 7, 15])
def test_a_bump_is_a_hill_above_its_negative(length: int, p: float, falls: int) -> None:
    def hill(height: int, width: int) -> Tensor:
        rings = torch.zeros(height, width, dtype=torch.float64)
        for k in range(
            max(height, width) // 2 + 1
        ):  # squares ever larger about the middle, ever lower
            top, left = height // 2 - k, width // 2 - k
            rings[max(top, 0) : top + 2 * k + 1, max(left, 0) : left + 2 * k + 1] += (
                1 / (k + 1) ** falls
            )
        return rings / max(float(rings.norm(p)), 1e-12)

    expected = torch.cat([hill(length // 2, length), -hill(length - length // 2, length)])
    torch.testing.assert_close(bump(length, p), expected / expected.norm(p))


# What a proposal changes


class Unimpressed:
    """An oracle for which nothing beats the first image it saw, or everything beats what was
    before.
    """

    def __init__(self, rising: bool) -> None:
        self.seen: list[Tensor] = []
        self.rising = rising

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        assert not probe.differentiates
        self.seen.append(probe.images)
        score = torch.full(
            (len(probe.images),), float(len(self.seen) if self.rising else -len(self.seen))
        ).double()
        return [Answer(score, None, torch.tensor([[1.0, 0.0]]).expand(len(probe.images), 2))]


def nothing_wrong(rows: int) -> Untargeted:
    return Untargeted(torch.zeros(rows, dtype=torch.long))


def test_a_proposal_for_linf_puts_one_square_of_each_channel_on_an_edge_of_the_ball() -> None:
    x, eps, queries = images(3, size=12), 0.05, 400
    oracle = Unimpressed(rising=False)
    hunt(oracle, ball(x, eps, math.inf), nothing_wrong(3), queries)
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    first = oracle.seen[0]
    torch.testing.assert_close(
        torch.minimum((first - low).abs(), (first - high).abs()),
        torch.zeros_like(x),
        rtol=0,
        atol=1e-12,
    )
    up = ((first - high).abs() < 1e-12) & (high - low > 1e-6)
    assert (up == up[:, :, :1]).all()  # stripes
    places, corners = set(), set()
    for proposal, z in enumerate(oracle.seen[1:]):
        length = side(proposal, queries, 12, 12, math.inf)
        for row in range(3):
            changed = (z[row] != first[row]).any(0)
            if changed.any():
                rows, columns = (changed.any(d).nonzero().flatten() for d in (1, 0))
                assert rows[-1] - rows[0] < length
                assert columns[-1] - columns[0] < length
                assert (z[row] - torch.where(z[row] > first[row], high[row], low[row])).abs()[
                    :, changed
                ].min(0)[0].max() < 1e-12
                places.add((row, int(rows[0]), int(columns[0])))
                corners |= {(int(rows[-1]), int(columns[-1]))}
    assert len(places) > 150  # rows have squares of their own, all over the image
    assert max(r for r, _ in corners) == max(c for _, c in corners) == 11


def test_a_proposal_for_l2_moves_the_norm_into_a_window_and_loses_none() -> None:
    x = torch.full(
        (3, 3, 12, 12), 0.5, dtype=torch.float64
    )  # so far from the edges that nothing is cut
    eps = torch.tensor([0.02, 0.1, 0.4], dtype=torch.float64)
    oracle = Unimpressed(rising=True)
    hunt(oracle, ball(x, eps, 2.0), nothing_wrong(3), 200)
    before, moved = oracle.seen[0], 0
    for proposal, z in enumerate(oracle.seen[1:]):
        torch.testing.assert_close(norm(z - x, 2).flatten(), eps, rtol=1e-6, atol=0)
        length = side(proposal, 200, 12, 12, 2.0)
        for row in range(3):
            changed = ((z[row] - before[row]).abs() > 1e-9).any(0)
            assert changed.sum() <= 2 * length**2
            moved += int(changed.any())
        before = z
    assert moved > 0.8 * 3 * 199  # a bump may come to lie on itself


@pytest.mark.parametrize("channels", [1, 3])
def test_no_proposal_for_linf_is_the_best_image_once_more(channels: int) -> None:
    x = images(5, size=12)[:, :channels]
    oracle = Unimpressed(rising=True)
    hunt(oracle, ball(x, 0.05, math.inf), nothing_wrong(5), 300)
    for before, z in itertools.pairwise(oracle.seen):
        assert (z != before).flatten(1).any(1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_where_the_box_binds_proposals_use_the_whole_ball(channels: int) -> None:
    x = images(4, size=12)[:, :channels].round()  # black and white: half of all changes are cut
    for p, eps in ((2.0, 0.6), (1.0, 5.0)):
        oracle = Unimpressed(rising=True)
        hunt(oracle, ball(x, eps, p), nothing_wrong(4), 200)
        used = torch.stack([norm(z - x, p).flatten() for z in oracle.seen[1:]])
        assert (used <= eps * (1 + 1e-9)).all()
        assert used.median() > 0.999 * eps


@norms
def test_every_proposal_lies_in_ball_and_box(p: float) -> None:
    x = (1.6 * images(4, size=11) - 0.3).clamp(0, 1)
    eps = EPSILON[p] * torch.tensor([0.0, 0.5, 1.0, 4.0], dtype=torch.float64)
    oracle = Unimpressed(rising=True)
    hunt(oracle, ball(x, eps, p), nothing_wrong(4), 150)
    assert len(oracle.seen) == 150
    for z in oracle.seen:
        assert (norm(z - x, p).flatten() <= eps * (1 + 1e-9) + 1e-15).all()
        assert z.min() >= 0
        assert z.max() <= 1
    used = norm(oracle.seen[-1] - x, p).flatten()
    assert (used[1:3] > 0.9 * eps[1:3]).all()


# What it finds


def pair(bias: float) -> tuple[Oracle, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 27, generator=rng, dtype=torch.float64)
    x = torch.rand(4, 3, 3, 3, generator=rng, dtype=torch.float64)
    return (
        linear(weight, torch.tensor([bias, 0.0], dtype=torch.float64), (3, 3, 3)),
        x,
        weight[1] - weight[0],
    )


def test_on_a_linear_network_the_best_corner_of_the_ball_is_found() -> None:
    network, x, w = pair(100.0)
    found = hunt(network, ball(x, 0.1, math.inf), nothing_wrong(4), 3000)
    best = (x.flatten(1) + 0.1 * w.sign()).clamp(0, 1)
    torch.testing.assert_close(found.images.flatten(1), best, rtol=0, atol=1e-12)
    assert found.queries == 4 * 3000
    assert found.gradients == 0


def test_on_a_linear_network_most_of_what_an_l1_ball_allows_is_found() -> None:
    rng = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        weight = torch.randn(channels * 144, generator=rng, dtype=torch.float64)
        x = torch.rand(6, channels, 12, 12, generator=rng, dtype=torch.float64)
        bias = torch.tensor([100.0, 0.0], dtype=torch.float64)
        network = linear(torch.stack([0 * weight, weight]), bias, (channels, 12, 12))
        found = hunt(network, ball(x, 3.0, 1.0), nothing_wrong(6), 600)
        # the most comes of filling the pixels of the largest weights up to the box
        order = weight.abs().argsort(descending=True)
        room = torch.where(weight > 0, 1 - x.flatten(1), x.flatten(1))[:, order]
        taken = (3.0 - (room.cumsum(1) - room)).clamp_min(0).minimum(room)
        most = taken @ weight.abs()[order]
        assert (((found.images - x).flatten(1) @ weight) / most).mean() > 0.6


@norms
def test_rows_leave_at_once_and_every_query_is_counted(p: float) -> None:
    network, x = tricky(), images(12)
    labels = network.logits(x).argmax(1)
    b = ball(x, EPSILON[p] * torch.linspace(0.2, 3, 12, dtype=torch.float64), p)
    counting = Counting(network)
    found = hunt(counting, b, Untargeted(labels), 60)
    sizes = [len(probe.images) for probe in counting.probes]
    assert not any(counting.gradients)
    assert found.queries == sum(sizes)
    assert len(sizes) <= 60
    fooled = network.logits(found.images).argmax(1) != labels
    assert 2 <= fooled.sum() <= 10
    assert sizes[0] == 12
    assert sizes[-1] >= 12 - fooled.sum()
    for earlier, later, probe in zip(
        sizes, sizes[1:], counting.probes, strict=False
    ):  # a row leaves with the first point that fools
        assert (
            earlier - later
            == (
                network.logits(probe.images).argmax(1) != torch.as_tensor(probe.objective.rows[0])  # type: ignore[union-attr]
            ).sum()
        )


@norms
def test_the_best_of_all_that_was_seen_is_returned(p: float) -> None:
    network, x, w = pair(100.0)
    counting = Counting(network)
    found = hunt(counting, ball(x, EPSILON[p], p), nothing_wrong(4), 40)
    best = torch.stack([probe.images.flatten(1) @ w for probe in counting.probes]).max(0)[0]
    torch.testing.assert_close(found.images.flatten(1) @ w, best)


@norms
def test_company_does_not_matter(p: float) -> None:
    network, x = tricky(), images(8)
    labels = network.logits(x).argmax(1)
    eps = EPSILON[p] * torch.linspace(0.3, 2, 8, dtype=torch.float64)
    everyone = hunt(network, ball(x, eps, p), Untargeted(labels), 200, seed=5)
    for row in (0, 4, 7):
        one = slice(row, row + 1)
        search = square_search(200)(
            ball(x[one], eps[one], p), Untargeted(labels[one]), generators(5, row, 1)
        )
        torch.testing.assert_close(
            solve(search, network).images[0], everyone.images[row], rtol=0, atol=1e-12
        )


@norms
def test_a_target_and_a_unit_may_be_the_goal(p: float) -> None:
    network, x = tricky(), images(6)
    logits = network.logits(x)
    labels, targets = logits.argmax(1), logits.topk(2, 1)[1][:, 1]
    found = hunt(network, ball(x, 4 * EPSILON[p], p), Targeted(labels, targets), 200)
    reached = network.logits(found.images).argmax(1) == targets
    assert reached.any()
    unit = activation([LayerPath("down", 3)] * 6)
    clean = network.activations(x, ["down"])["down"][:, 3].mean((1, 2))
    found = hunt(network, ball(x, EPSILON[p], p), drive(unit, clean, 1e9), 60)
    assert (network.activations(found.images, ["down"])["down"][:, 3].mean((1, 2)) > clean).all()


@norms
def test_eight_bit_images_are_judged_on_the_lattice(p: float) -> None:
    network, x = tricky(), (images(8) * 255).round() / 255
    labels = network.logits(x).argmax(1)
    eps = {math.inf: 8, 2.0: 150, 1.0: 1000}[p] / 255
    counting = Counting(network)
    found = hunt(counting, ball(x, eps, p, eight_bit=True), Untargeted(labels), 30)
    for z in [found.images, *(probe.images for probe in counting.probes)]:
        torch.testing.assert_close(z * 255, (z * 255).round(), rtol=0, atol=1e-9)
    assert (norm(found.images - x, p) * 255 <= eps * 255 + 1e-3).all()


def test_changes_that_the_box_stops_are_drawn_out_to_the_radius() -> None:
    rng = torch.Generator().manual_seed(3)
    x = torch.rand(5, 2, 4, 4, generator=rng, dtype=torch.float64).round(decimals=1)
    delta = torch.randn(5, 2, 4, 4, generator=rng, dtype=torch.float64)
    eps = torch.tensor([0.0, 0.2, 1.0, 2.0, 9.0], dtype=torch.float64).view(-1, 1, 1, 1)
    delta = delta * eps / norm(delta, 2)
    room = torch.where(delta > 0, 1 - x, x)
    low, high = torch.zeros_like(eps), torch.full_like(eps, 1e6)
    for _ in range(100):  # how far all may grow together, by bisection
        middle = (low + high) / 2
        inside = norm(torch.minimum(middle * delta.abs(), room), 2) <= eps
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    exact = torch.minimum(low * delta.abs(), room).copysign(delta)
    torch.testing.assert_close(stretch_l2(x, delta, eps, 12), exact, rtol=1e-6, atol=1e-9)
    few = norm(stretch_l2(x, delta, eps), 2)
    assert (few <= norm(exact, 2) * (1 + 1e-12)).all()
    assert (few >= norm((x + delta).clamp(0, 1) - x, 2)).all()
