"""The curve of accuracy over epsilon: known exactly on linear networks, never above PGD at every
epsilon, and cheaper.
"""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.attack.base import attack
from interp.attack.epsilon_curve import EpsilonCurve, epsilon_curve
from interp.attack.goal import MARGIN, drive, silence
from interp.attack.pgd import pgd
from interp.layer import LayerPath
from interp.network.network import Network
from interp.norms import norm
from interp.objective import activation
from interp.probe import Answer, Oracle, Probe, solve
from tests.interp.toys_networks import Counting, cifar, images, linear, trained_resnet, tricky

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
GRIDS = {
    p: [unit * k for k in (1, 2, 3, 5, 8, 12)]
    for p, unit in ((math.inf, 0.005), (2.0, 0.05), (1.0, 0.7))
}


def run(
    network: Oracle,
    x: Tensor,
    labels: Tensor | None,
    epsilons: list[float],
    p: float = math.inf,
    **options: Any,
) -> EpsilonCurve:
    return solve(epsilon_curve(x, labels, epsilons, p, **options), network)


def consistent(curve: EpsilonCurve, network: Network, x: Tensor, p: float) -> None:
    """What is told of minimal epsilons is true of the very images."""
    found, minimal = curve.attacked, curve.minimal
    there = minimal.isfinite()
    assert torch.equal(found.succeeded, there)
    assert torch.equal(found.prediction, network.logits(found.images).argmax(1))
    size = norm(found.images - x, p).flatten()
    torch.testing.assert_close(found.norm, size)
    assert (size[there] <= minimal[there] * (1 + 1e-6) + 1e-7).all()
    assert (size <= curve.epsilons[-1] * (1 + 1e-6) + 1e-7).all()
    assert (minimal[there] <= curve.epsilons[-1]).all()
    assert not size[minimal == 0].any()
    withstood = curve.withstood.tolist()
    assert withstood == [
        sum(m > e for m in minimal.tolist()) for e in minimal.new_tensor(curve.epsilons).tolist()
    ]
    assert withstood == sorted(withstood, reverse=True)


# Linear networks with two classes: an image is fooled from margin / ||w||_q on, 1/p + 1/q = 1.


def linear_pair() -> tuple[Network, Tensor, Tensor, Tensor]:
    """A network, images amid the box, their margins, and the weights that lower these; the last
    image is wrong already.
    """
    rng = torch.Generator().manual_seed(1)
    w = torch.randn(48, generator=rng, dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(20, 3, 4, 4, generator=rng, dtype=torch.float64)
    against = x.flatten(1) @ w
    order = against.argsort()
    x, against = x[order], against[order]
    bias = against[-2:].mean()
    return (
        linear(
            torch.stack([torch.zeros_like(w), w]),
            torch.stack([bias, bias.new_zeros(())]),
            (3, 4, 4),
        ),
        x,
        bias - against,
        w,
    )


@pytest.mark.parametrize(("p", "q"), [(math.inf, 1), (2.0, 2)])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_curve_of_a_linear_network_is_the_true_one(p: float, q: float, steps: int) -> None:
    network, x, margins, w = linear_pair()
    least = (margins / w.norm(q)).clamp_min(0)
    epsilons = [float(least.max()) * k / 8.05 for k in range(1, 8)]
    labels = torch.zeros(20, dtype=torch.long)
    curve = run(network, x, labels, epsilons, p, steps=steps)
    consistent(curve, network, x, p)
    assert curve.withstood.tolist() == [int((least > e).sum()) for e in epsilons]
    assert (curve.minimal >= least * (1 - 1e-9)).all()
    assert curve.minimal[-1] == 0
    assert curve.minimal.isinf().tolist() == (least > epsilons[-1]).tolist()
    fine = run(network, x, labels, epsilons, p, steps=steps, bisections=12)
    consistent(fine, network, x, p)
    assert torch.equal(fine.withstood, curve.withstood)
    reached = fine.minimal.isfinite()
    assert (fine.minimal[reached] >= least[reached] * (1 - 1e-9)).all()
    assert (
        fine.minimal[reached] <= least[reached] + (epsilons[1] - epsilons[0]) / 2**12 + 1e-9
    ).all()
    assert fine.attacked.gradients > curve.attacked.gradients


@norms
def test_bisection_narrows_the_gap_step_by_step(p: float) -> None:
    network, x = tricky(), images(10)
    before = None
    for bisections in range(5):
        curve = run(network, x, None, GRIDS[p], p, bisections=bisections)
        consistent(curve, network, x, p)
        if before is not None:
            assert (curve.minimal <= before.minimal).all()
            assert (curve.withstood <= before.withstood).all()
        before = curve
    assert before is not None
    coarse = run(network, x, None, GRIDS[p], p)
    assert (before.minimal < coarse.minimal).any()


def test_an_image_nearer_than_epsilon_counts_by_its_own_norm() -> None:
    network, x, margins, w = linear_pair()
    least = margins / w.abs().sum()
    epsilon = 4 * float(least[0])
    curve = run(network, x[:1], torch.tensor([0]), [epsilon], steps=10)
    walked = [0.25 * epsilon * step for step in range(11)]  # 2.5 epsilon in all
    assert curve.minimal.item() == pytest.approx(
        min(size for size in walked if size > least[0]), rel=1e-9
    )


# Any network


@norms
@pytest.mark.parametrize(
    "options",
    [{}, {"random_start": True}, {"loss": MARGIN}, {"steps": 4}, {"bisections": 2}],
    ids=str,
)
def test_the_curve_is_no_higher_than_that_of_pgd(p: float, options: dict[str, Any]) -> None:
    network, x = tricky(), images(24)
    labels = network.logits(x).argmax(1)
    labels[:3] = (labels[:3] + 1) % 5
    counting = Counting(network)
    curve = run(counting, x, labels, GRIDS[p], p, **options)
    consistent(curve, network, x, p)
    assert curve.attacked.gradients == sum(counting.gradients)
    same = {name: value for name, value in options.items() if name != "bisections"}
    cost, alone_withstood = 0, list[int]()
    for epsilon, withstood in zip(GRIDS[p], curve.withstood.tolist(), strict=True):
        alone = solve(
            attack(
                x, labels, pgd(**{"steps": 10, "random_start": False, **same}), epsilon=epsilon, p=p
            ),
            network,
        )
        alone_withstood.append(int((~alone.succeeded).sum()))
        assert withstood <= alone_withstood[-1] + 1  # which is a matter of luck
        cost += alone.gradients
    assert sum(curve.withstood.tolist()) <= sum(alone_withstood)
    assert curve.withstood[0] <= alone_withstood[0]
    assert 0 < curve.withstood[1] < 21
    if "bisections" not in options:
        assert curve.attacked.gradients < cost


@norms
def test_only_those_that_withstood_are_asked_about_again(p: float) -> None:
    network, x = tricky(), images(16)
    counting = Counting(network)
    curve = run(counting, x, None, GRIDS[p], p)
    first = [16, *curve.withstood.tolist()[:-1]]
    sizes = [
        len(probe.images)
        for probe in counting.probes
        if probe.differentiates and probe.progress and probe.progress.step == 1
    ]
    assert sizes == [n for n in first if n]


@norms
@pytest.mark.parametrize(
    "options", [{}, {"random_start": True, "bisections": 3, "noise_control": True}], ids=str
)
def test_company_does_not_matter(p: float, options: dict[str, Any]) -> None:
    network, x = tricky(), images(14)
    whole = run(network, x, None, GRIDS[p], p, seed=5, **options)
    assert len(set(whole.minimal.tolist())) > 2
    gradients = 0
    for row in range(14):
        alone = run(network, x[row : row + 1], None, GRIDS[p], p, seed=5, first_row=row, **options)
        torch.testing.assert_close(
            alone.attacked.images[0], whole.attacked.images[row], rtol=0, atol=1e-9
        )
        torch.testing.assert_close(alone.minimal[0], whole.minimal[row], rtol=0, atol=1e-9)
        gradients += alone.attacked.gradients
        if whole.attacked.control is not None:
            assert alone.attacked.control is not None
            torch.testing.assert_close(
                alone.attacked.control.norm[0], whole.attacked.control.norm[row], rtol=0, atol=1e-9
            )
    assert whole.attacked.gradients == gradients


class Far:
    """A network that any image moves a little, whose goal comes nearer by a given number of logits
    a look.
    """

    def __init__(self, gains: list[list[float]], away: float) -> None:
        self.gains, self.away, self.looks, self.left = gains, away, 0, [list(range(len(gains)))]

    def answer(self, probes: list[Probe]) -> list[Answer]:
        (probe,) = probes
        gone = [sum(gains[: self.looks]) for gains in self.gains]
        rows = (
            [gone[i] for i in range(len(probe.images))]
            if len(probe.images) == len(self.gains)
            else [gone[0]]
        )
        logits = torch.tensor([[self.away - g, 0.0] for g in rows], dtype=torch.float64)
        if probe.gradient:
            self.looks += 1
        return [Answer(-logits[:, 0], torch.ones_like(probe.images), logits)]


@pytest.mark.parametrize(
    ("gains", "looks"),
    [
        ([1.0] * 10, 10),  # on its way: 10 away, one logit a step
        ([0.8] * 10, 10),  # at thrice that pace it might still come
        ([0.0] * 10, 5),  # stuck
        ([0.01] * 10, 5),  # hopeless
        (
            [1.9, 1.9, 1.9, 1.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            8,
        ),  # near, then stuck for as long as its pace is measured
    ],
)
def test_rows_are_given_up_when_thrice_their_pace_does_not_bring_them_there(
    gains: list[float], looks: int
) -> None:
    counting = Counting(Far([gains], 10.0))
    x = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    curve = run(counting, x, torch.tensor([0]), [0.1])
    assert curve.attacked.gradients == sum(counting.gradients) == looks


# Other goals, 8 bits, edges


@pytest.mark.parametrize("aim", [silence, drive])
def test_curves_of_a_unit(aim: Any) -> None:
    network, x = tricky(), images(6)
    paths = [LayerPath.parse("twice:5", network.layers)] * 6
    clean = network.activations(x, ["twice"])["twice"][:, 5].mean((1, 2))
    level = float(clean.sort()[0][2:4].mean())
    grid = [0.01 * k for k in range(1, 9)]
    curve = run(
        network, x, None, grid, unit=(activation(paths), partial(aim, level=level)), bisections=3
    )
    now = network.activations(curve.attacked.images, ["twice"])["twice"][:, 5].mean((1, 2))
    there = now > level if aim is drive else now <= level
    assert torch.equal(there, curve.minimal.isfinite())
    assert int((curve.minimal == 0).sum()) == 3
    assert there.sum() > 3
    torch.testing.assert_close(curve.attacked.activation, now)
    torch.testing.assert_close(curve.attacked.clean_activation, clean)


def test_curves_towards_a_target() -> None:
    network, x = tricky(), images(8)
    grid = [0.04 * k for k in range(1, 8)]
    curve = run(
        network, x, None, grid, targets=lambda logits, labels, rows: logits.argsort(1)[:, -2]
    )
    assert curve.attacked.target is not None
    assert torch.equal(curve.attacked.prediction == curve.attacked.target, curve.minimal.isfinite())
    untargeted = run(network, x, None, grid)
    assert (untargeted.withstood <= curve.withstood).all()
    assert curve.minimal.isfinite().any()


@norms
def test_minimal_epsilons_of_8_bit_images_are_those_of_levels(p: float) -> None:
    network, x = tricky(torch.float32), images(10, dtype=torch.float32)
    levels = (
        [0.5, 0.9, 1, 2, 3.5, 6]
        if p == math.inf
        else [0.5, 0.9, 5, 9, 14, 22]
        if p == 2
        else [0.5, 0.9, 250, 500, 999]
    )
    curve = run(network, x, None, [v / 255 for v in levels], p, eight_bit=True, bisections=4)
    centre = (x * 255).round()
    consistent(curve, network, centre / 255, p)
    change = curve.attacked.images.double() * 255 - centre
    assert (change - change.round()).abs().max() < 1e-4
    if p != 2:
        found = curve.minimal[curve.minimal.isfinite()].double() * 255
        assert (found - found.round()).abs().max() < 1e-3
    assert curve.withstood[:2].tolist() == [10, 10]
    (warning,) = curve.attacked.warnings
    assert "2 of the epsilons are under one 8-bit level" in warning
    coarse = run(network, x, None, [0.3 / 255, 0.5 / 255], p, eight_bit=True, bisections=4)
    assert coarse.attacked.fixed.all()
    assert coarse.attacked.gradients == 0
    assert coarse.minimal.isinf().all()


def test_what_is_wrong_already_and_epsilons_of_zero_take_no_gradients() -> None:
    network, x = tricky(), images(5)
    wrong = network.logits(x).argmin(1)
    curve = run(network, x, wrong, [0.0, 0.1], bisections=3, noise_control=True)
    assert curve.attacked.gradients == 0
    assert curve.minimal.tolist() == [0.0] * 5
    assert curve.withstood.tolist() == [0, 0]
    assert torch.equal(curve.attacked.images, x)
    assert curve.attacked.control is not None
    assert not curve.attacked.control.norm.any()
    curve = run(network, x, None, [0.0], bisections=3, noise_control=True)
    assert curve.attacked.gradients == 0
    assert curve.withstood.tolist() == [5]
    assert curve.attacked.warnings == ()


def test_the_control_is_noise_as_large_as_each_minimal_epsilon() -> None:
    network, x = tricky(), 0.1 + 0.8 * images(14)
    curve = run(network, x, None, [0.01, 0.03], bisections=3, noise_control=True)
    assert curve.attacked.control is not None
    expected = torch.where(
        curve.minimal.isfinite(), curve.minimal, torch.full_like(curve.minimal, 0.03)
    )
    assert curve.minimal.isinf().any()
    assert curve.minimal.isfinite().any()
    torch.testing.assert_close(curve.attacked.control.norm, expected)


def test_eight_points_of_a_trained_network_take_at_most_2200_gradients() -> None:
    network, (x, labels) = trained_resnet(), cifar(96)
    epsilons = [0.25 * k / 255 for k in range(1, 9)]
    curve = run(network, x, labels, epsilons)
    consistent(curve, network, x, math.inf)
    assert curve.attacked.gradients <= 2200
    for epsilon, withstood in zip(epsilons, curve.withstood.tolist(), strict=True):
        if withstood:
            alone = solve(
                attack(x, labels, pgd(steps=10, random_start=False), epsilon=epsilon), network
            )
            assert withstood <= int((~alone.succeeded).sum())
