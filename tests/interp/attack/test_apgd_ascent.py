"""APGD against loops written out for one row, against the best attack of linear networks, and
against PGD.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import optimize
from sklearn.datasets import load_digits
from torch import Tensor

from interp.ascent import Ascent, AscentResult, Done, ascend
from interp.attack.apgd_ascent import apgd_ascent, checkpoints
from interp.attack.ball import Ball
from interp.attack.goal import Untargeted
from interp.attack.losses import cross_entropy
from interp.network.architectures import LeNet5
from interp.network.network import Network
from interp.objective import Objective
from interp.probe import Answer, Oracle, solve
from interp.seeds import generators
from interp.step import Step, sign, sparse, unit
from tests.interp.toys_networks import images, linear, plain, raw, tricky

WEIGHTS = Path(__file__).parents[3] / "service" / "models" / "weights"

norms = pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
EPSILON = {math.inf: 0.03, 2.0: 0.3, 1.0: 4.0}


def ball(x: Tensor, eps: float | Tensor, p: float, *, random_start: bool = False) -> Ball:
    radii = eps.view(-1, 1, 1, 1) if isinstance(eps, Tensor) else x.new_full((len(x), 1, 1, 1), eps)
    return Ball(x, radii, p, random_start)


def climb(
    network: Oracle, b: Ball, loss: Objective, steps: int, done: Done | None = None, seed: int = 0
) -> AscentResult:
    return solve(apgd_ascent(b, loss, steps, generators(seed, 0, len(b.x)), done), network)


def missed(labels: Tensor) -> Done:
    return lambda answer, rows: Untargeted(labels[rows]).reached(answer)


# The schedule


@pytest.mark.parametrize("steps", [*range(30), 40, 50, 99, 100, 333, 1000])
def test_checkpoints_are_those_of_the_paper(steps: int) -> None:
    p = [Fraction(0), Fraction(22, 100)]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - Fraction(3, 100), Fraction(6, 100)))
    assert checkpoints(steps) == sorted(
        {math.ceil(q * steps) for q in p[1:]} - set(range(steps, 2 * steps + 1))
    )
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


# Linear networks: a constant gradient, whose best point is known


def linear_pair(margin: float) -> tuple[Network, Tensor, Tensor]:
    """A network of two classes, images of which some pixels are on the edge, and the weights that
    lead away from class 0.
    """
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 48, generator=rng, dtype=torch.float64)
    x = (1.4 * torch.rand(5, 3, 4, 4, generator=rng, dtype=torch.float64) - 0.2).clamp(0, 1)
    w = weight[1] - weight[0]
    bias = margin + (x.flatten(1) @ w).max()
    return linear(weight, torch.stack([bias, bias.new_zeros(())]), (3, 4, 4)), x, w


def best_gain(x: Tensor, w: Tensor, eps: float, p: float) -> float:
    """The most that w can gain within ball and box: bounds for Linf, a multiplier for L2, the
    dearest pixels first for L1.
    """
    c, v = x.flatten().numpy(), w.numpy()
    room = np.where(v > 0, 1 - c, c)
    if p == math.inf:
        return float((np.abs(v) * np.minimum(room, eps)).sum())
    if p == 2:

        def excess(t: float) -> float:
            return float(np.sqrt((np.minimum(t * np.abs(v), room) ** 2).sum()) - eps)

        t = optimize.brentq(excess, 0, 1e4, xtol=1e-16)
        return float((np.abs(v) * np.minimum(t * np.abs(v), room)).sum())
    gain, left = 0.0, eps
    for i in np.argsort(-np.abs(v)):
        gain, left = gain + abs(v[i]) * min(room[i], left), left - min(room[i], left)
    return gain


@norms
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_on_a_linear_network_the_best_point_of_all_is_found(
    p: float, random_start: bool, scale: float
) -> None:
    eps = scale * {math.inf: 0.1, 2.0: 0.5, 1.0: 1.0}[p]
    network, x, w = linear_pair(2)
    found = climb(
        network,
        ball(x, eps, p, random_start=random_start),
        cross_entropy(torch.zeros(5, dtype=torch.long)),
        60,
    )
    gained = (found.images - x).flatten(1) @ w
    best = torch.tensor([best_gain(row, w, eps, p) for row in x], dtype=torch.float64)
    assert (gained <= best * (1 + 1e-9)).all()
    if p == math.inf or (p == 2 and not random_start):
        torch.testing.assert_close(gained, best, rtol=1e-9, atol=0)
    # an L2 start must be forgotten first; steps of L1 are sparse, and no shorter than a tenth of
    # the radius
    else:
        assert (gained >= (0.99 if p == 2 else 0.98) * best).all()
    assert found.gradients == 60 * 5
    assert found.moved.all()


# One row, written out


class ByHand:
    """APGD for one image, in float64, with scalars and lists where `interp` has rows, and
    projections found by bisection.
    """

    def __init__(self, loss: Callable[[Tensor], Tensor], x: Tensor, eps: float, p: float) -> None:
        self.loss, self.x, self.eps, self.p = loss, x, eps, p
        self.events: list[str] = []

    def score(self, z: Tensor) -> tuple[float, Tensor]:
        point = z[None].clone().requires_grad_()
        value = self.loss(point)[0]
        return value.item(), torch.autograd.grad(value, point)[0][0]

    def project(self, z: Tensor) -> Tensor:
        x, d = self.x, z - self.x
        if self.p == math.inf:
            return (x + d.clamp(-self.eps, self.eps)).clamp(0, 1)

        def moved(t: float) -> Tensor:
            d_ = (
                d * t
                if self.p == 2
                else d.sign() * (d.abs() - (1 - t) * float(d.abs().max())).clamp_min(0)
            )
            return (x + d_).clamp(0, 1)

        low, high = 0.0, 1.0
        if torch.linalg.vector_norm(moved(1) - x, self.p) <= self.eps:
            return moved(1)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (
                (middle, high)
                if torch.linalg.vector_norm(moved(middle) - x, self.p) <= self.eps
                else (low, middle)
            )
        return moved(low)

    def run(self, steps: int) -> tuple[Tensor, float]:
        eta = 2 * self.eps
        marks = [
            0,
            *(
                w
                for w in sorted(
                    {math.ceil(q * steps / 100) for q in (22, 41, 57, 70, 80, 87, 93, 99)}
                )
                if w < steps
            ),
        ]
        zs, (f, g) = [self.x.clone()], self.score(self.x)
        fs, best, best_f, best_g = [f], zs[0], f, g
        rises, halved, best_then = 0, False, f
        for k in range(1, steps + 1):
            z = zs[-1]
            ahead = self.project(z + eta * (g.sign() if self.p == math.inf else g / g.norm()))
            if k > 1:
                ahead = self.project(z + 0.75 * (ahead - z) + 0.25 * (z - zs[-2]))
            f, g = self.score(ahead)
            rises += f > fs[-1]
            if f > best_f:
                best, best_f, best_g = ahead, f, g
            if k in marks:
                first = rises < 0.75 * (k - marks[marks.index(k) - 1])
                second = not halved and best_f == best_then
                halved = first or second
                self.events.append("oscillates" if first else "stuck" if second else "goes on")
                if halved:
                    eta, ahead, f, g = eta / 2, best, best_f, best_g
                rises, best_then = 0, best_f
            zs, fs = [zs[-1], ahead], [fs[-1], f]
        return best, best_f

    def run_l1(self, steps: int) -> tuple[Tensor, float]:
        n, eta, share, pixels = self.x.numel(), self.eps, 0.2, self.x.numel()
        every = max(int(0.04 * steps), 1)
        z, (f, g) = self.x.clone(), self.score(self.x)
        best, best_f, best_g = z, f, g
        for k in range(1, steps + 1):
            top = g.abs().flatten().topk(max(round(share * n), 1))[1]
            step = torch.zeros(n, dtype=torch.float64)
            step[top] = g.flatten()[top].sign() * eta / len(top)
            z = self.project(z + step.view_as(z))
            f, g = self.score(z)
            if f > best_f:
                best, best_f, best_g = z, f, g
            if k % every == 0:
                now = int(((best - self.x).abs() > 1e-12).sum())
                share = now / n / 1.5
                if now / pixels < 0.95:
                    eta, z, g = self.eps, best, best_g
                    self.events.append("thinner")
                else:
                    eta = max(eta / 1.5, self.eps / 10)
                    self.events.append("shorter")
                pixels = now
        return best, best_f


@norms
def test_rows_are_those_of_a_loop_written_out(p: float) -> None:
    network, x, labels = tricky(), images(6), torch.tensor([0, 1, 2, 3, 4, 0])
    eps = EPSILON[p] * torch.tensor([0.1, 0.3, 1.0, 2.0, 5.0, 8.0], dtype=torch.float64)
    events: list[str] = []
    for steps in (1, 2, 27):
        found = climb(network, ball(x, eps, p), cross_entropy(labels), steps)
        assert found.gradients == 6 * steps
        for row in range(6):

            def loss(point: Tensor, label: int = int(labels[row])) -> Tensor:
                return -plain(raw(network), point)["logits"].log_softmax(1)[:, label]

            hand = ByHand(loss, x[row], eps[row].item(), p)
            best, best_f = hand.run_l1(steps) if p == 1 else hand.run(steps)
            torch.testing.assert_close(found.images[row], best, rtol=0, atol=1e-9)
            assert loss(found.images[row : row + 1]).item() == pytest.approx(best_f, rel=1e-9)
            events += hand.events
    assert set(events) >= (
        {"thinner", "shorter"} if p == 1 else {"oscillates", "goes on"}
    )  # or there would be little to see


def scripted(scores: list[float], slopes: list[float], steps: int) -> list[Tensor]:
    """The probes of one Linf row of radius 0.2 around 0.5 whose iterates have these scores, and
    gradients of these signs.
    """
    x = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    procedure = apgd_ascent(
        ball(x, 0.2, math.inf), cross_entropy(torch.tensor([0])), steps, generators(0, 0, 1)
    )
    seen = [next(procedure).images]
    for score, slope in zip(scores, slopes, strict=True):
        seen.append(
            procedure.send(Answer(torch.tensor([score]).double(), torch.full_like(x, slope))).images
        )
    return [z.flatten()[0] for z in seen]


def followed(z: Tensor, before: Tensor, eta: float) -> Tensor:
    """One step of the script's row from z, uphill or with a negative eta downhill."""
    ahead = (z + eta).clamp(0.3, 0.7)
    return (z + 0.75 * (ahead - z) + 0.25 * (z - before)).clamp(0.3, 0.7)


def test_the_second_condition_shortens_steps_that_rise_but_reach_nothing_new() -> None:
    assert checkpoints(20)[:2] == [5, 9]
    # A fall, then four rises: of five steps these are enough for the first condition (3.75), but
    # nothing beats the start.
    seen = scripted([10.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, -1, -1, -1, -1, -1], 20)
    centre = seen[0]
    torch.testing.assert_close(seen[1], centre + 0.2)
    torch.testing.assert_close(
        seen[6], followed(centre, seen[4], 0.2)
    )  # from the start again, 2 eps halved


def test_after_a_shortening_the_second_condition_waits_for_a_whole_period() -> None:
    # As before, and after the return to the start: a fall and three rises, of four, which are
    # enough for the first condition (3).
    seen = scripted(
        [10.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0], [1.0] + [0.5, -1] * 4 + [-1.0], 20
    )
    torch.testing.assert_close(
        seen[10], followed(seen[9], seen[8], -0.2)
    )  # eta is as it was, and the row where it was


# Strength


def digits(rows: int) -> tuple[Network, Tensor, Tensor]:
    """The trained LeNet-5, and digits that it recognizes of those it was not trained on."""
    module = LeNet5()
    module.load_state_dict(load_file(WEIGHTS / "digits-lenet5.safetensors"))
    network = Network(module, (1, 32, 32), [0.5], [0.5])
    bunch = load_digits()
    small = np.rint(bunch.images[::5] * (255 / 16)).astype(np.uint8)
    large = [
        np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
        for image in small
    ]
    x, labels = (
        torch.from_numpy(np.stack(large)).float()[:, None] / 255,
        torch.from_numpy(bunch.target[::5]),
    )
    known = network.logits(x).argmax(1) == labels
    assert known.float().mean() > 0.9
    return network, x[known][:rows], labels[known][:rows]


def steepest(alpha: float, p: float) -> Step:
    return sign(alpha) if p == math.inf else unit(alpha) if p == 2 else sparse(alpha, 0.03)


@pytest.mark.parametrize(
    ("p", "epsilons"),
    [(math.inf, (0.03, 0.06, 0.1)), (2.0, (0.6, 1.0, 1.5)), (1.0, (5.0, 10.0, 20.0))],
)
def test_apgd_is_never_weaker_than_pgd_of_the_same_budget(
    p: float, epsilons: tuple[float, ...]
) -> None:
    network, x, labels = digits(64)
    everything, fooled = torch.arange(64), []
    for eps in epsilons:
        by_apgd = climb(network, ball(x, eps, p), cross_entropy(labels), 20, missed(labels))
        stronger = missed(labels)(Answer(logits=network.logits(by_apgd.images)), everything)
        for size in (2.5 / 20, 0.1, 0.25):
            problem = Ascent(
                ball(x, eps, p),
                cross_entropy(labels),
                steepest(size * eps, p),
                20,
                done=missed(labels),
                stop_when_done=True,
                keep_best=True,
            )
            by_pgd = solve(ascend(problem, generators(0, 0, 64)), network)
            weaker = missed(labels)(Answer(logits=network.logits(by_pgd.images)), everything)
            assert stronger.sum() >= weaker.sum()
        fooled.append(stronger.float().mean().item())
    assert fooled[0] < fooled[1] < fooled[2]
    assert fooled[0] < 0.9  # where all are fooled there is nothing to compare
    assert fooled[2] > 0.1
