"""The whole curve of accuracy over epsilon, and every image's minimal epsilon, in one procedure."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.ascent import Ascent, Summit, ascend
from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.early_stopping import hopeless, shortfall
from interp.attack.evaluate import NOISE, Aim, Attacked, Randomness, look, set_out, verdict
from interp.attack.goal import CROSS_ENTROPY, Choice, Goal, Loss
from interp.attack.pgd import OVERSHOOT, steepest_step
from interp.probe import Answer, Procedure
from interp.seeds import Generators
from interp.step import Move, Step

RECENT = 0.3  # the share of the steps that a row's pace is measured over
SETTLED = 0.4  # no row is given up before it has taken this share of the steps


@dataclass(frozen=True, eq=False)
class Curve:
    """How many images withstand each epsilon, and the least at which each one was found not to.

    Attributes:
        attacked: the images found at the rows' minimal epsilons and the verdict on them; for rows
            without one, the image at the last epsilon that came nearest to fooling. Its control is
            noise as large as each row's minimal epsilon, or the last where there is none; `fixed`
            is of the last epsilon.
        minimal: (B,) pixel units; 0 where the clean image is at its goal, infinite where nothing
            found is.
        epsilons: in rising order.
        withstood: (E,) int64, of all B images those whose minimal epsilon is larger. It never
            rises.
    """

    attacked: Attacked
    minimal: Tensor
    epsilons: tuple[float, ...]
    withstood: Tensor


def epsilon_curve(
    x: Tensor,
    labels: Tensor | None,
    epsilons: Sequence[float],
    p: float = math.inf,
    *,
    steps: int = 10,
    bisections: int = 0,
    random_start: bool = False,
    loss: Loss = CROSS_ENTROPY,
    targets: Tensor | Choice | None = None,
    unit: Aim | None = None,
    seed: int = 0,
    first_row: int = 0,
    seeds: Sequence[tuple[int, int]] | None = None,
    eight_bit: bool = False,
    noise_control: bool = False,
) -> Procedure[Curve]:
    """PGD at one epsilon after the other on the images that withstood the last, each from its best
    image there.

    That image is drawn out to the new radius, which often suffices. A row also leaves an epsilon
    early when its pace shows that it will not get there: the curve takes a fraction of the
    gradients that PGD takes at every epsilon, from the clean image and to the last step, and as a
    rule finds as much or more. An image found may be nearer than epsilon: then its own norm counts.

    Args:
        epsilons: radii in rising order, at least one, each at least 0.
        steps: gradient steps an epsilon, at least 1, of 2.5 epsilon / steps; after the first
            epsilon on average, falling evenly.
        bisections: after that, halve the gap between each row's minimal epsilon and the radius
            below it that it withstood so often, from its image pulled into the smaller ball.
        random_start: begin at a random point of the first ball.

    The others are those of `interp.attack.base.attack`.
    """
    x = (x * LEVELS).round() / LEVELS if eight_bit else x
    randomness = Randomness(seed, first_row, seeds)
    task = yield from set_out(x, labels, targets, unit, randomness)
    assert task.clean is not None
    last = Ball(x, radii(epsilons[-1], x), p, eight_bit=eight_bit)
    search = _Search(
        last, task.goal, task.goal.reached(task.clean), steps, loss, randomness.generators(len(x))
    )
    yield from search.rise(epsilons, random_start)
    yield from search.halve(epsilons, bisections)
    noise = randomness.generators(len(x), NOISE) if noise_control else None
    attacked = yield from verdict(
        task, last, search.images, search.summit, noise, search.reach(last)
    )
    stuck = sum(
        bool(replace(last, epsilon=radii(e, x)).fixed.all())
        for e in epsilons
        if 0 < e < epsilons[-1]
    )
    if stuck:
        told = (
            f"{stuck} of the epsilons are under one 8-bit level (1/255), which leaves the "
            f"images no freedom"
        )
        attacked = replace(attacked, warnings=(*attacked.warnings, told))
    minimal = search.minimal.masked_fill(~attacked.succeeded, torch.inf)
    withstood = (minimal > minimal.new_tensor(epsilons)[:, None]).sum(1)
    return Curve(attacked, minimal, tuple(epsilons), withstood)


class _Search:
    """What is known of every row so far."""

    def __init__(
        self, ball: Ball, goal: Goal, there: Tensor, steps: int, loss: Loss, rows: Generators
    ) -> None:
        self.ball, self.goal, self.steps, self.loss, self.rows = ball, goal, steps, loss, rows
        self.images = ball.x.clone()
        self.minimal = torch.full_like(ball.x[:, 0, 0, 0], torch.inf).masked_fill(there, 0.0)
        self.attacked = ~there
        self.moved = torch.zeros_like(there)
        self.gradients = 0

    @property
    def summit(self) -> Summit:
        return Summit(self.images, self.moved[self.attacked], None, self.gradients)

    def reach(self, last: Ball) -> Ball:
        """The balls of the rows' minimal epsilons, or of the last epsilon."""
        return replace(
            last,
            epsilon=torch.where(
                self.minimal.isinf().view_as(last.eps), last.eps, self.minimal.view_as(last.eps)
            ),
        )

    def rise(self, epsilons: Sequence[float], random_start: bool) -> Procedure[None]:
        """One epsilon after the other, on the rows that withstood those before."""
        before = 0.0
        for epsilon in epsilons:
            (todo,) = self.minimal.isinf().nonzero(as_tuple=True)
            ball = self._around(todo, radii(epsilon, self.ball.x[todo]))
            if not len(todo) or ball.fixed.all():
                continue
            start = ball.x + (self.images[todo] - ball.x) * (epsilon / before if before else 1.0)
            if random_start and not before:
                start = replace(ball, random_start=True).start(
                    [self.rows[i] for i in todo.tolist()]
                )
            self.images[todo], _ = yield from self._climb(
                ball, start, falling if before else steady
            )
            before = epsilon

    def halve(self, epsilons: Sequence[float], times: int) -> Procedure[None]:
        """Look between the minimal epsilons and the next that were withstood."""
        grid = self.minimal.new_tensor([0.0, *epsilons])
        below = grid[torch.searchsorted(grid, self.minimal).sub(1).clamp_min(0)]
        least = (
            1.0001 / LEVELS if self.ball.eight_bit and self.ball.p != 2 else 0.0
        )  # closer than that are no 8-bit images
        for _ in range(times):
            (todo,) = (self.minimal.isfinite() & (self.minimal - below > least)).nonzero(
                as_tuple=True
            )
            if not len(todo):
                break
            ball = self._around(todo, ((self.minimal + below)[todo] / 2).view(-1, 1, 1, 1))
            images, there = yield from self._climb(ball, self.images[todo], falling)
            self.images[todo[there]] = images[there]
            below[todo[~there]] = ball.eps.flatten()[~there]

    def _around(self, todo: Tensor, epsilon: Tensor) -> Ball:
        return replace(self.ball, x=self.ball.x[todo], epsilon=epsilon, rows=todo)

    def _climb(
        self, ball: Ball, start: Tensor, steps: Callable[[float, Tensor, int], Step]
    ) -> Procedure[tuple[Tensor, Tensor]]:
        """PGD from near `start`: images, and which are at their goal, whose minimal epsilons are
        noted.
        """
        assert ball.rows is not None
        todo, goal = ball.rows, self.goal.take(ball.rows)
        problem = Ascent(
            _From(ball, start),
            goal.objective(self.loss),
            steps(ball.p, OVERSHOOT * ball.eps / self.steps, self.steps),
            self.steps,
            done=lambda answer, chosen: goal.take(chosen).reached(answer),
            logits=goal.logits,
            leave=True,
            hopeless=_Outlook(goal, self.steps),
            keep_best=True,
        )
        summit = yield from ascend(problem, [self.rows[i] for i in todo.tolist()])
        self.gradients += summit.gradients
        self.moved[todo] |= summit.moved
        there = goal.reached((yield look(summit.images, goal)))
        size = torch.minimum(ball.distance(summit.images), ball.eps.flatten())
        self.minimal[todo[there]] = size[there]
        return summit.images, there


def steady(p: float, size: Tensor, steps: int) -> Step:
    """Steps of one size: at the first epsilon, so that what PGD finds there is found."""
    return steepest_step(p, size)


def falling(p: float, size: Tensor, steps: int) -> Step:
    """Steps from nearly twice `size` falling evenly to nearly nothing: far at first, with care at
    last.
    """

    def start(z: Tensor) -> Move:
        taken = 0

        def move(grad: Tensor) -> Tensor:
            nonlocal taken
            taken += 1
            return steepest_step(p, size * (2 - (2 * taken - 1) / steps))(z)(grad)

        return move

    return start


@dataclass(frozen=True, eq=False)
class _From:
    """A ball that is searched from certain points on, (B, C, H, W)."""

    ball: Ball
    points: Tensor

    def start(self, rows: Generators) -> Tensor:
        return self.ball.project(self.points)

    def image(self, z: Tensor) -> Tensor:
        return self.ball.image(z)

    def project(self, z: Tensor) -> Tensor:
        return self.ball.project(z)


class _Outlook:
    """Tells which rows will not come to their goal in the steps left, by far, see
    `interp.attack.early_stopping`.
    """

    def __init__(self, goal: Goal, steps: int) -> None:
        self.goal, self.steps, self.seen = goal, steps, 0
        self.nearest = deque[Tensor](
            maxlen=1 + math.ceil(RECENT * steps)
        )  # (B,) how near rows had come, look by look

    def __call__(self, answer: Answer, rows: Tensor) -> Tensor:
        left = shortfall(self.goal.take(rows), answer)
        nearest = (
            self.nearest[-1].clone() if self.nearest else torch.full_like(left, torch.inf)
        )  # nobody has left before the first look
        nearest[rows] = torch.minimum(nearest[rows], left)
        self.nearest.append(nearest)
        self.seen += 1
        if self.seen <= SETTLED * self.steps or len(self.nearest) == 1:
            return torch.zeros_like(left, dtype=torch.bool)
        return hopeless(
            self.nearest[0][rows], nearest[rows], len(self.nearest) - 1, self.steps + 1 - self.seen
        )
